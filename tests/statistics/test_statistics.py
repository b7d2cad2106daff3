"""Formulas of `lengthlens.statistics` against other programs, loops and full enumerations."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from lengthlens.errors import LengthlensError
from lengthlens.statistics import (
    INTERVAL_METHODS,
    Bootstrap,
    balanced_interval,
    combination_interval,
    difference_interval,
    holm,
    mean_interval,
    permutation_p,
    ratio_interval,
    share_difference_interval,
    share_interval,
    shift_variance,
    sign_null_mean,
    spearman_interval,
    wilson,
)
from lengthlens.statistics.resampling import draw_counts

STUDENT = Bootstrap(method="student")


def clustered(seed: int = 0, samples: int = 60, topics: int = 15):
    """Values [sample, 2, 3], whole denominators, topics and N."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(topics), rng.integers(topics, size=samples - topics)]
    values = rng.gamma(2, size=(samples, 2, 3)) + rng.standard_normal(topics)[labels, None, None]
    return values, rng.integers(3, 12, samples).astype(float), labels, rng.integers(3, 6, samples)


def test_estimates_are_the_plain_formulas():
    values, steps, topics, n = clustered()
    assert mean_interval(values, topics).estimate == pytest.approx(values.mean(axis=0))
    per_step = values.sum(axis=0) / steps.sum()
    assert ratio_interval(values, steps, topics).estimate == pytest.approx(per_step)
    weighted = np.average(values, axis=0, weights=steps)
    of_sums = ratio_interval(values * steps[:, None, None], steps, topics)
    assert of_sums.estimate == pytest.approx(weighted)
    by_n = [values[n == k].sum(axis=0) / steps[n == k].sum() for k in (3, 4, 5)]
    balanced = balanced_interval(values, steps, topics, n)
    assert balanced.estimate == pytest.approx(np.mean(by_n, axis=0))
    dip = combination_interval(values, steps, topics, n, {3: 1.0, 4: -0.5, 5: -0.5})
    assert dip.estimate == pytest.approx(by_n[0] - (by_n[1] + by_n[2]) / 2)


def test_student_interval_of_unclustered_data_is_scipys():
    values = np.random.default_rng(1).standard_normal(30)
    found = mean_interval(values, np.arange(30), Bootstrap(0.9, method="student"))
    low, high = stats.t.interval(0.9, 29, values.mean(), stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.standard_error == pytest.approx(stats.sem(values))


@pytest.mark.parametrize("lambdas", [{4: 1.0}, {3: 0.5, 4: 0.5, 5: -1.0}])
def test_bootstrap_t_is_the_loop_over_draws(lambdas):
    """The matrix products give what resampling topics one draw after another gives."""
    values, steps, topics, n = clustered(2, samples=240)
    values, weights = values[:, 0, 0], np.array(list(lambdas.values()))
    bootstrap = Bootstrap(resamples=400, seed=9, method="bootstrap_t")
    found = combination_interval(values, steps, topics, n, lambdas, bootstrap=bootstrap)
    counts = draw_counts(15, 400, np.random.default_rng(9))

    def theta_and_influence(rows):
        ratios = np.array([values[i].sum() / steps[i].sum() for i in rows])
        psi = np.zeros(15)
        for weight, ratio, i in zip(weights, ratios, rows, strict=True):
            parts = weight * (values[i] - ratio * steps[i]) / steps[i].sum()
            np.add.at(psi, topics[i], parts)
        return weights @ ratios, psi

    theta, psi = theta_and_influence([np.flatnonzero(n == k) for k in lambdas])
    error = np.sqrt(15 / 14 * (psi**2).sum())
    ts = []
    for count in counts.astype(int):
        rows = [np.repeat(np.flatnonzero(n == k), count[topics[n == k]]) for k in lambdas]
        star, total = theta_and_influence(rows)
        # a topic drawn c times adds c equal parts to `total`, so c (total / c)^2 to se*^2
        drawn = count > 0
        ts.append((star - theta) / np.sqrt(15 / 14 * (total[drawn] ** 2 / count[drawn]).sum()))
    ends = np.quantile(ts, [0.025, 0.975], method="inverted_cdf")
    assert found.low == pytest.approx(theta - ends[1] * error, rel=1e-9)
    assert found.high == pytest.approx(theta - ends[0] * error, rel=1e-9)


def test_guarded_takes_the_further_limit():
    values, _, topics, _ = clustered(3)
    by = {
        name: mean_interval(values, topics, Bootstrap(seed=5, method=name))
        for name in INTERVAL_METHODS
    }
    assert np.array_equal(by["guarded"].low, np.minimum(by["bootstrap_t"].low, by["student"].low))
    assert np.array_equal(
        by["guarded"].high, np.maximum(by["bootstrap_t"].high, by["student"].high)
    )


def test_bca_agrees_with_scipy():
    values = np.random.default_rng(4).gamma(2, size=40)
    ours = mean_interval(values, np.arange(40), Bootstrap(method="bca", resamples=40000))
    theirs = stats.bootstrap((values,), np.mean, n_resamples=40000, rng=0).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)


