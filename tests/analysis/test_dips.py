"""Dips: each N against its neighbours, with limits for all N together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic_attribution import make_attribution

from lengthlens.analysis.dips import OPEN, _limits, find_dips, neighbour_contrasts
from lengthlens.statistics import Bootstrap

N = (3, 4, 5, 6, 7)


def answers(error_of, per_n: int = 24, cut: bool = False, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = np.repeat(N, per_n)
    error = np.array([error_of(number, rng) for number in n])
    topics = [f"topic-{i % 12:02d}" for i in range(len(n))]
    return pd.DataFrame({"n": n, "error": error, "topic": topics, "truncated": cut})


def attribution(late=0.0, dip_at=None, depth=0.0, per_n: int = 24):
    """8 layers; the late ones score `late` a step, less `depth` at one N; the sum grows with N."""
    shift = np.zeros((8, 1))
    shift[6:] = late
    made = make_attribution(0, N, per_n, 8, 1, {"head": shift}, 1.0, 12, 0.2).dataset
    if dip_at is not None:
        here = (made["n"] == dip_at).to_numpy()
        made["cwa_head"][:, here, 6:] -= depth * made["n_steps"][here]
    return made


def misses(share):
    return lambda n, rng: int(rng.random() < share(n))


def dips(table, sums=None, bootstrap=Bootstrap(resamples=400)) -> pd.DataFrame:  # noqa: B008
    return find_dips({("i", "en"): table}, {("i", "en"): sums or attribution()}, bootstrap)


def chosen(table, measure, against="neighbours") -> pd.DataFrame:
    rows = table[(table["measure"] == measure) & (table["against"] == against)]
    return rows.set_index("n")


def test_contrasts_sum_to_zero_and_lines_forget_trends() -> None:
    """The coefficients of every contrast add up to 0; inside and against the line, a straight
    line gives 0 too."""
    found = list(neighbour_contrasts([3, 4, 5, 7]))
    for n, against, weights in found:
        assert sum(weights.values()) == pytest.approx(0) and weights[n] == 1
        inside = n in (4, 5)
        trend = sum(weight * (2 * number + 1) for number, weight in weights.items())
        assert (trend == pytest.approx(0)) == (inside or against == "line")
    assert [(n, against) for n, against, _ in found] == [
        (3, "neighbours"),
        (3, "line"),
        (4, "neighbours"),
        (5, "neighbours"),
        (7, "neighbours"),
        (7, "line"),
    ]
    assert dict(found[0][2]) == {3: 1, 4: -0.5, 5: -0.5}
    assert not list(neighbour_contrasts([3, 5]))


def test_values_are_those_of_the_means() -> None:
    table = answers(misses(lambda n: 0.4))
    means = table["error"].eq(0).groupby(table["n"]).mean()
    rows = chosen(dips(table), "exact")
    assert rows.loc[5, "value"] == pytest.approx(means[5] - (means[4] + means[6]) / 2)
    assert rows.loc[3, "value"] == pytest.approx(means[3] - (means[4] + means[5]) / 2)
    assert rows.loc[5, "neighbours"] == "4 6" and rows.loc[7, "neighbours"] == "6 5"
    assert set(rows["n_samples"]) == {72}


def test_a_planted_dip_is_found_alone() -> None:
    """At N = 5 nearly all answers miss, elsewhere one in ten."""
    table = dips(answers(misses(lambda n: 0.95 if n == 5 else 0.1)))
    for measure in ("exact", "absolute_error"):
        rows = chosen(table, measure)
        assert rows.loc[5, "verdict"] == "worse"
        assert (rows["verdict"] == "worse").sum() == 1
        assert (rows["all_low"] <= rows["value_low"]).all()
        assert (rows["all_high"] >= rows["value_high"]).all()


def test_a_planted_dip_of_attribution_is_found_per_step() -> None:
    """The same score a step at every N: sums grow with N, means do not, and nothing dips."""
    table = answers(misses(lambda n: 0.4))
    even = chosen(dips(table, attribution(late=1.0)), "late_heads")
    assert not (even["verdict"] == "worse").any()
    dipped = chosen(dips(table, attribution(late=1.0, dip_at=6, depth=0.5)), "late_heads")
    assert dipped.loc[6, "value"] == pytest.approx(even.loc[6, "value"] - 0.5 * 2)  # two layers
    assert list(dipped.index[dipped["verdict"] == "worse"]) == [6]
    mlps = chosen(dips(table, attribution(late=1.0, dip_at=6, depth=0.5)), "late_mlps")
    assert not (mlps["verdict"] == "worse").any()


def test_a_trend_is_a_dip_at_the_end_only_against_neighbours() -> None:
    trend = answers(misses(lambda n: 0.9 - 0.2 * (n - 3)), per_n=120)
    table = dips(trend, attribution(per_n=120))
    assert chosen(table, "exact").loc[3, "verdict"] == "worse"
    assert chosen(table, "exact", "line").loc[3, "verdict"] == "open"


def test_cut_answers_hide_errors_but_not_attribution() -> None:
    table = dips(answers(misses(lambda n: 0.4), cut=True))
    assert set(chosen(table, "absolute_error")["verdict"]) == {"censored"}
    assert set(chosen(table, "exact")["verdict"]) == {"censored"}
    assert "censored" not in set(chosen(table, "late_heads")["verdict"])


def test_false_alarms_are_as_rare_as_the_level_says() -> None:
    """No dip anywhere: a family of 5 N has one in at most about 5 % of simulations.

    The studies are the components of one bootstrap: their limits are those of `find_dips`.
    """
    first = answers(misses(lambda n: 0.4))
    exact = np.random.default_rng(0).random((len(first), 400)) < 0.6
    exact[:, 0] = first["error"] == 0
    data = (exact, np.ones(len(first)), first["topic"].to_numpy(), first["n"].tolist())
    alarms = np.zeros(exact.shape[1], dtype=bool)
    own = dips(first).set_index(["measure", "n", "against"]).loc["exact"]
    for n, against, coefficients in neighbour_contrasts(N):
        _, together = _limits(data, coefficients, len(N), Bootstrap(resamples=400))
        away = (together.low > 0) | (together.high < 0)
        row = own.loc[(n, against)]
        assert row["all_low"] == pytest.approx(together.low[0])
        assert (row["verdict"] != OPEN) == away[0]
        alarms |= away
    assert alarms.sum() <= 31  # P(X > 31) < 0.01 for X ~ Binomial(400, 0.05)


def test_few_resamples_fall_back_to_student() -> None:
    table = answers(misses(lambda n: 0.4))
    assert set(dips(table, bootstrap=Bootstrap(resamples=200))["method"]) == {"student"}
    assert set(dips(table, bootstrap=Bootstrap(resamples=400))["method"]) == {"guarded"}


def test_two_n_cannot_dip() -> None:
    table = answers(misses(lambda n: 0.4))
    table = table[table["n"] <= 4].reset_index(drop=True)
    assert dips(table).empty
