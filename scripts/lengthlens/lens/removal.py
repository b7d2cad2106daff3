"""Components that are removed while a model answers: from names to an intervention on every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from lengthlens.ablation.condition_sets import ConditionSets
from lengthlens.ablation.conditions import Condition
from lengthlens.attribution.means import replacement
from lengthlens.decoding.intervention import POSITIONS, Intervention
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel
from lengthlens.lens.components import named
from lengthlens.models.anatomy import Anatomy


@dataclass(frozen=True)
class Removal:
    """What is removed, the same in all rows; perhaps nothing."""

    condition: Condition
    sets: ConditionSets

    def rows(self, n_rows: int) -> Intervention | None:
        """The intervention of a batch; None where nothing is removed."""
        return self.sets.rows([0] * n_rows) if self.condition.k else None

    def described(self) -> dict[str, str]:
        """The attributes of a dataset that tell of it."""
        mode = self.condition.mode if self.condition.k else "none"
        return {
            "without": self.condition.components,
            "mode": mode,
            "positions": self.condition.positions,
        }


def removal(
    loaded: LoadedModel, without: str | Sequence[str], means: xr.Dataset | None, positions: str
) -> Removal:
    """The removal that the arguments of `Lens.generate` ask for.

    Raises:
        LengthlensError: one of them is wrong.
    """
    anatomy = loaded.anatomy
    if positions not in POSITIONS:
        raise LengthlensError(f"positions is {positions!r}; write one of {list(POSITIONS)}")
    found = named(without, anatomy.layout.has_head, anatomy.layout.has_mlp)
    if means is not None:
        _check_means(means, anatomy)
        if not (found.heads or found.mlps):
            raise LengthlensError("means are given, but no component that they stand in for")
    mode = "zero" if means is None else "mean"
    condition = Condition(found.heads, mode, positions, mlps=found.mlps)
    stand_in = None if means is None else replacement(means)
    return Removal(condition, ConditionSets([condition], anatomy, loaded.device, stand_in))


def _check_means(means: xr.Dataset, anatomy: Anatomy) -> None:
    """Refuse sums that are not of this model, or of no step at all."""
    wanted = (2, anatomy.n_layers, anatomy.n_heads, anatomy.d_head)
    found = means["sum_head"].shape if "sum_head" in means else None
    if found != wanted:
        raise LengthlensError(
            "means must be a dataset of Lens.generate or an attribution file of the same model: "
            f"its sum_head has the shape {found}, not {wanted}"
        )
    if not (means["count"].to_numpy() > 0).all():
        raise LengthlensError(
            "means are of answers of one token each, so there is no mean at generated tokens; give "
            "a dataset with longer answers"
        )
