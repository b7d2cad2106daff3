"""Ranking components on the select prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from synthetic_attribution import make_attribution

from lengthlens.ablation.selection import (
    COLUMNS,
    component_name,
    sample_scores,
    select_components,
    with_forced,
)
from lengthlens.errors import LengthlensError
from lengthlens.files.formats import SELECTION
from lengthlens.files.tables import write_table
from lengthlens.readers import open_selection


def attribution(seed: int = 0, undefined: float = 0.3) -> xr.Dataset:
    """Synthetic sums with a split, end contrasts and measured scores, some of them undefined."""
    rng = np.random.default_rng(seed)
    data = make_attribution(seed).dataset
    n = data.sizes["sample"]
    missing = rng.random(n) < undefined
    for kind, shape in {"head": (3, 2), "mlp": (3,)}.items():
        values = rng.standard_normal((n, *shape))
        values[missing] = np.nan
        dims = ("sample", "layer", "head")[: 1 + len(shape)]
        data[f"end_contrast_{kind}"] = (dims, values)
        effects = rng.standard_normal((1, n, *shape))
        effects[:, missing] = np.nan
        data[f"effect_{kind}"] = (("mode", *dims), effects)
        swaps = rng.standard_normal((2, n, *shape))
        swaps[0, ::3] = np.nan  # N - 1 = 0 has no prompt
        data[f"nswap_{kind}"] = (("swap", *dims), swaps)
        atp = rng.standard_normal((n, *shape))
        atp[missing] = np.nan
        data[f"atp_{kind}"] = (dims, atp)
    return data.assign_coords(split=("sample", np.where(rng.random(n) < 0.5, "select", "evaluate")))


def test_scores_are_means_over_the_select_split() -> None:
    """cwa: mean of CWA / steps; the others: mean where defined. By loops over samples."""
    data = attribution()
    table = select_components(data)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 6 * (6 + 3)
    chosen = [i for i in range(data.sizes["sample"]) if data["split"][i] == "select"]
    assert 5 < len(chosen) < data.sizes["sample"] - 5
    for row in table.itertuples():
        place = {"layer": row.layer} | ({} if row.kind == "mlp" else {"head": row.head})
        values = []
        for i in chosen:
            one = data.isel(sample=i, **place)
            if row.method == "cwa":
                values.append(float(one[f"cwa_{row.kind}"].sel(target="token") / one["n_steps"]))
            elif row.method == "nswap":
                values.append(np.nanmean(one[f"nswap_{row.kind}"]))
            elif np.isfinite(own := one[f"{row.method}_{row.kind}"]).all():
                values.append(own.item())
        assert row.score == pytest.approx(np.mean(values), abs=1e-12)
        head = None if row.kind == "mlp" else int(row.head)
        assert row.component == component_name(int(row.layer), head)


def test_ranks_run_from_the_largest_signed_score() -> None:
    for _, group in select_components(attribution(1)).groupby(["method", "kind"]):
        assert group["rank"].tolist() == list(range(1, len(group) + 1))
        assert group["score"].is_monotonic_decreasing
        assert group["component"].is_unique


def test_the_evaluate_split_does_not_matter() -> None:
    data = attribution()
    changed = data.copy(deep=True)
    evaluate = (data["split"] == "evaluate").to_numpy()
    for name in ("cwa_head", "cwa_mlp"):
        changed[name][:, evaluate] = 1e6
    kinds = ("head", "mlp")
    for name in (f"{score}_{kind}" for score in ("end_contrast", "norm", "atp") for kind in kinds):
        changed[name][evaluate] = 1e6
    for name in ("nswap_head", "nswap_mlp", "effect_head", "effect_mlp"):
        changed[name][:, evaluate] = 1e6
    pd.testing.assert_frame_equal(select_components(changed), select_components(data))


@pytest.mark.parametrize("case", ["no decisions", "no select samples"])
def test_without_scores_ranks_are_empty(case: str) -> None:
    data = attribution(undefined=1.0)
    methods = {"end_contrast", "effect", "atp"}
    if case == "no select samples":
        data = data.assign_coords(split=("sample", ["evaluate"] * data.sizes["sample"]))
        methods |= {"cwa", "nswap", "norm"}
    table = select_components(data)
    without = table[table["method"].isin(methods)]
    assert len(without) == 9 * len(methods)
    assert without["score"].isna().all() and without["rank"].isna().all()
    assert table[~table["method"].isin(methods)]["rank"].notna().all()


def test_tables_come_back_as_they_were_written(tmp_path: Path) -> None:
    table = select_components(attribution())
    write_table(table, tmp_path / "m.en.csv", {"schema": SELECTION})
    read = open_selection(tmp_path / "m.en.csv")
    assert read["head"].dtype == read["rank"].dtype == "Int64"
    assert read["head"].isna().equals(table["kind"] == "mlp")
    pd.testing.assert_frame_equal(read, table, check_dtype=False, rtol=1e-15)


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(
        LengthlensError, match="'luck'; known: cwa, end_contrast, nswap, effect, norm, atp"
    ):
        sample_scores(attribution(), "luck", "head")


def test_scores_come_from_all_files_of_the_same_samples() -> None:
    """AtP is that of swap +1 at all positions; without a patching file it is NaN."""
    data = attribution()
    atp = [f"atp_{kind}" for kind in ("head", "mlp")]
    grid = {"positions": ["prompt", "generated", "all"], "swap": [-1, 1]}
    patching = (data[atp] * np.nan).expand_dims(grid).copy(deep=True)
    for name in atp:
        patching[name][2, 1] = data[name]
    measured = [f"{name}_{kind}" for name in ("nswap", "effect") for kind in ("head", "mlp")]
    own, forced = data.drop_vars([*measured, *atp]), data[measured]
    joined = with_forced(own, forced, patching)
    pd.testing.assert_frame_equal(select_components(joined), select_components(data))
    without = select_components(with_forced(own, forced))
    assert without[without["method"] == "atp"]["rank"].isna().all()
    assert without[without["method"] != "atp"]["rank"].notna().all()
    with pytest.raises(LengthlensError, match="30 and 28 samples that are not the same"):
        with_forced(own, forced, patching.isel(sample=slice(2, None)))
    with pytest.raises(LengthlensError, match="30 and 29 samples that are not the same"):
        with_forced(own, forced.isel(sample=slice(1, None)))


def test_component_names() -> None:
    assert component_name(3, 5) == "L3H5"
    assert component_name(3, 0) == "L3H0"
    assert component_name(3) == "L3M"
