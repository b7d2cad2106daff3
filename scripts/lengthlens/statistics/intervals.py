"""Confidence intervals for ratios of sums over samples that come in clusters (topics).

Samples about one topic are alike, so topics, not samples, are what is drawn at random. Every
statistic of this module is one linear combination of ratios of sums,

    theta = sum_c lambda_c R_c,     R_c = (sum of numerators in cell c) / (sum of denominators in c)

and so one engine serves them all: a mean (denominator 1), a weighted mean (w x over w), a mean per
step (sum of CWA over sum of steps), a mean balanced over N (a cell for each N, lambda = 1/|N|), a
difference paired by topic (lambda = +1 and -1, topics drawn once for both), an unpaired one (topics
drawn apart), N = 3 against its neighbours (lambda = 1, -1/2, -1/2).

Method, for G topics:
1. residuals  e_gc = A_gc - R_c B_gc  of the topic totals A (numerators) and B (denominators);
2. linearised influence  psi_g = sum_c lambda_c e_gc / B_c  and the cluster-robust standard error
   se^2 = G / (G - 1) * sum_g psi_g^2;
3. topics drawn with replacement (multinomial counts), steps 1 and 2 repeated in every draw;
4. `student`: theta +- t_{G-1} se, without any draw; `bootstrap_t`: quantiles of
   t* = (theta* - theta) / se*, turned round and scaled by se (Efron and Tibshirani 1993, ch. 12);
   `bca`: quantiles of theta* at levels corrected for bias and acceleration (ch. 14);
   `guarded` (the default): on either side the further of `bootstrap_t` and `student`.

The default was chosen by measurement (docs/statistics.md, held by test_statistics_coverage.py): BCa
covers too rarely with 20 to 30 topics, Student's t fails on skewed data, and the bootstrap-t fails
on data that hold few different values; the further of the two stays at 94 to 97 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from scipy import special

from lengthlens.errors import LengthlensError
from lengthlens.statistics.resampling import (
    bootstrap_limits,
    cluster_totals,
    small_sample_factor,
)

METHODS = ("guarded", "bootstrap_t", "bca", "student")
FEWEST_CLUSTERS = 2
FEWEST_FOR_BOOTSTRAP = 8
FEWEST_IN_TAIL = 2  # for a quick look; for figures take 2000 resamples
NO_WIDTH = 1e-12


@dataclass(frozen=True)
class Interval:
    """Estimates with their confidence limits, one for each component.

    Arrays have the shape of the components (0-d for a single one). `low` and `high` are NaN where
    no interval can be had: fewer than two topics, or no variance between topics (use a Wilson
    interval for shares). `n` counts the samples used (those with NaN are dropped), `n_clusters`
    their topics. `fallback` is true where a bootstrap was asked for but has no finite limit, or
    there are fewer than 8 topics, so that the Student interval was taken.
    """

    estimate: Float[np.ndarray, "..."]
    low: Float[np.ndarray, "..."]
    high: Float[np.ndarray, "..."]
    standard_error: Float[np.ndarray, "..."]
    n: Int[np.ndarray, "..."]
    n_clusters: Int[np.ndarray, "..."]
    fallback: Bool[np.ndarray, "..."]
    level: float
    method: str

    def reshape(self, shape: tuple[int, ...]) -> Interval:
        """The same with every array in another shape."""
        arrays = ("estimate", "low", "high", "standard_error", "n", "n_clusters", "fallback")
        return replace(self, **{name: getattr(self, name).reshape(shape) for name in arrays})

    def columns(self, *names: str) -> dict[str, float]:
        """Columns of a table: for the name of each component its estimate, `_low` and `_high`."""
        columns: dict[str, float] = {}
        limits = (self.estimate, self.low, self.high)
        for name, *three in zip(names, *map(np.atleast_1d, limits), strict=True):
            ends = zip(("", "_low", "_high"), three, strict=True)
            columns |= {name + end: float(value) for end, value in ends}
        return columns


def mean_interval(
    values: Num[np.ndarray, "sample ..."],
    clusters: Shaped[np.ndarray, " sample"],
    weights: Num[np.ndarray, " sample"] | None = None,
    **options: Any,
) -> Interval:
    """Interval for the mean over samples, weighted if `weights` (fixed, >= 0) are given."""
    values = np.asarray(values, dtype=float)
    if weights is None:
        return ratio_interval(values, np.ones(len(values)), clusters, **options)
    weights = np.asarray(weights, dtype=float)
    shape = (-1,) + (1,) * (values.ndim - 1)
    return ratio_interval(values * weights.reshape(shape), weights, clusters, **options)


def ratio_interval(
    numerator: Num[np.ndarray, "sample ..."],
    denominator: Num[np.ndarray, " sample"],
    clusters: Shaped[np.ndarray, " sample"],
    **options: Any,
) -> Interval:
    """Interval for a ratio of sums, such as the mean per step: sum of CWA over sum of steps."""
    cells = np.zeros(len(numerator), dtype=int)
    return combination_interval(numerator, denominator, clusters, cells, {0: 1.0}, **options)


def balanced_interval(
    numerator: Num[np.ndarray, "sample ..."],
    denominator: Num[np.ndarray, " sample"],
    clusters: Shaped[np.ndarray, " sample"],
    strata: Shaped[np.ndarray, " sample"],
    **options: Any,
) -> Interval:
    """Interval for the plain mean, over strata (values of N), of each stratum's ratio of sums."""
    names = np.unique(np.asarray(strata)).tolist()
    even = {name: 1.0 / len(names) for name in names}
    return combination_interval(numerator, denominator, clusters, strata, even, **options)


