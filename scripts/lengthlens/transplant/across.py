"""The tuned model's component outputs in the untuned model's run, both reading the same text.

What is patched is the *output*, as the tuned model adds it to the stream: the same input of the
output projection would mean another output under another W_O. A single component leaves everything
before it as it was, so the exchange adds a known difference to the stream, at all positions:

    a_tuned(c) − a_untuned(c).

Measured is what this does to the untuned model's end margin and to its N effect (the component then
comes from the tuned model's run under the same prompt, in both of the runs that differ in N).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from tqdm import tqdm

from lengthlens.decoding.donors import PassRecorder
from lengthlens.decoding.intervention import Donors
from lengthlens.decoding.reuse import CleanLayers, batches
from lengthlens.generation.score import last_logits, padded
from lengthlens.models.anatomy import Site
from lengthlens.models.hooks import added_by, at_mlp, with_added
from lengthlens.models.readout import readout_of
from lengthlens.patching.runs import best_pair, rows_at_once
from lengthlens.transplant.pair import Pair
from lengthlens.transplant.texts import FixedTexts, pair_margins


class Across:
    """Patches across the models of a pair.

    Attributes:
        n_heads: heads of the model; 0 where a norm follows the attention, whose scale the sum of
            all heads sets, so that no head adds an output of its own.
        sides: the tuned model and the untuned one, each with W_O of every layer (`Readout.output`).
    """

    def __init__(self, pair: Pair, texts: FixedTexts, memory_gb: float) -> None:
        self.pair, self.texts, self.memory_gb = pair, texts, memory_gb
        a = pair.untuned.anatomy
        normed = any(layer.attention_norm is not None for layer in a.layers)
        self.n_heads = 0 if normed else a.n_heads
        layers = np.arange(a.n_layers)
        self._layers = np.concatenate([layers.repeat(self.n_heads), layers])  # of every component
        self.sides = [
            (loaded, readout_of(loaded.model, anatomy=loaded.anatomy).output)
            for loaded in (pair.tuned, pair.untuned)
        ]

    @torch.inference_mode()
    def measure(
        self, used: Bool[np.ndarray, " sample"]
    ) -> tuple[Float[np.ndarray, "sample component"], Float[np.ndarray, "sample component"]]:
        """Change of the untuned model's end margin and N effect; heads layer by layer, then MLPs.

        Args:
            used: True for the samples to be measured; NaN for others, and without such a text.
        """
        end, effect = (np.full((len(used), len(self._layers)), np.nan) for _ in range(2))
        places = tqdm(
            np.flatnonzero(used), desc="outputs across the models", unit="answer", delay=2
        )
        for place in places:
            own, other = self.texts.own[place], self.texts.other[place]
            if own is None:
                continue
            logits = self._patched(own)
            pairs = [best_pair(row, self.pair.untuned.classes) for row in logits]
            margins = pair_margins(logits, pairs)
            end[place] = margins[1:] - margins[0]
            if other is not None:
                effects = margins - pair_margins(self._patched(other), pairs)
                effect[place] = effects[1:] - effects[0]
        return end, effect

    def _patched(self, text: tuple[int, ...]) -> Float[Tensor, "row vocabulary"]:
        """Logits after a text: of the plain run, then with every component exchanged."""
        untuned = self.pair.untuned
        differences = _Differences(self, text)
        size = rows_at_once(untuned, len(text), self.memory_gb)
        logits = differences.plain.repeat(1 + len(self._layers), 1)
        for below, members in batches(self._layers, size):
            texts = padded([text] * len(members), untuned.device)
            reused = differences.untuned_layers.reused(below, len(members))
            with differences.added(members.tolist()), reused:
                logits[1 + members] = last_logits(untuned, *texts)
        return logits


class _Differences:
    """What each component of the tuned model adds to the stream beyond the untuned one's.

    Attributes:
        plain: logits of the untuned model's run, in which nothing is exchanged.
        untuned_layers: what its layers gave in this run.
    """

    def __init__(self, across: Across, text: tuple[int, ...]) -> None:
        self._anatomy, self._n_heads = across.pair.untuned.anatomy, across.n_heads
        self._runs = []
        for loaded, outputs in across.sides:  # the untuned model last
            recorder, layers = PassRecorder(loaded.anatomy), CleanLayers(loaded.anatomy)
            with recorder.attached(), layers.recorded():
                self.plain = last_logits(loaded, *padded([text], loaded.device))
            self.untuned_layers = layers
            self._runs.append((recorder.donors(loaded.device), outputs))

    @contextlib.contextmanager
    def added(self, components: list[int]) -> Iterator[None]:
        """Add the difference of component c to row r, where c is the r-th."""
        n_heads = self._n_heads
        n_all = n_heads * self._anatomy.n_layers
        with contextlib.ExitStack() as hooks:
            for index, layer in enumerate(self._anatomy.layers):
                own = range(index * n_heads, (index + 1) * n_heads)
                heads = [(row, c - own.start) for row, c in enumerate(components) if c in own]
                mlps = [row for row, c in enumerate(components) if c == n_all + index]
                for site in layer.mixing:
                    places = range(site.heads.start, site.heads.stop)
                    if own_rows := [(row, head) for row, head in heads if head in places]:
                        hook = self._head(index, site, own_rows)
                        module = site.last if site.branch.whole else site.module
                        hooks.enter_context(module.register_forward_hook(hook))
                if mlps:
                    hooks.enter_context(at_mlp(layer, self._mlp(index, mlps)))
            yield

    def _head(self, layer: int, site: Site, rows: list[tuple[int, int]]):
        def output_of(run: tuple[Donors, Sequence[Tensor]], head: int) -> Tensor:
            donors, outputs = run
            weight = outputs[layer].unflatten(1, (self._anatomy.n_heads, -1))[:, head] / site.factor
            return donors.head[:, layer, head].to(weight) @ weight.T

        def add(module: nn.Module, args: tuple, output: Tensor | tuple) -> Tensor | tuple:
            own, (tuned, untuned) = added_by(output), self._runs
            changed = own.clone()
            by_row = changed.view(-1, len(tuned[0].head), own.shape[-1])  # of one text each
            for row, head in rows:
                by_row[row] += (output_of(tuned, head) - output_of(untuned, head)).to(changed)
            return with_added(output, changed)

        return add

    def _mlp(self, layer: int, rows: list[int]):
        factor = self._anatomy.layers[layer].mlp.factor

        def add(added: Tensor) -> Tensor:
            tuned, untuned = (donors.mlp[:, layer] for donors, _ in self._runs)
            changed = added.clone()
            changed[rows] += ((tuned - untuned) / factor).to(changed)
            return changed

        return add
