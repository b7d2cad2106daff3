"""What every head and MLP gives at every position of a forward pass: donors for patching.

`Recorder` of `capture` keeps the last position of a decode; here all positions of one pass are
kept, in the layout of `intervention.Donors`: an entry a row and position, rows one after another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor, nn

from lengthlens.decoding.hooks import added_by
from lengthlens.decoding.intervention import Donors
from lengthlens.models.anatomy import Anatomy


class PassRecorder:
    """Hooks that keep heads (the input x of the output projection) and MLPs of one pass."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self._heads: list[Tensor | None] = [None] * anatomy.n_layers
        self._mlps: list[Tensor | None] = [None] * anatomy.n_layers

    @contextlib.contextmanager
    def attached(self) -> Iterator[PassRecorder]:
        """Record the pass in this block."""
        with contextlib.ExitStack() as hooks:
            for index, layer in enumerate(self.anatomy.layers):
                head, mlp = self._head_reader(index), self._mlp_reader(index)
                hooks.enter_context(layer.attention_output.register_forward_pre_hook(head))
                hooks.enter_context(layer.mlp_site.register_forward_hook(mlp))
            yield self

    def donors(self, device: torch.device) -> Donors:
        """What was recorded; entry `row * positions + position`, nothing placed yet."""
        heads = torch.stack([part.flatten(0, 1).to(device) for part in self._heads], 1)
        mlps = torch.stack([part.flatten(0, 1).to(device) for part in self._mlps], 1)
        return Donors(
            heads.unflatten(-1, (self.anatomy.n_heads, self.anatomy.d_head)),
            mlps * self.anatomy.residual_multiplier,
            torch.full((1, 1), -1, device=device),
        )

    def _head_reader(self, layer: int):
        def read(module: nn.Module, args: tuple) -> None:
            self._heads[layer] = args[0].detach()

        return read

    def _mlp_reader(self, layer: int):
        def read(module: nn.Module, args: tuple, output: Tensor | tuple) -> None:
            self._mlps[layer] = added_by(output).detach()

        return read


def placed(donors: Donors, place: Int[Tensor, "row position"]) -> Donors:
    """The same donors with every row's entries for the next pass; -1 where it keeps its own."""
    return Donors(donors.head, donors.mlp, place.to(donors.head.device))
