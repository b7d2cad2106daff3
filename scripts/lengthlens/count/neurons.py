"""How few neurons of the final MLP carry what it carries of N.

Neurons are ranked by AtP (gradient times difference, swap +1) on the `select` answers. On the
`evaluate` answers the first k of them come from the other run, all others stay (noising), and so do
k drawn at random. All together they are the whole MLP. The last position alone is exchanged: what
the final layer writes elsewhere reaches no decision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import nn

from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import Swap
from lengthlens.patching.runs import REACHED, SwapRuns


def neuron_sets(
    ranking: Float[np.ndarray, " neuron"], sizes: Sequence[int], draws: int, seed: int
) -> tuple[list[tuple[int, int]], Bool[np.ndarray, "set neuron"]]:
    """The sets that are exchanged, each with its k and its draw; -1 are the first by rank.

    Sizes beyond the neurons are left out; the last set is that of all neurons.
    """
    number, order = len(ranking), np.argsort(-ranking, kind="stable")
    rng = np.random.default_rng(seed)
    sizes = [k for k in sizes if k < number]
    labels = [(k, draw) for k in sizes for draw in range(-1, draws)] + [(number, -1)]
    masks = np.zeros((len(labels), number), dtype=bool)
    for mask, (k, draw) in zip(masks, labels, strict=True):
        mask[order[:k] if draw < 0 else rng.permutation(number)[:k]] = True
    return labels, masks


class NeuronRuns(SwapRuns):
    """The two clean runs of a swap, and the neurons of the final MLP in them."""

    def __init__(self, loaded: LoadedModel, swap: Swap, site: nn.Module, memory_gb: float) -> None:
        self._site = site

        def keep(module: nn.Module, args: tuple) -> None:
            self._neurons = args[0][:, -1]  # of the last pass, which is that of both runs

        with site.register_forward_pre_hook(keep):
            super().__init__(loaded, swap, memory_gb)

    @torch.inference_mode()
    def noised(self, sets: Bool[np.ndarray, "set neuron"]) -> Float[np.ndarray, " set"]:
        """Margins of the reached run with sets of neurons from the other."""
        below, found = self._loaded.anatomy.n_layers - 1, []
        other = self._neurons[1 - REACHED]
        for start in range(0, len(sets), self._rows):
            part = torch.from_numpy(sets[start : start + self._rows]).to(other.device)

            def exchange(module: nn.Module, args: tuple, part=part) -> tuple:
                neurons = args[0].clone()
                neurons[:, -1] = torch.where(part, other, neurons[:, -1])
                return (neurons, *args[1:])

            into = torch.full((len(part),), REACHED, device=self._loaded.device)
            with self._site.register_forward_pre_hook(exchange):
                logits = self._pass(into, self._layers.reused(below, into))
            found.append(self._margins(logits).fixed)
        return np.concatenate(found)
