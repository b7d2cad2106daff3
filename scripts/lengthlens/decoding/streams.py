"""The residual stream that enters each layer: recorded, exchanged between runs, or shifted.

Everything that a position knows when it enters a layer is in its stream, so exchanging it there
exchanges all that the layers below have written, and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


class StreamRecorder:
    """Hooks that keep the stream entering every layer, and the final norm, in a block's last pass.

    With `places`, only at these positions of the pass; negative ones count from its end.
    """

    def __init__(self, anatomy: Anatomy, places: Sequence[int] | slice = slice(None)) -> None:
        self.anatomy, self._places = anatomy, places
        self._sites = _sites(anatomy)
        self.streams: list[Float[Tensor, "row position d_model"] | None] = [None] * len(self._sites)

    @contextlib.contextmanager
    def attached(self) -> Iterator[StreamRecorder]:
        def reader(index: int):
            def read(module: nn.Module, args: tuple, kwargs: dict) -> None:
                self.streams[index] = entering(args, kwargs).detach()[:, self._places]

            return read

        with hooked([(site, reader(index)) for index, site in enumerate(self._sites)]):
            yield self


class StreamExchange:
    """Hooks that put the stream of the other of two recorded runs in the place of a row's own."""

    def __init__(
        self,
        anatomy: Anatomy,
        streams: list[Float[Tensor, "2 position d_model"]],
        sets: StreamSets,
    ) -> None:
        self.anatomy, self._streams, self._sets = anatomy, streams, sets

    @contextlib.contextmanager
    def attached(self) -> Iterator[StreamExchange]:
        """Exchange in the passes of this block, whose rows are the sets."""
        touched = sorted(set(self._sets.layer.tolist()))
        with hooked([(self.anatomy.layers[i].first, self._exchanger(i)) for i in touched]):
            yield self

    def _exchanger(self, layer: int):
        sets, donors = self._sets, self._streams[layer]

        def exchange(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            own = entering(args, kwargs)
            here = (sets.where & (sets.layer == layer)[:, None]).to(own.device)
            other = donors[(1 - sets.into).to(donors.device)].to(own)
            return with_stream(args, kwargs, torch.where(here[..., None], other, own))

        return exchange


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


def _sites(anatomy: Anatomy) -> list[nn.Module]:
    """The modules that the stream enters: the layers, then the final norm."""
    return [*(layer.first for layer in anatomy.layers), anatomy.final_norm]
