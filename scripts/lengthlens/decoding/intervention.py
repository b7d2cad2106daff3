"""Replacing the output of chosen components while a model decodes.

An `Intervention` holds one set of components for every row of a batch, so that one batch carries
many ablation conditions. A removed head's input to the output projection, or a removed MLP's
output, is replaced by zero, by a mean, or by what it was in another run (`Donors`). `positions`
says where: `generated` means the last prompt token and every generated one (the positions whose
output decides a generated token), `all` means the prompt too, which equals editing the weights, and
`placed` means wherever a donor is named, in the prompt or after it (activation patching).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lengthlens.models.anatomy import Anatomy
from lengthlens.models.hooks import at_heads, at_mlp

POSITIONS = ("generated", "all", "placed")


@dataclass(frozen=True)
class Replacement:
    """What stands in for a removed component, by position class (0: prompt, 1: generated)."""

    head: Float[Tensor, "2 layer head d_head"]
    mlp: Float[Tensor, "2 layer d_model"]


@dataclass
class Donors:
    """Recorded outputs that stand in for removed components.

    Attributes:
        head, mlp: one entry a recorded step, as `capture.Residuals` holds them.
        place: the entry that every row takes at every position of the next forward pass; one row
            for all rows alike. Whoever drives the passes keeps it up to date. With the positions
            `placed`, -1 leaves a component as it is.
    """

    head: Float[Tensor, "entry layer head d_head"]
    mlp: Float[Tensor, "entry layer d_model"]
    place: Int[Tensor, "row position"]

    def at(self, rows: Tensor | slice) -> Int[Tensor, "row position"]:
        """The entries of some rows."""
        return self.place if len(self.place) == 1 else self.place[rows]


@dataclass(frozen=True)
class Intervention:
    """Components removed, row by row.

    Attributes:
        heads: True where a row's head is removed.
        mlps: True where a row's MLP is removed.
        positions: one of POSITIONS; `placed` needs donors for every row.
        replaced: rows whose removed components are replaced by `replacement` instead of zero.
        replacement: required where any row is `replaced`.
        resampled: rows whose removed components are replaced by those of `donors`; not with the
            positions `all`, for which donors would have to be named in every pass of the prompt.
        donors: required where any row is `resampled`.
    """

    heads: Bool[Tensor, "row layer head"]
    mlps: Bool[Tensor, "row layer"]
    positions: str = "generated"
    replaced: Bool[Tensor, " row"] | None = None
    replacement: Replacement | None = None
    resampled: Bool[Tensor, " row"] | None = None
    donors: Donors | None = None

    def __post_init__(self) -> None:
        if self.positions not in POSITIONS:
            raise ValueError(f"positions must be one of {POSITIONS}, not {self.positions!r}")
        if (self.replaced is None) != (self.replacement is None):
            raise ValueError("`replaced` and `replacement` belong together: give both or neither")
        if (self.resampled is None) != (self.donors is None):
            raise ValueError("`resampled` and `donors` belong together: give both or neither")
        if self.donors is not None and self.positions == "all":
            raise ValueError("donors need the positions 'generated' or 'placed', not 'all'")
        if self.positions == "placed" and (
            self.resampled is None or not bool(self.resampled.all())
        ):
            raise ValueError("the positions 'placed' need donors for every row")

    def select(self, rows: Tensor | slice) -> Intervention:
        """The intervention of the given rows, in that order."""
        masks = {name: getattr(self, name) for name in ("heads", "mlps", "replaced", "resampled")}
        return replace(self, **{n: mask[rows] for n, mask in masks.items() if mask is not None})


class Surgeon:
    """Hooks that apply an intervention to the forward passes of a batch.

    `at` gives the rows that the next pass computes and the class of its positions.
    """

    def __init__(self, anatomy: Anatomy, intervention: Intervention) -> None:
        self.anatomy = anatomy
        self._whole = intervention
        self._current: Intervention | None = None
        self._classes = torch.zeros(1, dtype=torch.long)
        self._donated: Tensor | None = None  # which donor entries the next pass takes

    @property
    def positions(self) -> str:
        """Where the intervention applies: one of POSITIONS."""
        return self._whole.positions

    @property
    def has_donors(self) -> bool:
        """Whether what replaces a component comes from other answers."""
        return self._whole.donors is not None

    def at(
        self,
        rows: Tensor | slice | None,
        position_classes: Sequence[int] = (0,),
        places: slice = slice(None),
    ) -> None:
        """Intervene in the next forward pass on `rows`; None switches the intervention off.

        `position_classes` names the class of every position of the pass (or of all, if it is one).
        `places` are the pass's positions among those for which donors are named.
        """
        self._classes = torch.tensor(position_classes)
        donors = self._whole.donors
        self._donated = None if rows is None or donors is None else donors.at(rows)[:, places]
        self._current = None if rows is None else self._whole.select(rows)

    @contextlib.contextmanager
    def attached(self) -> Iterator[Surgeon]:
        """Register hooks, where a component is removed, for the duration of the block."""
        with contextlib.ExitStack() as hooks:
            for index, layer in enumerate(self.anatomy.layers):
                if bool(self._whole.heads[:, index].any()):
                    hooks.enter_context(at_heads(layer, self._head_remover(index)))
                if bool(self._whole.mlps[:, index].any()):
                    hooks.enter_context(at_mlp(layer, self._mlp_remover(index), prepend=True))
            yield self

    def _fill(self, name: str, layer: int, like: Tensor, part: tuple[slice, ...] = ()) -> Tensor:
        """What replaces a component, [row, position, …]: zero, its mean, or the donor's.

        `part` are the heads of a layer that are replaced, and how wide they are.
        """
        current = self._current
        fill = torch.zeros((), dtype=like.dtype, device=like.device)
        if current.replacement is not None:
            mean = getattr(current.replacement, name)[:, layer][:, *part].to(like)
            mean = mean[self._classes.to(like.device)]
            fill = fill + _for_rows(current.replaced, mean) * mean
        if current.donors is not None:
            place = self._donated.clamp(min=0)  # what is not placed is left as it is
            donated = getattr(current.donors, name)[place, layer][:, :, *part].to(like)
            # NOTE selected, not multiplied: rows without a donor may point at anything.
            chosen = _for_rows(current.resampled, donated[0]).bool()
            fill = torch.where(chosen, donated, fill)
        return fill

    def _where_placed(self, gone: Tensor, like: Tensor) -> Tensor:
        """Of what is removed, the positions at which a donor is named.

        Raises:
            ValueError: the places are not those of this pass.
        """
        if self._current.donors is None:
            return gone
        # NOTE places of one position would be taken for all of them without a word.
        if self._donated.shape[1] != like.shape[1]:
            raise ValueError(
                f"donors are placed at {self._donated.shape[1]} positions, but the forward pass "
                f"has {like.shape[1]}"
            )
        if self.positions != "placed":
            return gone
        placed = (self._donated >= 0).to(gone.device)
        return gone & placed.reshape(*placed.shape, *[1] * (gone.dim() - 2))

    def _head_remover(self, layer: int):
        return lambda x, heads: self._replaced("head", layer, x, (heads, slice(x.shape[-1])))

    def _mlp_remover(self, layer: int):
        site = self.anatomy.layers[layer].mlp  # None in a layer without one
        return lambda added: self._replaced("mlp", layer, added, factor=site.factor)

    def _replaced(
        self,
        name: str,
        layer: int,
        given: Tensor,
        part: tuple[slice, ...] = (),
        factor: float = 1.0,
    ) -> Tensor | None:
        """What components of a layer give, those removed replaced (`_fill`); None if none are."""
        current = self._current
        if current is None:
            return None
        gone = getattr(current, f"{name}s")[:, layer][:, *part[:1]].to(given.device)
        gone = self._where_placed(gone[:, None, ..., None], given)
        fill = self._fill(name, layer, given, part)
        return torch.where(gone, fill / factor, given)


def _for_rows(mask: Bool[Tensor, " row"], like: Tensor) -> Tensor:
    """A mask over rows, shaped for [row, *like]."""
    return mask.to(like).reshape(-1, *[1] * like.dim())
