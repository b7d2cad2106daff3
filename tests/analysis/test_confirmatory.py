"""Confirmatory tests: named beforehand, exact under the null, silent without enough controls."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from lengthlens.ablation.hypotheses import Hypothesis, as_values, hypotheses_from, read_hypotheses
from lengthlens.analysis.confirmatory import COLUMNS, confirm
from lengthlens.analysis.outcomes import MEASURES
from lengthlens.claims.verdicts import read_claims
from lengthlens.errors import LengthlensError

CLAIMS = Path(__file__).resolve().parents[2] / "resources" / "claims.yaml"
FAMILY = [
    Hypothesis(f"h{i}", f"Claim {i}.", "instruct", language, method, "exact", "less")
    for i, (language, method) in enumerate(
        [("en", "cwa"), ("en", "end_contrast"), ("it", "cwa"), ("it", "end_contrast")]
    )
]
MODELS = {"instruct": "m"}
TOPICS = np.repeat([f"t{i:02d}" for i in range(12)], 3)


def ablation(language: str, damage: dict[str, float], seed: int, controls: int = 99) -> xr.Dataset:
    """Sets of heads differ in how often an answer stays exact; `damage` is added to the chosen.

    Under no damage the chosen set is drawn like any other.
    """
    rng = np.random.default_rng(seed)
    rows = [("none", "", False, 0.0)]
    for h in FAMILY:
        if h.language == language:
            rows += [
                (h.method, h.id, draw > 0, 0.0 if draw else damage.get(h.id, 0.0))
                for draw in range(controls + 1)
            ]
    chance = np.array([0.6 - extra for *_, extra in rows]) + 0.1 * rng.standard_normal(len(rows))
    exact = rng.random((len(rows), len(TOPICS))) < chance[:, None]
    dims = ("condition", "sample")
    return xr.Dataset(
        {
            "error": (dims, (~exact).astype(float)),
            "truncated": (dims, np.zeros(exact.shape)),
        },
        coords={
            "method": ("condition", [row[0] for row in rows]),
            "test": ("condition", [row[1] for row in rows]),
            "control": ("condition", [row[2] for row in rows]),
            "mode": ("condition", ["zero"] * len(rows)),
            "k": ("condition", [4] * len(rows)),
            "components": ("condition", ["L0H0"] * len(rows)),
            "n_possible": ("condition", [500.0] * len(rows)),
            "topic": ("sample", TOPICS),
        },
    )


def both(damage: dict[str, float], seed: int, **options) -> dict:
    return {
        ("m", language): ablation(language, damage, 2 * seed + place, **options)
        for place, language in enumerate(("en", "it"))
    }


def test_the_family_is_named_beforehand_and_small() -> None:
    family = read_hypotheses(CLAIMS)
    assert 1 <= len(family) <= 4
    assert len({h.id for h in family}) == len(family)
    assert {h.measure for h in family} <= set(MEASURES)
    assert hypotheses_from(as_values(family)) == family
    assert read_claims(CLAIMS)  # the same file, checked against the schema


def test_false_positives_are_as_rare_as_promised() -> None:
    """Nothing there: P(p <= .05) = .05 for each test, P(any shown) <= .05 for the family.

    400 families, 1600 tests: standard errors .0054 and .011.
    """
    tables = [confirm(FAMILY, MODELS, both({}, seed), resamples=100) for seed in range(400)]
    p = np.concatenate([table["p"] for table in tables])
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.017)
    assert np.mean(p <= 0.5) == pytest.approx(0.5, abs=0.04)
    families = np.mean([(table["verdict"] == "shown").any() for table in tables])
    assert families <= 0.05 + 0.033


def test_a_set_that_matters_is_shown() -> None:
    """Damage in one of four tests; its corrected p is four times its own, 1/100."""
    table = confirm(FAMILY, MODELS, both({"h2": 0.9}, 0), resamples=100)
    assert tuple(table.columns) == COLUMNS
    assert table["verdict"].tolist()[2] == "shown"
    row = table.iloc[2]
    assert row["p"] == pytest.approx(0.01)
    assert row["p_holm"] == pytest.approx(0.04)
    assert row["effect"] == pytest.approx(row["chosen"] - row["control"])
    assert row["effect_low"] < row["effect"] < row["effect_high"] < 0
    assert (row["n_samples"], row["n_topics"], row["n_controls"]) == (36, 12, 99)


def test_the_direction_counts() -> None:
    greater = [Hypothesis(**(asdict(h) | {"direction": "greater"})) for h in FAMILY]
    table = confirm(greater, MODELS, both({"h2": 0.9}, 0), resamples=100)
    assert table["p"].iloc[2] == pytest.approx(1.0)


def test_too_few_controls_give_no_p_value() -> None:
    table = confirm(FAMILY, MODELS, both({"h2": 0.9}, 0, controls=98), resamples=100)
    assert table["p"].isna().all()
    assert set(table["verdict"]) == {"not tested"}
    assert set(table["reason"]) == {"98 random sets; a p-value needs 99"}


def test_tests_that_cannot_be_made_stay_in_the_family() -> None:
    """One of four can be made: it is still corrected for four."""
    data = {("m", "it"): ablation("it", {"h2": 0.9}, 0)}
    lacking = data["m", "it"]
    data["m", "it"] = lacking.isel(condition=(lacking["test"] != "h3").to_numpy())
    table = confirm(FAMILY, MODELS, data, resamples=100)
    assert table["p"].isna().tolist() == [True, True, False, True]
    assert table["p_holm"].iloc[2] == pytest.approx(4 * table["p"].iloc[2])
    assert table["reason"].iloc[0] == "the run has no instruct model with prompts in en"
    assert table["reason"].iloc[3].startswith("no k leaves 99 distinct random sets")
    nobody = confirm(FAMILY, {"base": "b"}, data, resamples=100)
    assert set(nobody["verdict"]) == {"not tested"}


def broken(tmp_path: Path, rows) -> Path:
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"confirmatory": rows}), encoding="utf-8")
    return path


def test_wrong_families_are_refused(tmp_path: Path) -> None:
    row = asdict(FAMILY[0])
    with pytest.raises(LengthlensError, match="names 5 confirmatory tests, .* at most 4"):
        read_hypotheses(broken(tmp_path, [row | {"id": f"h{i}"} for i in range(5)]))
    with pytest.raises(LengthlensError, match="must have the keys id, claim, variant"):
        read_hypotheses(broken(tmp_path, [{"id": "x"}]))
    with pytest.raises(LengthlensError, match="does not exist"):
        read_hypotheses(tmp_path / "none.yaml")
    (tmp_path / "no.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(LengthlensError, match="is not YAML"):
        read_hypotheses(tmp_path / "no.yaml")
    (tmp_path / "old.yaml").write_text("claims: []", encoding="utf-8")
    assert read_hypotheses(tmp_path / "old.yaml") == []
