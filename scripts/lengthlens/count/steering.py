"""Writing to the count: answers written while the stream is shifted along words left.

At every position from the last prompt token on, delta times d (`probing`) is added to the stream
that enters one layer; delta is in words. If the model reads its words left there, and along d, it
writes delta words more. The layer is the one whose probe does best on held-out select topics; the
answers are those to prompts of evaluate topics. Beside it stand the directions of permuted n, as
long as d: they lie in the same part of the stream and say nothing of N.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int

from lengthlens.count.probing import Design, Probes, directions
from lengthlens.decoding.streams import Shift
from lengthlens.generation.answers import Request, answered, in_batches
from lengthlens.generation.loaded import LoadedModel
from lengthlens.settings.sections import Generation


def chosen_layer(probes: Probes, layers: Sequence[int], n_layers: int) -> int | None:
    """Place of the layer that is steered: none of the final norm; None where no probe finds n."""
    usable = [place for place, layer in enumerate(layers) if layer < n_layers]
    best = max(usable, key=lambda place: probes.select[place])
    return best if probes.select[best] > 0 else None


def steered_words(
    loaded: LoadedModel,
    requests: Sequence[Request],
    made: Design,
    place: int,
    deltas: Sequence[float],
    settings: tuple[Generation, str],
) -> tuple[Int[np.ndarray, "shift prompt"], Bool[np.ndarray, "shift prompt"]]:
    """Words written to each prompt, and whether the answer was cut.

    Args:
        loaded: the model.
        requests: the prompts.
        made: what d is fitted on; place: of the layer among those that were read.
        deltas: words by which the stream is shifted.
        settings: how answers are generated, and the counting convention.

    Returns:
        Two arrays [shift, prompt]: no shift, then d by every delta, then each permuted one.
    """
    d = torch.from_numpy(directions(made, place)).float().to(loaded.device)
    steps = torch.tensor(deltas, dtype=torch.float32, device=loaded.device)
    shifts = torch.cat([torch.zeros_like(d[:1]), (d[:, None] * steps[:, None]).flatten(0, 1)])
    wanted = [request for request in requests for _ in shifts]
    by = shifts.repeat(len(requests), 1)
    generation, counting = settings
    found: list[dict] = []
    for part in in_batches(loaded, wanted, generation, capture=False):
        shift = Shift(made.crossed.layers[place], by[len(found) : len(found) + len(part)])
        found += answered(loaded, part, generation, counting, intervention=shift)[0]
    words, cut = ([row[name] for row in found] for name in ("words", "truncated"))
    shape = (len(requests), len(shifts))
    return np.reshape(words, shape).T, np.reshape(cut, shape).T
