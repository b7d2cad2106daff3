"""Transfer between languages: the matrix of effects, and the correlation of rankings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rankings import HEADS, LAYERS, ranking
from scipy import stats
from synthetic_study import make_ablation

from lengthlens.analysis.effects import summarise_ablation
from lengthlens.analysis.transfer import (
    COLUMNS,
    MEASURES,
    PROFILE_COLUMNS,
    correlate_profiles,
    summarise_transfer,
)
from lengthlens.statistics import Bootstrap


def effects() -> pd.DataFrame:
    """Two languages; each has its own sets of 1 and 2 heads, and the other's of 2."""
    ablations = {}
    for place, language in enumerate(("en", "lb")):
        other = ("en", "lb")[1 - place]
        data = make_ablation(k=(1, 2, 3), controls=4, seed=place)
        k = data["k"].to_numpy()
        source = np.where(k == 3, other, language)
        data = data.assign_coords(
            k=("condition", np.where(k == 3, 2, k)), source_language=("condition", source)
        )
        ablations["i", language] = data
    return summarise_ablation(ablations, Bootstrap(resamples=100))


def test_the_matrix_has_every_source_and_target_at_the_sizes_that_were_tried() -> None:
    table = summarise_transfer(effects(), ["lb"])
    assert tuple(table.columns) == COLUMNS
    assert set(table["k"]) == {2}
    assert set(table["measure"]) == set(MEASURES)
    cells = table[["method", "measure", "source_language", "target_language"]]
    assert not cells.duplicated().any()
    assert len(cells) == 2 * len(MEASURES) * 4
    assert (table["untuned"] == (table["target_language"] == "lb")).all()
    assert table["effect_low"].notna().any() and (table["n_controls"] == 4).all()


def test_without_other_languages_there_is_no_matrix() -> None:
    alone = summarise_ablation({("i", "en"): make_ablation()}, Bootstrap(resamples=100))
    table = summarise_transfer(alone, [])
    assert table.empty and tuple(table.columns) == COLUMNS


def with_scores(scores: np.ndarray) -> pd.DataFrame:
    table = ranking(methods=("cwa",))
    table["score"] = table["score"].astype(float)
    heads = table["kind"] == "head"
    places = table.loc[heads, "layer"].to_numpy(int), table.loc[heads, "head"].to_numpy(int)
    table.loc[heads, "score"] = scores[places]
    return table


def profiles(first: np.ndarray, second: np.ndarray) -> pd.Series:
    selections = {("i", "en"): with_scores(first), ("i", "it"): with_scores(second)}
    table = correlate_profiles(selections, ["it"], Bootstrap(resamples=300))
    assert tuple(table.columns) == PROFILE_COLUMNS
    [row] = table.to_dict("records")
    return pd.Series(row)


def test_equal_profiles_correlate_beyond_chance() -> None:
    scores = np.random.default_rng(0).standard_normal((LAYERS, HEADS))
    row = profiles(scores, scores)
    assert row["correlation"] == pytest.approx(1.0)
    assert row["within_layers"] == pytest.approx(1.0)
    assert row["within_high"] < 0.6
    assert (row["n_heads"], row["untuned"]) == (LAYERS * HEADS, True)


def test_profiles_that_share_only_their_layers_are_no_more_than_chance() -> None:
    """Layers differ by 10, heads at random: correlation about 1, and so does chance give it."""
    rng = np.random.default_rng(1)
    layer = 10.0 * np.arange(LAYERS)[:, None]
    first, second = (layer + rng.standard_normal((LAYERS, HEADS)) for _ in range(2))
    row = profiles(first, second)
    plain = stats.spearmanr(first.ravel(), second.ravel()).statistic
    assert row["correlation"] == pytest.approx(plain)
    assert plain > 0.9
    assert row["chance_low"] <= row["correlation"] <= row["chance_high"]
    assert row["within_low"] <= row["within_layers"] <= row["within_high"]


@pytest.mark.slow
def test_chance_holds_its_level() -> None:
    """Unrelated profiles lie outside of the 95 % range in 5 %; 300 pairs, standard error .013."""
    scores = np.random.default_rng(2).standard_normal((25, LAYERS, HEADS))
    selections = {("i", f"l{place}"): with_scores(own) for place, own in enumerate(scores)}
    table = correlate_profiles(selections, [], Bootstrap(resamples=300))
    assert len(table) == 25 * 24 / 2
    inside = table["within_layers"].between(table["within_low"], table["within_high"])
    assert 1 - inside.mean() == pytest.approx(0.05, abs=0.04)


def test_a_language_without_scores_has_no_correlation() -> None:
    scores = np.random.default_rng(0).standard_normal((LAYERS, HEADS))
    selections = {
        ("i", "en"): with_scores(scores),
        ("i", "it"): with_scores(np.full((LAYERS, HEADS), np.nan)),
    }
    assert correlate_profiles(selections, [], Bootstrap(resamples=100)).empty
