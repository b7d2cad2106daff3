"""What ablation does: outcomes of every sample, changes, effects against controls."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from synthetic_study import make_ablation

from lengthlens.analysis.effects import COLUMNS, chosen_sets, dose_response, summarise_ablation
from lengthlens.analysis.outcomes import MEASURES, measure_values
from lengthlens.errors import LengthlensError
from lengthlens.statistics import Bootstrap, mean_interval

FAST = Bootstrap(resamples=200)


def of_errors(errors: list[float], cut: list[float]) -> xr.Dataset:
    dims = ("condition", "sample")
    return xr.Dataset({"error": (dims, [errors]), "truncated": (dims, [cut])})


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("exact", [1, 0, 0, 0, 0, np.nan]),
        ("early", [0, 1, 0, 0, 0, np.nan]),
        ("late", [0, 0, 1, 1, 1, np.nan]),
        ("truncated", [0, 0, 0, 1, 1, np.nan]),
        ("error", [0, -2, 3, 0, -1, np.nan]),
        ("absolute_error", [0, 2, 3, 0, 1, np.nan]),
    ],
)
def test_outcomes_of_answers(measure: str, expected: list[float]) -> None:
    """Exact, short, long, cut with N words, cut short (it would have gone on), not answered."""
    data = of_errors([0, -2, 3, 0, -1, np.nan], [0, 0, 0, 1, 1, np.nan])
    np.testing.assert_array_equal(measure_values(data, measure)[0], expected)


def test_every_answer_is_exact_early_or_late() -> None:
    data = make_ablation()
    total = sum(measure_values(data, name) for name in ("exact", "early", "late"))
    assert (total == 1).all()


def test_neutral_sentences_weigh_by_their_tokens() -> None:
    """The plain mean over sentences = log-likelihood a token of all of them together."""
    data = make_ablation()
    found = measure_values(data, "neutral_loglik").mean(axis=1)
    expected = data["sentence_loglik"].sum("sentence") / data["sentence_tokens"].sum()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_unknown_measures_are_refused() -> None:
    with pytest.raises(LengthlensError, match="'speed'; known: exact, early"):
        measure_values(make_ablation(), "speed")


def test_chosen_sets_come_with_their_controls() -> None:
    data = make_ablation(k=(1, 2), controls=5)
    found = chosen_sets(data)
    assert [(c.labels["method"], c.labels["k"]) for c in found] == [
        ("cwa", 1), ("cwa", 2), ("end_contrast", 1), ("end_contrast", 2),
    ]  # fmt: skip
    for chosen in found:
        assert not bool(data["control"][chosen.place])
        assert len(chosen.controls) == 5
        for place in chosen.controls:
            assert bool(data["control"][place])
            assert int(data["k"][place]) == chosen.labels["k"]
            assert str(data["method"].to_numpy()[place]) == chosen.labels["method"]


def test_changes_are_paired_by_sample_and_clustered_by_topic() -> None:
    data = make_ablation(controls=8)
    table = summarise_ablation({("i", "en"): data}, FAST)
    assert tuple(table.columns) == COLUMNS
    assert set(table["measure"]) == set(MEASURES)
    row = table[(table["measure"] == "error") & (table["method"] == "cwa")].iloc[0]
    place = chosen_sets(data)[0].place
    difference = (data["error"][place] - data["error"][0]).to_numpy().astype(float)
    plain = mean_interval(difference, data["topic"].to_numpy(), FAST)
    assert row["change"] == pytest.approx(float(plain.estimate))
    assert row["change_low"] == pytest.approx(float(plain.low), abs=0.05)
    assert row["change_high"] == pytest.approx(float(plain.high), abs=0.05)
    assert row["change"] == pytest.approx(row["chosen"] - row["none"])


def test_controls_that_do_not_answer_count_for_the_margin_alone() -> None:
    data = make_ablation(k=(1,), controls=8)
    silent = data["draw"].to_numpy() > 3
    for name in ("error", "truncated"):
        values = data[name].to_numpy().astype(float)
        values[silent] = np.nan
        data[name] = (("condition", "sample"), values)
    table = summarise_ablation({("i", "en"): data}, FAST).set_index(["measure", "method"])
    assert table.loc[("exact", "cwa"), "n_controls"] == 3
    assert table.loc[("end_margin", "cwa"), "n_controls"] == 8
    assert np.isfinite(table.loc[("error", "cwa"), "effect_low"])


def test_doses_are_of_the_files_own_language() -> None:
    data = make_ablation(k=(1, 2))
    source = data["source_language"].to_numpy().astype(object)
    source[data["k"].to_numpy() == 2] = "it"
    data = data.assign_coords(source_language=("condition", source.astype(str)))
    doses = dose_response(data, "error", "cwa", "zero", FAST)
    assert [dose.k for dose in doses] == [1]
    assert [d.k for d in dose_response(data, "error", "cwa", "zero", FAST, "it")] == [2]
