"""Intervals for shares: Wilson's, with a design effect where samples come in clusters (topics).

A bootstrap of a share at 0 or 100 % has no width, and near them too little; Wilson's score interval
has neither fault. Samples about one topic are alike, so it is given fewer of them than there are:

    n_effective = n / max(1, deff) * (z / t_{G-1})^2,
    deff = se_clustered^2 / (p (1 - p) / (n - 1))

The last factor pays for estimating deff from G topics (Korn and Graubard 1998; Dean and Pavlou
2015). With one sample a topic there is no design effect and the interval is Wilson's. With a
share of exactly 0 or 100 % nothing in the data speaks against samples of one topic being all
alike, so n_effective = G.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Num, Shaped
from scipy import special

from lengthlens.errors import LengthlensError
from lengthlens.statistics.bootstrap import Bootstrap
from lengthlens.statistics.intervals import FEWEST_CLUSTERS, Interval, mean_interval


def wilson(
    share: Num[np.ndarray, "..."] | float | int,
    trials: Num[np.ndarray, "..."] | float | int,
    level: float = 0.95,
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Wilson's score interval for a share of `trials` (which need not be whole); NaN for none."""
    share, trials = np.broadcast_arrays(np.asarray(share, float), np.asarray(trials, float))
    if np.any((share < 0) | (share > 1)):
        bad = share[(share < 0) | (share > 1)].flat[0]
        raise LengthlensError(f"a share must lie between 0 and 1, but one is {bad}")
    z = special.ndtri((1 + level) / 2)
    known = np.where(trials > 0, trials, np.nan)
    scale = 1 + z**2 / known
    centre = (share + z**2 / (2 * known)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / known + z**2 / (4 * known**2))
    low = np.where(share == 0, 0.0 * half, np.maximum(centre - half, 0))
    high = np.where(share == 1, 1.0 + 0.0 * half, np.minimum(centre + half, 1))
    return np.asarray(low), np.asarray(high)


def share_interval(
    hits: Shaped[np.ndarray, "sample ..."],
    clusters: Shaped[np.ndarray, " sample"],
    level: float = 0.95,
) -> Interval:
    """Interval for the share of samples with `hits` (false, true, or NaN for dropped ones).

    With fewer than two topics there is no interval (NaN), but for a single sample: Wilson's.
    """
    values = np.asarray(hits, dtype=float)
    if not np.isin(values[np.isfinite(values)], (0.0, 1.0)).all():
        raise LengthlensError("hits must be false or true (0 or 1); use mean_interval for numbers")
    plain = mean_interval(values, clusters, Bootstrap(level, method="student"))
    effective = effective_samples(plain)
    low, high = wilson(np.nan_to_num(plain.estimate), effective, level)
    return replace(plain, low=low, high=high, method="wilson")


def effective_samples(plain: Interval) -> Float[np.ndarray, "..."]:
    """As how many independent samples those of a share count (module docstring); 0 if unknown."""
    share, n, topics = plain.estimate, plain.n, plain.n_clusters
    simple = np.sqrt(share * (1 - share) / np.maximum(n - 1, 1))
    error = np.nan_to_num(plain.standard_error)
    ratio = np.divide(error, simple, out=np.ones_like(simple), where=simple > 0)
    z = special.ndtri((1 + plain.level) / 2)
    t = special.stdtrit(np.maximum(topics - 1, 1), (1 + plain.level) / 2)
    clustered = n / np.maximum(ratio, 1) ** 2 * (z / t) ** 2
    clustered = np.where((share == 0) | (share == 1), topics, clustered)
    clustered = np.where(topics < FEWEST_CLUSTERS, 0.0, clustered)
    return np.asarray(np.where(topics == n, n, clustered), dtype=float)


def share_difference_interval(
    first: Shaped[np.ndarray, "sample ..."],
    first_clusters: Shaped[np.ndarray, " sample"],
    second: Shaped[np.ndarray, "other ..."],
    second_clusters: Shaped[np.ndarray, " other"],
    level: float = 0.95,
) -> Interval:
    """Interval for the share of `first` minus that of `second`, from the two Wilson intervals.

    Newcombe's hybrid score interval (1998, method 10), with the correlation of the two shares left
    out: wider than need be where a topic moves both shares alike, too narrow where it moves them
    apart. `n` counts the samples of both sides, `n_clusters` the topics of the side that has more;
    `standard_error` is that of independent sides.
    """
    a = share_interval(first, first_clusters, level)
    b = share_interval(second, second_clusters, level)
    difference = a.estimate - b.estimate
    arrays = (
        difference,
        difference - np.hypot(a.estimate - a.low, b.high - b.estimate),
        difference + np.hypot(a.high - a.estimate, b.estimate - b.low),
        np.hypot(a.standard_error, b.standard_error),
        a.n + b.n,
        np.maximum(a.n_clusters, b.n_clusters),
    )
    return Interval(*map(np.asarray, arrays), level, "newcombe")
