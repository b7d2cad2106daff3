"""Do 95 % intervals hold the truth 95 % of the time? On simulated answers with known answers.

The design is the shipped one: 24 prompts for each of N = 3 ... 9, their topics consecutive in one
order of 48, samples of one topic alike (intraclass correlation 0.3). "all" is every sample (168, 48
topics), "split" those of 24 topics (the `evaluate` half, about 84), "one N" a single N (24 samples,
24 topics). Simulations are columns: one call makes 500 intervals, eight designs make 4000. The
standard error of a coverage is then 0.0034, and every test fixes its seeds.
"""

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import nbinom

from lengthlens.statistics import (
    Bootstrap,
    balanced_interval,
    difference_interval,
    mean_interval,
    permutation_p,
    ratio_interval,
    share_difference_interval,
    share_interval,
    spearman_interval,
)

DESIGNS = 8
SIMULATIONS = 500
ICC = 0.3
RESAMPLES = 1000
STUDENT = Bootstrap(method="student")


def drawn_by(rng: np.random.Generator, resamples: int = RESAMPLES) -> Bootstrap:
    """Draws that go on from one simulation to the next."""
    return Bootstrap(resamples=resamples, seed=rng)


def design(rng: np.random.Generator, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Topic and N of every sample."""
    if name == "one N":
        return np.arange(24), np.full(24, 3)
    order, numbers = rng.permutation(48), np.arange(3, 10)
    topics = np.concatenate([order[(np.arange(24) + rng.integers(48)) % 48] for _ in numbers])
    n = np.repeat(numbers, 24)
    if name == "split":
        kept = np.isin(topics, rng.permutation(48)[:24])
        return topics[kept], n[kept]
    return topics, n


def normal(rng: np.random.Generator, topics: np.ndarray, shared=None) -> np.ndarray:
    """Standard normal [sample, simulation], correlated within topics; `shared`: topic effects."""
    shared = rng.standard_normal((48, SIMULATIONS)) if shared is None else shared
    own = rng.standard_normal((len(topics), SIMULATIONS))
    return np.sqrt(ICC) * shared[topics] + np.sqrt(1 - ICC) * own


def overshoot(z: np.ndarray) -> np.ndarray:
    """Skewed word-count errors of a base model: geometric, mean 12."""
    return nbinom.ppf(ndtr(z), 1, 1 / 13)


def slips(z: np.ndarray) -> np.ndarray:
    """Errors of an instruct model: -1 in 5 %, +1 in 3 %, else 0; mean -0.02."""
    return np.where(ndtr(z) < 0.05, -1.0, np.where(ndtr(z) > 0.97, 1.0, 0.0))


def covers(interval, truth) -> np.ndarray:
    """Share of intervals that hold the truth, among those that are defined."""
    defined = np.isfinite(interval.low)
    return ((interval.low <= truth) & (truth <= interval.high))[defined].mean()


def coverage(name: str, make) -> float:
    rng = np.random.default_rng(20)
    return float(np.mean([covers(*make(rng, *design(rng, name))) for _ in range(DESIGNS)]))


@pytest.mark.parametrize("name", ["all", "split", "one N"])
def test_mean_of_normal_data(name):
    """Measured: all 0.955, split 0.955, one N 0.962."""

    def make(rng, topics, n):
        return mean_interval(1 + normal(rng, topics), topics, drawn_by(rng)), 1.0

    assert 0.93 <= coverage(name, make) <= 0.97


@pytest.mark.parametrize("name", ["all", "split", "one N"])
def test_mean_of_skewed_errors(name):
    """Measured: all 0.958, split 0.956, one N 0.958."""

    def make(rng, topics, n):
        values = overshoot(normal(rng, topics))
        return mean_interval(values, topics, drawn_by(rng)), 12.0

    assert 0.93 <= coverage(name, make) <= 0.97


@pytest.mark.parametrize("name", ["all", "split"])
def test_mean_of_rare_errors(name):
    """Measured: all 0.950, split 0.950. Few answers are wrong at all, so values are few."""

    def make(rng, topics, n):
        values = slips(normal(rng, topics))
        return mean_interval(values, topics, drawn_by(rng)), -0.02

    assert 0.93 <= coverage(name, make) <= 0.97


def test_equal_tails_of_the_verdict():
    """A verdict needs one side only: each side misses in at most 4 % on skewed data (all)."""
    rng, below, above = np.random.default_rng(8), [], []
    for _ in range(DESIGNS):
        topics, _ = design(rng, "all")
        interval = mean_interval(overshoot(normal(rng, topics)), topics, drawn_by(rng))
        below.append((interval.low > 12).mean())
        above.append((interval.high < 12).mean())
    assert np.mean(below) <= 0.04 and np.mean(above) <= 0.04


@pytest.mark.parametrize("name", ["all", "split", "one N"])
def test_mean_per_step(name):
    """Measured: all 0.953, split 0.952, one N 0.955. Skewed scores, numbers of steps that vary."""

    def make(rng, topics, n):
        steps = n + rng.poisson(4, len(n))
        rate = np.exp(0.5 * normal(rng, topics)) - np.exp(0.125)
        values = steps[:, None] * (2 + rate)
        return ratio_interval(values, steps, topics, drawn_by(rng)), 2.0

    assert 0.93 <= coverage(name, make) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("name", ["all", "split"])
def test_balanced_over_n(name):
    """Measured: all 0.949, split 0.956. Means per step grow with N: (3 + ... + 9) / 7 = 6."""

    def make(rng, topics, n):
        steps = n + rng.poisson(4, len(n))
        values = steps[:, None] * (n[:, None] + normal(rng, topics))
        return balanced_interval(values, steps, topics, n, drawn_by(rng)), 6.0

    assert 0.93 <= coverage(name, make) <= 0.97


@pytest.mark.slow
def test_difference():
    """Measured: 0.958 (topic effects shared)."""

    def make(rng, topics, n):
        shared, ones = rng.standard_normal((48, SIMULATIONS)), np.ones(len(n))
        first = 3 + normal(rng, topics, shared)
        second = overshoot(normal(rng, topics, shared)) / 6
        interval = difference_interval((first, ones), topics, (second, ones), topics, drawn_by(rng))
        return interval, 3 - 12 / 6

    assert 0.93 <= coverage("split", make) <= 0.97


def test_pairing_uses_what_the_topics_share():
    rng = np.random.default_rng(3)
    topics, _ = design(rng, "all")
    effects = 5 * rng.standard_normal((48, SIMULATIONS))
    sides = [(normal(rng, topics, effects), np.ones(len(topics))) for _ in range(2)]
    paired = difference_interval(sides[0], topics, sides[1], topics, STUDENT).standard_error
    apart = np.hypot(*(ratio_interval(*side, topics, STUDENT).standard_error for side in sides))
    assert paired.mean() < 0.4 * apart.mean()


def test_ignoring_topics_would_cover_too_rarely():
    """Why clusters: with every sample its own topic, 95 % intervals cover in about 85 %."""
    rng = np.random.default_rng(4)
    topics, _ = design(rng, "all")
    values = normal(rng, topics)
    assert covers(mean_interval(values, np.arange(len(values)), STUDENT), 0.0) < 0.90
    assert covers(mean_interval(values, topics, STUDENT), 0.0) > 0.92


@pytest.mark.parametrize("share", [0.5, 0.1, 0.03])
@pytest.mark.parametrize("name", ["all", "split"])
def test_clustered_wilson(name, share):
    """Measured: 0.947, 0.947, 0.965 (all); 0.957, 0.953, 0.968 (split)."""

    def make(rng, topics, n):
        return share_interval(ndtr(normal(rng, topics)) < share, topics), share

    assert 0.93 <= coverage(name, make) <= 0.97


@pytest.mark.parametrize("shares", [(0.95, 0.6), (0.98, 0.02), (0.3, 0.3)])
def test_share_difference(shares):
    """Measured: 0.954, 0.952, 0.949."""

    def make(rng, topics, n):
        first = ndtr(normal(rng, topics)) < shares[0]
        second = ndtr(normal(rng, topics)) < shares[1]
        interval = share_difference_interval(first, topics, second, topics)
        return interval, shares[0] - shares[1]

    assert 0.93 <= coverage("all", make) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_spearman(rho):
    """Truth for a normal pair: 6/pi arcsin(rho/2). Measured: 0.953, 0.970 (300 simulations)."""
    rng, truth, held = np.random.default_rng(6), 6 / np.pi * np.arcsin(rho / 2), []
    for _ in range(300):
        topics, _ = design(rng, "split")
        pair = np.sqrt(ICC) * rng.standard_normal((48, 2))[topics]
        pair += np.sqrt(1 - ICC) * rng.standard_normal((len(topics), 2))
        y = np.exp(rho * pair[:, 0] + np.sqrt(1 - rho**2) * pair[:, 1])
        found = spearman_interval(pair[:, 0], y, topics, drawn_by(rng, 400))
        held.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(held) <= 0.985


@pytest.mark.slow
def test_false_positives_of_the_difference():
    """Two sides of one distribution: the 95 % interval leaves out 0 in 5.1 % (measured)."""

    def make(rng, topics, n):
        shared = rng.standard_normal((48, SIMULATIONS))
        sides = [(overshoot(normal(rng, topics, shared)), np.ones(len(n))) for _ in range(2)]
        bootstrap = drawn_by(rng)
        return difference_interval(sides[0], topics, sides[1], topics, bootstrap), 0.0

    assert 0.03 <= 1 - coverage("all", make) <= 0.07


def test_permutation_p_is_uniform_under_the_null():
    """P(p <= a) = a at every a that the number of draws allows, and never above it."""
    rng = np.random.default_rng(7)
    values = rng.standard_normal((200, 20000))
    p = permutation_p(values[0], values[1:])
    for level in (0.01, 0.05, 0.2, 0.5, 0.9):
        assert np.mean(p <= level) == pytest.approx(level, abs=4 * np.sqrt(level / 20000))
    ties = permutation_p(np.round(values[0]), np.round(values[1:]))
    assert np.mean(ties <= 0.05) <= 0.05 + 0.006