def difference_interval(
    first: tuple[Num[np.ndarray, "sample ..."], Num[np.ndarray, " sample"]],
    first_clusters: Shaped[np.ndarray, " sample"],
    second: tuple[Num[np.ndarray, "other ..."], Num[np.ndarray, " other"]],
    second_clusters: Shaped[np.ndarray, " other"],
    paired: bool = True,
    strata: tuple[Shaped[np.ndarray, " sample"], Shaped[np.ndarray, " other"]] | None = None,
    **options: Any,
) -> Interval:
    """Interval for `first` minus `second`, each a pair (numerators, denominators).

    Paired: both sides answered the same topics, which are drawn once for both. Unpaired: the topics
    of either side are drawn on their own. With `strata` (values of N for each side) either side is
    balanced over its strata, as in `balanced_interval`.
    """
    sides = (first, second)
    labels = strata or tuple(np.zeros(len(side[0]), dtype=int) for side in sides)
    cells: list[tuple[int, Any]] = []
    coefficients: dict[tuple[int, Any], float] = {}
    for side, names in enumerate(labels):
        own = np.unique(np.asarray(names)).tolist()
        coefficients |= {(side, name): (1.0 - 2.0 * side) / len(own) for name in own}
        cells += [(side, name) for name in np.asarray(names).tolist()]
    blocks = np.repeat([0, 1], [len(side[0]) for side in sides])
    return combination_interval(
        np.concatenate([np.asarray(side[0], dtype=float) for side in sides]),
        np.concatenate([np.asarray(side[1], dtype=float) for side in sides]),
        np.concatenate([np.asarray(first_clusters), np.asarray(second_clusters)]),
        cells,
        coefficients,
        blocks=None if paired else blocks,
        **options,
    )


def combination_interval(
    numerator: Num[np.ndarray, "sample ..."],
    denominator: Num[np.ndarray, " sample"],
    clusters: Shaped[np.ndarray, " sample"],
    cells: Sequence[Any] | np.ndarray,
    coefficients: Mapping[Any, float],
    *,
    blocks: Int[np.ndarray, " sample"] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int | np.random.Generator = 0,
    method: str = "guarded",
) -> Interval:
    """Interval for a linear combination of ratios of sums, one ratio a cell (module docstring).

    Args:
        numerator: numerators; a sample that is NaN for a component is dropped for that component.
        denominator: denominators, >= 0, shared by all components.
        clusters: topic of each sample.
        cells: label of each sample's cell; samples of cells without a coefficient are not used.
        coefficients: lambda of each cell. A cell without a sample makes the result NaN.
        blocks: clusters of different blocks are drawn independently (default: one block).
        level: confidence level; resamples: draws; seed: of the draws; method: one of METHODS.

    Raises:
        LengthlensError: on shapes that do not agree, or an option outside its range.
    """
    values = np.asarray(numerator, dtype=float)
    bottom = np.asarray(denominator, dtype=float)
    labels = np.asarray(cells).tolist() if isinstance(cells, np.ndarray) else list(cells)
    _check(values, bottom, clusters, labels, level, resamples, method)
    number = {name: index for index, name in enumerate(coefficients)}
    code = np.array([number.get(name, -1) for name in labels], dtype=int)
    part = np.zeros(len(values), dtype=int) if blocks is None else np.asarray(blocks)
    table = values.reshape(len(values), int(np.prod(values.shape[1:])))
    usable = np.isfinite(table) & ((code >= 0) & np.isfinite(bottom))[:, None]
    patterns, which = np.unique(usable, axis=1, return_inverse=True)
    result = _empty(table.shape[1], level, method)
    lambdas = np.array(list(coefficients.values()), dtype=float)
    rng = np.random.default_rng(seed)
    for index in range(patterns.shape[1]):
        keep, columns = patterns[:, index], np.flatnonzero(which.ravel() == index)
        totals = cluster_totals(
            table[np.ix_(keep, columns)],
            bottom[keep],
            np.asarray(clusters)[keep],
            code[keep],
            part[keep],
            len(lambdas),
        )
        result.n[columns] = keep.sum()
        result.n_clusters[columns] = len(totals.blocks)
        _solve(result, columns, totals, lambdas, resamples, rng)
    return result.reshape(values.shape[1:])


