"""What every head and MLP gives at every position of a forward pass: donors for patching.

`Recorder` of `capture` keeps the last position of a decode; here all positions of one pass are
kept, in the layout of `intervention.Donors`: an entry a row and position, rows one after another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from jaxtyping import Int
from torch import Tensor

from lengthlens.decoding.intervention import Donors
from lengthlens.models.anatomy import Anatomy
from lengthlens.models.hooks import all_heads, at_components


class PassRecorder:
    """Hooks that keep heads (the input x of the output projection) and MLPs of one pass."""

    def __init__(self, anatomy: Anatomy) -> None:
        self.anatomy = anatomy
        self._heads: list[dict[int, tuple[Tensor, slice]]] = [{} for _ in anatomy.layers]
        self._mlps: list[Tensor | None] = [None] * anatomy.n_layers

    @contextlib.contextmanager
    def attached(self) -> Iterator[PassRecorder]:
        """Record the pass in this block."""
        with at_components(self.anatomy, self._read_heads, self._read_mlp):
            yield self

    def donors(self, device: torch.device) -> Donors:
        """What was recorded; entry `row * positions + position`, nothing placed yet."""
        a = self.anatomy
        like = next(x[..., 0, 0] for parts in self._heads for x, _ in parts.values())
        heads = [all_heads(a, list(parts.values()), like) for parts in self._heads]
        mlps = [
            like.new_zeros(*like.shape, a.d_model) if mlp is None else mlp * layer.mlp.factor
            for layer, mlp in zip(a.layers, self._mlps, strict=True)
        ]
        head, mlp = (
            torch.stack([part.flatten(0, 1).to(device) for part in parts], 1)
            for parts in (heads, mlps)
        )
        return Donors(head, mlp, torch.full((1, 1), -1, device=device))

    def _read_heads(self, layer: int, x: Tensor, heads: slice) -> None:
        self._heads[layer][heads.start] = x.detach(), heads

    def _read_mlp(self, layer: int, added: Tensor) -> None:
        self._mlps[layer] = added.detach()


def placed(donors: Donors, place: Int[Tensor, "row position"]) -> Donors:
    """The same donors with every row's entries for the next pass; -1 where it keeps its own."""
    return Donors(donors.head, donors.mlp, place.to(donors.head.device))
