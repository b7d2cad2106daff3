"""Replacing the output of chosen components while a model decodes.

An `Intervention` holds one set of components for every row of a batch, so that one batch carries
many ablation conditions. A removed head's input to the output projection, or a removed MLP's
output, is replaced by zero or by a mean. `positions` says where: `generated` means the last prompt
token and every generated one (the positions whose output decides a generated token), `all` means
the prompt too, which equals editing the weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lengthlens.anatomy import Anatomy

POSITIONS = ("generated", "all")


@dataclass(frozen=True)
class Replacement:
    """What stands in for a removed component, by position class (0: prompt, 1: generated)."""

    head: Float[Tensor, "2 layer head d_head"]
    mlp: Float[Tensor, "2 layer d_model"]


@dataclass(frozen=True)
class Intervention:
    """Components removed, row by row.

    Attributes:
        heads: True where a row's head is removed.
        mlps: True where a row's MLP is removed.
        positions: `generated` or `all`.
        replaced: rows whose removed components are replaced by `replacement` instead of zero.
        replacement: required where any row is `replaced`.
    """

    heads: Bool[Tensor, "row layer head"]
    mlps: Bool[Tensor, "row layer"]
    positions: str = "generated"
    replaced: Bool[Tensor, " row"] | None = None
    replacement: Replacement | None = None

    def __post_init__(self) -> None:
        if self.positions not in POSITIONS:
            raise ValueError(f"positions must be one of {POSITIONS}, not {self.positions!r}")
        if (self.replaced is None) != (self.replacement is None):
            raise ValueError("`replaced` and `replacement` belong together: give both or neither")

    @property
    def n_rows(self) -> int:
        return self.heads.shape[0]

    def select(self, rows: Tensor) -> Intervention:
        """The intervention of the given rows, in that order."""
        replaced = None if self.replaced is None else self.replaced[rows]
        return Intervention(
            self.heads[rows], self.mlps[rows], self.positions, replaced, self.replacement
        )


class Surgeon:
    """Hooks that apply an intervention to the forward passes of a batch.

    `at` gives the rows that the next pass computes and the class of its positions.
    """

    def __init__(self, anatomy: Anatomy, intervention: Intervention) -> None:
        self.anatomy = anatomy
        self._whole = intervention
        self._current: Intervention | None = None
        self._classes = torch.zeros(1, dtype=torch.long)

    @property
    def positions(self) -> str:
        """Where the intervention applies: `generated` or `all`."""
        return self._whole.positions

    def at(self, rows: Tensor | slice | None, position_classes: Sequence[int] = (0,)) -> None:
        """Intervene in the next forward pass on `rows`; None switches the intervention off.

        `position_classes` names the class of every position of the pass (or of all, if it is one).
        """
        self._classes = torch.tensor(position_classes)
        if rows is None or isinstance(rows, slice):
            self._current = None if rows is None else self._whole
        else:
            self._current = self._whole.select(rows)

    @contextlib.contextmanager
    def attached(self) -> Iterator[Surgeon]:
        """Register hooks, where a component is removed, for the duration of the block."""
        handles = []
        try:
            for index, layer in enumerate(self.anatomy.layers):
                if bool(self._whole.heads[:, index].any()):
                    hook = self._head_remover(index)
                    handles.append(layer.attention_output.register_forward_pre_hook(hook))
                if bool(self._whole.mlps[:, index].any()):
                    hook = self._mlp_remover(index)
                    handles.append(layer.mlp_site.register_forward_hook(hook, prepend=True))
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _fill(self, means: Float[Tensor, "2 ..."], like: Tensor) -> Tensor:
        """What replaces a component, [row, position, …]: its mean where asked for, else zero."""
        mean = means.to(like)[self._classes.to(like.device)]
        replaced = self._current.replaced.to(like)
        return replaced.reshape(-1, *[1] * mean.dim()) * mean

    def _head_remover(self, layer: int):
        shape = (self.anatomy.n_heads, self.anatomy.d_head)

        def remove(module: nn.Module, args: tuple) -> tuple | None:
            current = self._current
            if current is None:
                return None
            x = args[0].unflatten(-1, shape)
            gone = current.heads[:, layer].to(x.device)[:, None, :, None]
            fill = torch.zeros((), dtype=x.dtype, device=x.device)
            if current.replacement is not None:
                fill = self._fill(current.replacement.head[:, layer], like=x)
            return (torch.where(gone, fill, x).flatten(-2), *args[1:])

        return remove

    def _mlp_remover(self, layer: int):
        multiplier = self.anatomy.residual_multiplier

        def remove(module: nn.Module, args: tuple, output: Tensor | tuple) -> Tensor | tuple | None:
            current = self._current
            if current is None:
                return None
            added = output[0] if isinstance(output, tuple) else output
            gone = current.mlps[:, layer].to(added.device)[:, None, None]
            fill = torch.zeros((), dtype=added.dtype, device=added.device)
            if current.replacement is not None:
                fill = self._fill(current.replacement.mlp[:, layer] / multiplier, like=added)
            added = torch.where(gone, fill, added)
            return (added, *output[1:]) if isinstance(output, tuple) else added

        return remove
