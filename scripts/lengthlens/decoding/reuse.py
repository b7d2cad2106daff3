"""Layers below everything that a batch removes do what they do in the unablated model.

Where many sets of components are removed while the model reads the same text, the layers below a
set's first component give the same output for every set. They are computed once, for one row, and
the batch begins at the layer where its sets begin. Sets are batched by that layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from lengthlens.decoding.intervention import Intervention
from lengthlens.models.anatomy import Anatomy
from lengthlens.models.hooks import computed_by, held

_FEWEST = 8  # sets that are worth a batch of their own; the others join those that begin later


def first_layers(intervention: Intervention) -> Int[np.ndarray, " row"]:
    """The first layer in which a row removes anything; the number of layers where it does not."""
    touched = (intervention.heads.any(-1) | intervention.mlps).cpu().numpy()
    return np.where(touched.any(1), touched.argmax(1), touched.shape[1])


def batches(
    first: Int[np.ndarray, " set"], size: int
) -> Iterator[tuple[int, Int[np.ndarray, " batched"]]]:
    """Batches of sets, each with the layer where the first of its sets begins.

    Args:
        first: of every set, as `first_layers` gives it.
        size: sets in a batch, at most.
    """
    order = np.argsort(first, kind="stable")
    start = 0
    while start < len(order):
        same = np.searchsorted(first[order], first[order[start]], side="right") - start
        stop = start + min(size, max(same, _FEWEST))
        yield int(first[order[start]]), order[start:stop]
        start = stop


class CleanLayers:
    """What every layer gave in a pass without interventions, of one row or a few."""

    def __init__(self, anatomy: Anatomy) -> None:
        self._layers = [layer.first for layer in anatomy.layers]
        self._apart = not anatomy.shares_keys
        self._outputs: list[torch.Tensor | tuple] = []

    def recorded(self) -> contextlib.AbstractContextManager:
        """Keep the outputs of the pass in this block."""
        self._outputs = []

        def keep(module: nn.Module, args: tuple, output: torch.Tensor | tuple) -> None:
            self._outputs.append(output)
            if isinstance(output, tuple) and any(map(torch.is_tensor, output[1:])):
                self._apart = False  # it hands on more than the stream (GLM's choice of keys)

        return held(layer.register_forward_hook(keep) for layer in self._layers)

    def reused(
        self, below: int, rows: int | Int[torch.Tensor, " row"]
    ) -> contextlib.AbstractContextManager:
        """Let the layers below one give what was kept instead of computing it.

        They write nothing into the cache, so no pass may follow on the one in this block. Where
        later layers read more of earlier ones than the stream, such as their keys and values, all
        are computed.

        Args:
            below: the first layer that is computed.
            rows: so many rows that all equal the one that was kept; or, for every row, which of
                those that were kept it equals.
        """
        replaced = self._layers[: below if self._apart else 0]
        if not replaced:
            return contextlib.nullcontext()
        # All give what the last of them gave, for only that is read.
        given = _for_rows(self._outputs[below - 1], rows)
        return computed_by([(layer, lambda *args, **kwargs: given) for layer in replaced])


def _for_rows(
    output: torch.Tensor | tuple, rows: int | Int[torch.Tensor, " row"]
) -> torch.Tensor | tuple:
    """A layer's output for many rows; only the stream, which is its first part, has rows."""
    if isinstance(output, tuple):
        return (_for_rows(output[0], rows), *output[1:])
    if isinstance(rows, torch.Tensor):
        return output[rows.to(output.device)]
    return output.expand(rows, *output.shape[1:]).contiguous()  # some layers want it
