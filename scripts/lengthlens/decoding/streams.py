"""The residual stream that enters each layer: recorded, and exchanged between the runs of a batch.

Everything that a position knows when it enters a layer is in its stream, so exchanging it there
exchanges all that the layers below have written, and nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lengthlens.models.anatomy import Anatomy


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
    """Hooks that keep the stream entering every layer in the last pass of a block."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self.streams: list[Float[Tensor, "row position d_model"] | None] = [None] * anatomy.n_layers

    @contextlib.contextmanager
    def attached(self) -> Iterator[StreamRecorder]:
        def reader(index: int):
            def read(module: nn.Module, args: tuple, kwargs: dict) -> None:
                self.streams[index] = entering(args, kwargs).detach()

            return read

        layers = self.anatomy.layers
        with hooked([(layer.first, reader(index)) for index, layer in enumerate(layers)]):
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
            stream = torch.where(here[..., None], other, own)
            if args:
                return (stream, *args[1:]), kwargs
            return args, kwargs | {"hidden_states": stream}

        return exchange


def entering(args: tuple, kwargs: dict) -> Tensor:
    """The stream among the arguments of a layer."""
    return args[0] if args else kwargs["hidden_states"]


@contextlib.contextmanager
def hooked(hooks: list) -> Iterator[None]:
    """Pre-hooks with keywords, as (module, hook), for the duration of a block."""
    with contextlib.ExitStack() as handles:
        for module, hook in hooks:
            handles.enter_context(module.register_forward_pre_hook(hook, with_kwargs=True))
        yield
