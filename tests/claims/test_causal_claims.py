"""Claims about ablation and repair read the numbers of the tables, and say what is not there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from synthetic_study import TEST_TOPICS, make_ablation

from lengthlens.analysis.effects import summarise_ablation
from lengthlens.analysis.repair import summarise_repair
from lengthlens.claims.kinds import Data
from lengthlens.claims.verdicts import evaluate_claims
from lengthlens.statistics import Bootstrap

KEY = ("tuned", "en")
ABLATION = {
    "kind": "ablation",
    "measure": "end_margin",
    "method": "end_contrast",
    "k": 2,
    "tuning": "tuned",
    "language": "en",
}
REPAIR = {
    "kind": "repair",
    "term": "final_mlp",
    "method": "late_heads",
    "tuning": "tuned",
    "language": "en",
}


def row_of(statistic: dict, direction: str = "below", **files) -> pd.Series:
    claim = {"id": "c", "claim": "So.", "origin": "ours", "null_value": 0, "direction": direction}
    data = Data({"tuned": "m"}, {}, {}, **files)
    return evaluate_claims([claim | {"statistic": statistic}], data, Bootstrap(resamples=200)).iloc[
        0
    ]


def make_repair(final: float, seed: int = 0) -> xr.Dataset:
    """Two layers of two heads, the last layer's heads removed; the final MLP gives `final`."""
    rng = np.random.default_rng(seed)
    shape = (2, len(TEST_TOPICS))
    mlp = np.zeros((*shape, 2))
    mlp[1, :, 1] = final + rng.normal(0, 0.1, len(TEST_TOPICS))
    removed = np.zeros((2, 2, 2), dtype=bool)
    removed[1, 1] = True
    dims = ("condition", "sample")
    values = {name: (dims, np.ones(shape)) for name in ("drop", "direct", "scale")}
    labels = {
        "source_language": ["en", "en"],
        "chosen_by": ["", "position"],
        "method": ["none", "late_heads"],
        "mode": ["none", "zero"],
        "k": [0, 2],
        "control": [False, False],
        "pool": ["", ""],
        "kind": ["none", "head"],
        "components": ["", "L1H0;L1H1"],
    }
    return xr.Dataset(
        values
        | {
            "share_head": ((*dims, "layer", "head"), np.zeros((*shape, 2, 2))),
            "share_mlp": ((*dims, "layer"), mlp),
            "removed_head": (("condition", "layer", "head"), removed),
            "removed_mlp": (("condition", "layer"), np.zeros((2, 2), dtype=bool)),
        },
        coords={name: ("condition", column) for name, column in labels.items()}
        | {"topic": ("sample", list(TEST_TOPICS))},
    )


@pytest.mark.parametrize("measure", ["end_margin", "exact"])
def test_an_effect_is_that_of_the_table(measure: str) -> None:
    data = make_ablation(samples=24)
    row = row_of(ABLATION | {"measure": measure}, ablations={KEY: data})
    table = summarise_ablation({("m", "en"): data}, Bootstrap(resamples=200))
    same = (table["method"] == "end_contrast") & (table["k"] == 2) & (table["measure"] == measure)
    expected = table[same & (table["chosen_by"] == "top")].iloc[0]
    found = row[["value", "low", "high"]].to_numpy(dtype=float)
    wanted = expected[["effect", "effect_low", "effect_high"]].to_numpy(dtype=float)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert row["verdict"] == ("supported" if measure == "end_margin" else "undecided")
    assert row["n"] == 24
    assert "minus that without 5 random sets" in row["statistic"]


def test_an_effect_without_damage_is_not_supported() -> None:
    data = make_ablation(samples=24, damage=-1.0)
    assert row_of(ABLATION, ablations={KEY: data})["verdict"] == "not supported"


def test_one_random_set_is_too_few_to_compare_with() -> None:
    data = make_ablation(samples=24, controls=1)
    row = row_of(ABLATION, ablations={KEY: data})
    assert row["verdict"] == "no data" and "fewer than two random ones" in row["reason"]


def test_transfer_reads_the_sets_of_the_other_language() -> None:
    data = make_ablation(samples=24)
    source = ABLATION | {"source_language": "it"}
    missing = row_of(source, ablations={KEY: data})
    assert missing["verdict"] == "no data"
    assert missing["reason"] == (
        "ablation/m.en.nc has no set of size 2 by end_contrast chosen in it"
    )
    moved = data.assign_coords(
        source_language=("condition", ["en", *["it"] * (data.sizes["condition"] - 1)])
    )
    row = row_of(source, ablations={KEY: moved})
    assert row["value"] == row_of(ABLATION, ablations={KEY: data})["value"]
    assert "chosen in it" in row["statistic"]


@pytest.mark.parametrize(
    ("final", "verdict"), [(-1.0, "supported"), (1.0, "not supported"), (0.0, "undecided")]
)
def test_repair_is_judged_by_its_sign(final: float, verdict: str) -> None:
    data = make_repair(final)
    row = row_of(REPAIR, repairs={KEY: data})
    assert row["verdict"] == verdict
    table = summarise_repair({("m", "en"): data}, Bootstrap(resamples=200))
    expected = table[table["term"] == "final_mlp"].iloc[0]
    assert row["value"] == pytest.approx(expected["contribution"], rel=1e-12)
    assert row["low"] == pytest.approx(expected["contribution_low"], rel=1e-12)


def test_repair_is_compared_between_languages() -> None:
    files = {("tuned", "it"): make_repair(-2.0, 1), KEY: make_repair(-1.0)}
    files["tuned", "it"]["source_language"][:] = "it"
    statistic = REPAIR | {"language": "it", "minus": {"language": "en"}}
    row = row_of(statistic, repairs=files)
    assert row["value"] == pytest.approx(-1.0, abs=0.2) and row["verdict"] == "supported"
    assert row["statistic"].endswith("it minus en")
    lone = row_of(statistic, repairs={("tuned", "it"): files["tuned", "it"]})
    assert lone["reason"] == "the run has no repair/m.en.nc"


def test_a_size_must_be_given_where_there_are_several() -> None:
    data = make_ablation(samples=24)
    repair = make_repair(1.0)
    statistic = REPAIR | {"method": "cwa"}
    assert "no set by cwa" in row_of(statistic, repairs={KEY: repair})["reason"]
    assert (
        "2 sets (give k)"
        in row_of(
            {key: value for key, value in ABLATION.items() if key != "k"}, ablations={KEY: data}
        )["reason"]
    )