@pytest.mark.parametrize("method", INTERVAL_METHODS)
def test_intervals_move_and_scale_with_the_data(method):
    values, steps, topics, _ = clustered(5)
    bootstrap = Bootstrap(method=method)
    plain = ratio_interval(values, steps, topics, bootstrap)
    moved = ratio_interval(1e4 * steps[:, None, None] - 3 * values, steps, topics, bootstrap)
    if method != "bca":  # BCa levels are rounded to draws, differently from either side
        assert moved.low == pytest.approx(1e4 - 3 * plain.high, abs=0.05)
    assert moved.estimate == pytest.approx(1e4 - 3 * plain.estimate)
    assert np.all((plain.low < plain.estimate) & (plain.estimate < plain.high))


def test_same_seed_same_interval():
    values, _, topics, _ = clustered(6)
    a, b, c = (mean_interval(values, topics, Bootstrap(seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(a.low, b.low) and not np.array_equal(a.low, c.low)
    names = np.array([f"topic {t:02d}" for t in topics])
    assert np.array_equal(a.low, mean_interval(values, names, Bootstrap(seed=1)).low)


def test_samples_with_nan_are_dropped_by_component_and_counted():
    values, steps, topics, _ = clustered(7)
    holes = values.copy()
    holes[topics < 3, 1, 2] = np.nan
    found = ratio_interval(holes, steps, topics)
    kept = topics >= 3
    alone = ratio_interval(values[kept, 1, 2], steps[kept], topics[kept], STUDENT)
    both = ratio_interval(holes, steps, topics, STUDENT)
    assert found.n[1, 2] == kept.sum() and found.n_clusters[1, 2] == 12
    assert found.n[0, 0] == 60 and found.n_clusters[0, 0] == 15
    assert both.low[1, 2] == pytest.approx(alone.low)
    assert both.estimate[0, 0] == pytest.approx(values[:, 0, 0].sum() / steps.sum())


def test_no_interval_without_variance_topics_or_samples():
    topics = np.repeat(np.arange(12), 2)
    for method in INTERVAL_METHODS:
        constant = mean_interval(np.full(24, 0.1), topics, Bootstrap(method=method))
        assert constant.estimate == pytest.approx(0.1)
        assert np.isnan([constant.low, constant.high, constant.standard_error]).all()
    one_topic = mean_interval(np.arange(5.0), np.zeros(5))
    assert one_topic.estimate == 2 and np.isnan(one_topic.low) and one_topic.n_clusters == 1
    nothing = mean_interval(np.full((5, 2), np.nan), np.arange(5))
    assert np.isnan(nothing.estimate).all() and (nothing.n == 0).all()
    empty = mean_interval(np.empty((0, 2)), np.empty(0))
    assert np.isnan(empty.estimate).all() and np.isnan(empty.low).all()
    no_steps = ratio_interval(np.zeros(12), np.zeros(12), np.arange(12))
    assert np.isnan(no_steps.estimate)
    no_cell = combination_interval(
        np.arange(12.0), np.ones(12), np.arange(12), np.full(12, 3), {3: 1, 4: -1}
    )
    assert np.isnan(no_cell.estimate) and np.isnan(no_cell.low)


def test_few_topics_or_few_values_fall_back_to_student():
    seven = mean_interval(np.arange(7.0), np.arange(7))
    assert seven.low == mean_interval(np.arange(7.0), np.arange(7), STUDENT).low
    rare = np.zeros(24)
    rare[0] = 1.0
    found = mean_interval(rare, np.arange(24))
    assert np.isfinite([found.low, found.high]).all()


def test_difference_from_itself_has_no_interval():
    values, steps, topics, _ = clustered(8)
    side = (values[:, 0, 0], steps)
    assert np.isnan(difference_interval(side, topics, side, topics).low)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"level": 95.0}, "level must lie between 0 and 1, but is 95"),
        ({"method": "percentile"}, "unknown method 'percentile'"),
        ({"resamples": 50}, "use at least 80"),
        ({"clusters": np.arange(3)}, "'clusters': 3"),
        ({"denominator": -np.ones(60)}, "must not be negative, but one is -1.0"),
    ],
)
def test_wrong_input_is_named(change, words):
    values, steps, topics, _ = clustered()
    given = {"numerator": values, "denominator": steps, "clusters": topics} | change
    options = {name: given.pop(name) for name in change if name not in ("clusters", "denominator")}
    with pytest.raises(LengthlensError, match=words):
        ratio_interval(**given, bootstrap=Bootstrap(**options))


