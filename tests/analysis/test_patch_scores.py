"""Scores against patches: Spearman's correlation of the means, on the random sample alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import spearmanr
from synthetic_forced import make_pair

from lengthlens.analysis.patch_scores import COLUMNS, compare_with_patches
from lengthlens.patching.sampled import CHOSEN, NOT, SAMPLED
from lengthlens.statistics import Bootstrap

KEY = ("m", "en")
BOOTSTRAP = Bootstrap(resamples=200)
POSITIONS, SWAPS = ["prompt", "generated", "all"], [-1, 1]


def patching(own: xr.Dataset, patched: np.ndarray) -> xr.Dataset:
    """Patches that AtP foretells, of the components that are patched; elsewhere noise."""
    rng = np.random.default_rng(5)
    n, shapes = own.sizes["sample"], {"head": patched.shape, "mlp": patched.shape[:1]}
    data = {"patched_head": (("layer", "head"), patched)}
    for kind, shape in shapes.items():
        dims = ("positions", "swap", "sample", "layer", "head")[: 3 + len(shape)]
        truth = rng.standard_normal(shape)
        for name, noise in (("noising", 0.1), ("atp", 0.2)):
            values = rng.standard_normal((3, 2, n, *shape))
            values[2, 1] = truth + noise * rng.standard_normal((n, *shape))
            if kind == "head" and name == "noising":
                values[..., patched == NOT] = np.nan
            data[f"{name}_{kind}"] = (dims, values)
    coords = {"positions": POSITIONS, "swap": SWAPS, "sample_id": own["sample_id"]}
    return xr.Dataset(data, coords | {"topic": own["topic"]})


def compared(patched: np.ndarray) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:
    own, forced = make_pair()
    patches = patching(own, patched)
    table = compare_with_patches({KEY: own}, {KEY: forced}, {KEY: patches}, BOOTSTRAP)
    assert tuple(table.columns) == COLUMNS
    return table.set_index(["kind", "over", "score"]).sort_index(), own, patches


def test_only_the_random_sample_is_compared() -> None:
    """20 heads, 8 of them sampled and 4 others chosen as the best; by scipy over the 8."""
    patched = np.full((4, 5), NOT)
    patched[:, :2], patched[:, 4] = SAMPLED, CHOSEN
    table, own, patches = compared(patched)
    split, at = own["split"].to_numpy(), patches.sel(positions="all", swap=1)
    atp = at["atp_head"].to_numpy()[split == "select"].mean(0)[:, :2].ravel()
    patch = at["noising_head"].to_numpy()[split == "evaluate"].mean(0)[:, :2].ravel()
    row = table.loc["head", "all", "atp"]
    assert row["n_components"] == 8
    assert row["correlation"] == pytest.approx(spearmanr(atp, patch).statistic, abs=1e-12)
    assert (table.loc["mlp"]["n_components"] == 4).all()
    assert (table.loc["all"]["n_components"] == 12).all()


def test_the_score_that_foretells_patches_wins() -> None:
    table, *_ = compared(np.full((4, 5), SAMPLED))
    assert (table["outcome"] == "noising_all").all()
    for over in ("all", "within"):
        rows = table.loc["head", over]
        assert rows.loc["atp", "correlation"] > 0.9
        assert rows.loc["effect", "correlation"] < 0.7  # removal is one score among them
    assert "layer_mean" not in table.loc["head", "within"].index