def _solve(result, columns, totals, lambdas, resamples, rng) -> None:
    """Fill in estimate, error and limits of the columns that share one pattern of samples."""
    sums = totals.bottom.sum(axis=0)
    if len(totals.blocks) == 0 or np.any(sums <= 0):
        return  # an empty cell: the combination is undefined and stays NaN
    ratios = totals.top.sum(axis=0) / sums[:, None]
    theta = lambdas @ ratios
    result.estimate[columns] = theta
    sizes = np.unique(totals.blocks, return_counts=True)[1]
    if sizes.min() < FEWEST_CLUSTERS:
        return
    residuals = totals.top - ratios * totals.bottom[:, :, None]
    influence = np.einsum("c,gck->gk", lambdas / sums, residuals)
    error = np.sqrt(small_sample_factor(totals.blocks) @ influence**2)
    scale = np.abs(lambdas) @ (np.abs(totals.top).sum(axis=0) / sums[:, None])
    flat = error <= NO_WIDTH * scale
    error = np.where(flat, np.nan, error)
    result.standard_error[columns] = error
    tail = round((1 - result.level) / 2, 12)  # 0.025 and not a rounding error more
    half = special.stdtrit(sizes.sum() - len(sizes), 1 - tail) * error
    low, high = -half, half
    if result.method != "student":
        kind = "bca" if result.method == "bca" else "bootstrap_t"
        limits = (np.full_like(error, np.nan), np.full_like(error, np.nan))
        if sizes.min() >= FEWEST_FOR_BOOTSTRAP:
            limits = bootstrap_limits(
                kind, residuals, influence, error, totals, lambdas, tail, resamples, rng
            )
        found = np.isfinite(limits[0]) & np.isfinite(limits[1]) & ~flat
        result.fallback[columns] = ~found & ~flat
        if result.method == "guarded":
            limits = np.minimum(limits[0], low), np.maximum(limits[1], high)
        low, high = np.where(found, limits[0], low), np.where(found, limits[1], high)
    result.low[columns], result.high[columns] = theta + low, theta + high


def _empty(size: int, level: float, method: str) -> Interval:
    numbers = [np.full(size, np.nan) for _ in range(4)]
    counts = [np.zeros(size, dtype=int) for _ in range(2)]
    return Interval(*numbers, *counts, np.zeros(size, dtype=bool), level, method)


def _check(values, bottom, clusters, cells, level, resamples, method) -> None:
    lengths = {
        "numerator": len(values),
        "denominator": len(bottom),
        "clusters": len(clusters),
        "cells": len(cells),
    }
    if len(set(lengths.values())) > 1:
        raise LengthlensError(f"one entry a sample is needed everywhere, but got {lengths}")
    if np.any(bottom < 0):
        raise LengthlensError(f"denominators must not be negative, but one is {np.nanmin(bottom)}")
    if not 0 < level < 1:
        raise LengthlensError(f"level must lie between 0 and 1, but is {level}: try 0.95")
    if method not in METHODS:
        raise LengthlensError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}")
    if method != "student" and resamples * (1 - level) / 2 < FEWEST_IN_TAIL:
        raise LengthlensError(
            f"{resamples} resamples leave fewer than {FEWEST_IN_TAIL} in each tail at level "
            f"{level}: use at least {int(np.ceil(2 * FEWEST_IN_TAIL / (1 - level) - 1e-9))}"
        )
