"""Components that are removed while a model answers: from names to an intervention on every row."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from lengthlens.ablation.condition_sets import ConditionSets
from lengthlens.ablation.conditions import Condition
from lengthlens.attribution.means import replacement
from lengthlens.decoding.intervention import POSITIONS
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel
from lengthlens.lens.components import named
from lengthlens.models.anatomy import Anatomy


def removal(
    loaded: LoadedModel, without: str | Sequence[str], means: xr.Dataset | None, positions: str
) -> tuple[Condition, ConditionSets]:
    """What the arguments of `Lens.generate` ask to remove: perhaps nothing, the mode `none`.

    Raises:
        LengthlensError: one of them is wrong.
    """
    anatomy = loaded.anatomy
    if positions not in POSITIONS:
        raise LengthlensError(f"positions is {positions!r}; write one of {list(POSITIONS)}")
    heads, mlps = named(without, anatomy.layout.has_head, anatomy.layout.has_mlp)
    mode = "zero" if heads or mlps else "none"
    if means is not None:
        _check_means(means, anatomy)
        if mode == "none":
            raise LengthlensError("means are given, but no component that they stand in for")
        mode = "mean"
    condition = Condition(heads, mode, positions, mlps=mlps)
    stand_in = None if means is None else replacement(means)
    return condition, ConditionSets([condition], anatomy, loaded.device, stand_in)


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
