"""The residual stream that enters each layer: recorded, exchanged between runs, or shifted.

Everything that a position knows when it enters a layer is in its stream, so exchanging it there
exchanges all that the layers below have written, and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lengthlens.models.anatomy import Anatomy
from lengthlens.models.hooks import entering, hooked, with_stream


@dataclass(frozen=True)
class StreamSets:
    """Which stream is exchanged, one a row.

    Attributes:
        layer: the layer that it enters.
        where: True at positions at which it is exchanged.
        into: the run that is changed, 0 or 1; the stream comes from the other one.
    """

    layer: Int[Tensor, " set"]
    where: Bool[Tensor, "set position"]
    into: Int[Tensor, " set"]

    def __len__(self) -> int:
        return len(self.layer)

    def __getitem__(self, rows: Tensor) -> StreamSets:
        return StreamSets(self.layer[rows], self.where[rows], self.into[rows])


@contextlib.contextmanager
def recorded_streams(
    anatomy: Anatomy, places: Sequence[int] | slice = slice(None)
) -> Iterator[list[Float[Tensor, "row position d_model"] | None]]:
    """The stream entering every layer, and the final norm, in the last pass of a block.

    With `places`, only at these positions of the pass; negative ones count from its end.
    """
    sites = [*(layer.first for layer in anatomy.layers), anatomy.final_norm]
    streams: list[Tensor | None] = [None] * len(sites)

    def read(index: int, module: nn.Module, args: tuple, kwargs: dict) -> None:
        streams[index] = entering(args, kwargs).detach()[:, places]

    with hooked((site, partial(read, index)) for index, site in enumerate(sites)):
        yield streams


def exchanged_streams(
    anatomy: Anatomy, streams: Sequence[Float[Tensor, "2 position d_model"]], sets: StreamSets
) -> contextlib.AbstractContextManager:
    """Put the stream of the other of two recorded runs in the place of a row's own, in a block.

    The rows of its passes are the sets.
    """

    def exchange(layer: int, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        own, donors = entering(args, kwargs), streams[layer]
        here = (sets.where & (sets.layer == layer)[:, None]).to(own.device)
        other = donors[(1 - sets.into).to(donors.device)].to(own)
        return with_stream(args, kwargs, torch.where(here[..., None], other, own))

    touched = sets.layer.unique().tolist()
    return hooked((anatomy.layers[layer].first, partial(exchange, layer)) for layer in touched)


@dataclass(frozen=True)
class Shift:
    """What is added to the stream entering one layer, row by row, while a model decodes.

    It is added at every position from the last prompt token on.
    """

    layer: int
    by: Float[Tensor, "row d_model"]


class StreamShift:
    """Hooks that shift the stream; driven pass by pass as `intervention.Surgeon` is."""

    positions = "generated"
    has_donors = False

    def __init__(self, anatomy: Anatomy, shift: Shift) -> None:
        self.anatomy, self._shift = anatomy, shift
        self._rows: Tensor | slice | None = None

    def at(self, rows: Tensor | slice | None, position_classes: Sequence[int] = (0,)) -> None:
        """Shift the next pass, which computes these rows; None switches it off."""
        self._rows = rows

    @contextlib.contextmanager
    def attached(self) -> Iterator[StreamShift]:
        """Shift in the passes of this block."""
        with hooked([(self.anatomy.layers[self._shift.layer].first, self._add)]):
            yield self

    def _add(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        if self._rows is None:
            return None
        own = entering(args, kwargs)
        return with_stream(args, kwargs, own + self._shift.by[self._rows].to(own)[:, None])
