"""The gate: chance against permutations, intervals, and when it opens."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from lengthlens.analysis.control import measure_control
from lengthlens.statistics import Bootstrap, chance_terms

FAST = Bootstrap(resamples=200)


def answers(n, words, cut=None, topics=12):
    n, words = np.asarray(n), np.asarray(words)
    cut = np.zeros(len(n), dtype=bool) if cut is None else np.asarray(cut)
    topic = [f"topic-{index % topics:02d}" for index in range(len(n))]
    return pd.DataFrame({"n": n, "words": words, "truncated": cut, "topic": topic})


def forced(table, effect=4.0, noise=0.5):
    values = np.full((2, len(table)), np.nan)
    values[1] = effect + noise * np.random.default_rng(0).standard_normal(len(table))
    coords = {"swap": [-1, 1], "topic": ("sample", table["topic"].to_numpy())}
    return xr.Dataset({"nswap_margin": (("swap", "sample"), values)}, coords=coords)


def gate(table, data=None):
    data = forced(table) if data is None else data
    found = measure_control({("m", "en"): table}, {("m", "en"): data}, FAST)
    return found.iloc[0]


def test_chance_is_the_mean_over_permutations_of_n():
    """Σ_n P(N = n) P(words = n) = mean over permutations of the share of exact answers."""
    rng = np.random.default_rng(1)
    n, words = rng.integers(3, 8, 60), rng.integers(2, 10, 60)
    cut = rng.random(60) < 0.2
    by_hand = sum((n == k).mean() * ((words == k) & ~cut).mean() for k in range(3, 8))
    chance, beyond = chance_terms(n, words, cut)
    assert chance.mean() == pytest.approx(by_hand, abs=1e-12)
    assert beyond.mean() == pytest.approx(((n == words) & ~cut).mean() - by_hand, abs=1e-12)
    shuffled = [((rng.permutation(n) == words) & ~cut).mean() for _ in range(4000)]
    assert np.mean(shuffled) == pytest.approx(by_hand, abs=4 * np.std(shuffled) / 4000**0.5)


def test_the_standard_error_is_that_of_repeated_studies():
    """The influence values' spread predicts how much exact - chance varies between studies."""
    rng = np.random.default_rng(2)
    values, spreads = [], []
    for _ in range(600):
        n = np.repeat([3, 4, 5, 6], 20)
        words = np.where(rng.random(80) < 0.5, n, rng.integers(3, 9, 80))
        beyond = chance_terms(n, words)[1]
        values.append(beyond.mean())
        spreads.append(beyond.std(ddof=1) / 80**0.5)
    assert np.mean(spreads) == pytest.approx(np.std(values), rel=0.1)


def test_a_model_that_counts_opens_the_gate():
    n = np.repeat([3, 4, 5, 6], 12)
    row = gate(answers(n, n))  # all alike: Wilson's interval less chance, 1/4
    assert row["open"] and row["reason"] == ""
    assert row["exact"] == 1 and row["chance"] == 0.25 and row["over_chance"] == 0.75
    assert row["over_chance_low"] == pytest.approx(row["exact_low"] - 0.25)
    assert row["slope"] == pytest.approx(1) and row["n_effect"] == pytest.approx(4, abs=0.3)
    assert row["n_swapped"] == 48


@pytest.mark.parametrize("words", [5, 20])
def test_a_model_that_always_writes_as_many_words_does_not(words):
    n = np.repeat([3, 4, 5, 6], 12)
    row = gate(answers(n, np.full(48, words)))
    assert not row["open"] and row["over_chance"] == pytest.approx(0)
    assert row["slope"] == pytest.approx(0)
    assert "exact more often than chance" in row["reason"]


def test_exactness_without_an_effect_of_n_does_not():
    n = np.repeat([3, 4, 5, 6], 12)
    table = answers(n, n)
    row = gate(table, forced(table, effect=0.0))
    assert not row["open"] and row["reason"] == "N is not shown to move the decision to end"
    row = gate(table, forced(table) * np.nan)
    assert row["n_swapped"] == 0 and "could be swapped" in row["reason"]


def test_cut_answers_are_never_exact_nor_exact_by_chance():
    n = np.repeat([3, 4, 5, 6], 12)
    row = gate(answers(n, n, cut=np.ones(48, dtype=bool)))
    assert row["exact"] == row["chance"] == 0 and not row["open"] and row["truncated"] == 1


def test_one_n_and_no_answers_leave_it_closed_with_a_reason():
    row = gate(answers(np.full(12, 4), np.full(12, 4)))
    assert not row["open"] and row["reason"].startswith("only one N")
    assert np.isnan(row["slope"])
    empty = answers(np.zeros(0, int), np.zeros(0, int))
    row = gate(empty)
    assert not row["open"] and row["reason"] == "there are no answers" and row["n_samples"] == 0


def test_lower_limits_are_clustered_by_topic():
    """Twelve copies of one topic's answers say no more than one."""
    n = np.tile([3, 4, 5, 6], 12)
    words = np.where(np.arange(48) < 24, n, 20)
    one = gate(answers(n, words, topics=48))
    few = answers(n, words)
    few["topic"] = np.repeat(["a", "b", "c", "d"], 12)
    assert gate(few)["over_chance_low"] < one["over_chance_low"]