def test_wilson_is_that_of_statsmodels():
    hits, trials = np.array([0, 1, 12, 24, 160]), np.array([24, 24, 24, 24, 168])
    for level in (0.9, 0.95):
        low, high = proportion_confint(hits, trials, alpha=1 - level, method="wilson")
        ours = wilson(hits / trials, trials, level)
        assert ours[0] == pytest.approx(low, abs=1e-12)
        assert ours[1] == pytest.approx(high, abs=1e-12)
    assert np.isnan(wilson(0.0, 0)).all()
    with pytest.raises(LengthlensError, match="but one is 1.5"):
        wilson(1.5, 10)


def test_share_without_clusters_is_plain_wilson_and_all_or_none_counts_topics():
    hits = np.r_[np.ones(20), np.zeros(4)]
    found = share_interval(hits, np.arange(24))
    assert (found.low, found.high) == tuple(wilson(20 / 24, 24))
    whole = share_interval(np.ones(48), np.repeat(np.arange(24), 2))
    assert (whole.low, whole.high) == (wilson(1.0, 24)[0], 1.0)
    assert 0.8 < whole.low < 0.9
    alike = share_interval(np.repeat(hits, 2), np.repeat(np.arange(24), 2))
    assert alike.high - alike.low == pytest.approx(found.high - found.low, rel=0.1)
    one_topic = share_interval(hits, np.zeros(24))
    assert one_topic.estimate == pytest.approx(20 / 24) and np.isnan(one_topic.low)
    with pytest.raises(LengthlensError, match="0 or 1"):
        share_interval(np.array([0.5]), np.arange(1))


def test_share_difference_has_width_even_between_all_and_none():
    """Newcombe (1998), table II: 56/70 - 48/80 gives 0.0524 ... 0.3339 by method 10."""
    sides = [np.arange(70) < 56, np.arange(80) < 48]
    found = share_difference_interval(sides[0], np.arange(70), sides[1], np.arange(80))
    assert found.estimate == pytest.approx(0.2)
    assert (found.low, found.high) == (
        pytest.approx(0.0524, abs=1e-4),
        pytest.approx(0.3339, abs=1e-4),
    )
    extreme = share_difference_interval(np.ones(30), np.arange(30), np.zeros(30), np.arange(30))
    assert extreme.estimate == 1 and 0.7 < extreme.low < 0.9 and extreme.high == 1


def test_holm_is_that_of_statsmodels():
    rng = np.random.default_rng(10)
    for size in (1, 2, 4, 9):
        p = rng.random(size) ** 3
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    with pytest.raises(LengthlensError, match="nan"):
        holm(np.array([0.01, np.nan]))


def test_holm_keeps_the_family_wise_error():
    """Four true nulls: some p below 0.05 after correction in at most 5 % (measured 0.049)."""
    families = np.random.default_rng(11).random((20000, 4))
    wrong = np.mean([holm(p).min() <= 0.05 for p in families])
    assert wrong <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 20000)


def test_permutation_p_counts_the_observed_value_in():
    draws = np.arange(199.0)
    assert permutation_p(1e9, draws) == 1 / 200
    assert permutation_p(-1.0, draws) == 1.0
    assert permutation_p(-1.0, draws, "less") == 1 / 200
    assert permutation_p(197.5, draws) == 2 / 200
    assert permutation_p(198.0, draws) == 2 / 200  # a tie counts against the observed value
    assert np.isnan(permutation_p(1e9, draws[:98]))
    assert np.isnan(permutation_p(np.nan, draws))
    assert permutation_p(1e9, np.r_[draws, np.nan]) == 1 / 200
    with pytest.raises(LengthlensError, match="unknown alternative 'above'"):
        permutation_p(0.0, draws, "above")


