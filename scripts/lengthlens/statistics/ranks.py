"""Spearman's rank correlation with an interval from drawing clusters (topics) with replacement.

The interval is made on Fisher's scale z = artanh(r): from the standard deviation of the draws, with
t_{G-1}, around r itself. A draw ranks the samples anew, each counting as often as its topic does.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num, Shaped
from scipy import special

from lengthlens.errors import LengthlensError
from lengthlens.statistics.bootstrap import DEFAULT, Bootstrap
from lengthlens.statistics.intervals import FEWEST_FOR_BOOTSTRAP, Interval
from lengthlens.statistics.resampling import draw_counts

FEWEST_PAIRS = 4
NEARLY_ONE = 1 - 1e-6
MOST_UNDEFINED_DRAWS = 0.01


def spearman_interval(
    x: Num[np.ndarray, " sample"],
    y: Num[np.ndarray, " sample"],
    clusters: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap = DEFAULT,
) -> Interval:
    """Spearman's correlation of two numbers a sample; pairs with a NaN are dropped.

    The interval is NaN with fewer than 8 topics or 4 pairs, where a side has one value only, or
    where the correlation is exactly -1 or 1.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if not x.shape == y.shape == np.shape(clusters) or x.ndim != 1:
        raise LengthlensError(
            f"x, y and clusters need one entry a sample, but have the shapes {x.shape}, {y.shape}, "
            f"{np.shape(clusters)}"
        )
    keep = np.isfinite(x) & np.isfinite(y)
    x, y = x[keep], y[keep]
    names, cluster = np.unique(np.asarray(clusters)[keep], return_inverse=True)
    once = np.ones((1, len(x)))
    r = correlation(_weighted_ranks(x, once), _weighted_ranks(y, once), once)[0]
    draws = np.empty(0)
    if len(names) >= FEWEST_FOR_BOOTSTRAP and len(x) >= FEWEST_PAIRS:
        counts = draw_counts(len(names), bootstrap.resamples, bootstrap.rng())
        weights = counts[:, cluster.ravel()]
        draws = correlation(_weighted_ranks(x, weights), _weighted_ranks(y, weights), weights)
    return interval_of_draws(r, draws, (len(x), len(names)), bootstrap.level, method="fisher")


def interval_of_draws(
    value, draws, counts: tuple[int, int], level: float, *, method: str
) -> Interval:
    """Student's interval around a number, with the spread of its draws.

    By `fisher`, of a correlation, on the scale of artanh; by `student` on that of the number.
    """
    forth, back = (_artanh, np.tanh) if method == "fisher" else (np.asarray, np.asarray)
    known = draws[np.isfinite(draws)]
    low = high = error = np.nan
    if len(known) > 1 and len(known) >= (1 - MOST_UNDEFINED_DRAWS) * len(draws):
        spread = np.std(forth(known), ddof=1)
        if spread > 0 and (method == "student" or abs(value) < NEARLY_ONE):
            half = special.stdtrit(counts[1] - 1, (1 + level) / 2) * spread
            low, high = back(forth(value) - half), back(forth(value) + half)
            error = np.std(known, ddof=1)
    limits = (value, low, high)
    return Interval.single(limits, counts, standard_error=error, level=level, method=method)


def _artanh(r: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    return np.arctanh(np.clip(r, -NEARLY_ONE, NEARLY_ONE))


def _weighted_ranks(
    values: Num[np.ndarray, " sample"], weights: Float[np.ndarray, "draw sample"]
) -> Float[np.ndarray, "draw sample"]:
    """Midranks of the samples when each counts as often as its weight says, for every draw."""
    distinct, place = np.unique(values, return_inverse=True)
    member = (place[:, None] == np.arange(len(distinct))).astype(float)
    mass = weights @ member
    return (np.cumsum(mass, axis=1) - mass / 2 + 0.5)[:, place]


def correlation(a, b, weights) -> Float[np.ndarray, " draw"]:
    """Pearson's correlation of every row, weighted; NaN where a side does not vary."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1)
    a = a - (weights * a).sum(axis=1, keepdims=True) / total
    b = b - (weights * b).sum(axis=1, keepdims=True) / total
    size = np.sqrt((weights * a**2).sum(axis=1) * (weights * b**2).sum(axis=1))
    flat = size <= 1e-9
    return np.where(flat, np.nan, (weights * a * b).sum(axis=1) / np.where(flat, 1.0, size))