@pytest.mark.parametrize(("n", "plus"), [(1, 1), (2, 1), (5, 0), (6, 2), (7, 7), (8, 5), (61, 9)])
def test_the_sign_null_is_all_circular_shifts(n, plus):
    """Mean and variance of sum s_t d_t over the n shifts of signs in runs, one by one."""
    scores = np.random.default_rng(n).standard_normal((n, 3)) + 2
    signs = np.where(np.arange(n) < plus, 1, -1)
    sums = [np.roll(signs, shift) @ scores for shift in range(n)]
    mean, variance = sign_null_mean(plus, n, scores.sum(axis=0)), shift_variance(signs, scores)
    assert mean == pytest.approx(np.mean(sums, axis=0), abs=1e-12)
    assert variance == pytest.approx(np.var(sums, axis=0), abs=1e-11)
    assert (variance == 0).all() == (plus in (0, n))


def test_runs_of_signs_widen_the_null_of_scores_that_drift():
    """Were the signs exchanged one by one, the variance would be 1.15; in one run it is 3.00."""
    scores = np.linspace(0, 1, 12)
    runs = np.where(np.arange(12) < 8, 1, -1)
    single = 4 * 8 * 4 / (12 * 11) * ((scores - scores.mean()) ** 2).sum()
    assert single == pytest.approx(1.146, abs=1e-3)
    assert shift_variance(runs, scores) == pytest.approx(2.997, abs=1e-3)


def test_sign_null_refuses_what_contradicts_itself():
    assert sign_null_mean(0, 0, 0.0) == 0
    assert shift_variance(np.array([]), np.zeros((0, 2))).tolist() == [0, 0]
    with pytest.raises(LengthlensError, match="5 of 4 steps"):
        sign_null_mean(np.array([1, 5]), 4, 1.0)


def test_spearman_is_scipys_with_ties():
    rng = np.random.default_rng(12)
    x, y = rng.integers(5, size=80), rng.integers(4, size=80) + 0.0
    y[:3] = np.nan
    found = spearman_interval(x, y, np.arange(80) % 20)
    assert found.estimate == pytest.approx(stats.spearmanr(x[3:], y[3:]).statistic)
    assert found.n == 77 and found.n_clusters == 20 and found.low < found.estimate < found.high


def test_spearman_draws_are_rankings_of_the_repeated_samples():
    """Ranks by weight equal the midranks of the samples written out as often as drawn."""
    from lengthlens.statistics.ranks import _weighted_ranks, correlation

    rng = np.random.default_rng(13)
    x, y = rng.integers(6, size=30), rng.standard_normal(30)
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=5).astype(float)
    ours = correlation(_weighted_ranks(x, weights), _weighted_ranks(y, weights), weights)
    for row, weight in zip(ours, weights.astype(int), strict=True):
        expected = stats.spearmanr(np.repeat(x, weight), np.repeat(y, weight)).statistic
        assert row == pytest.approx(expected)


def test_spearman_without_variance_or_topics_is_nan():
    x = np.arange(20.0)
    assert np.isnan(spearman_interval(x, np.ones(20), np.arange(20)).estimate)
    exact = spearman_interval(x, x, np.arange(20))
    assert exact.estimate == pytest.approx(1) and np.isnan(exact.low)
    few = spearman_interval(x, np.sin(x), np.arange(20) % 5)
    assert np.isfinite(few.estimate) and np.isnan(few.low)
    with pytest.raises(LengthlensError, match="one entry a sample"):
        spearman_interval(x, x[:3], x)


def test_columns_name_each_component_and_its_limits():
    topics = np.repeat(np.arange(6), 4)
    values = np.random.default_rng(0).normal(size=(24, 2))
    both = mean_interval(values, topics)
    columns = both.columns("first", "second")
    assert list(columns) == [
        *("first", "first_low", "first_high"),
        *("second", "second_low", "second_high"),
    ]
    assert columns["second_low"] == both.low[1]
    single = mean_interval(values[:, 0], topics)
    assert single.columns("first") == {
        "first": single.estimate,
        "first_low": single.low,
        "first_high": single.high,
    }
    with pytest.raises(ValueError):
        both.columns("first")
