"""Confidence intervals for ratios of sums over samples that come in clusters (topics).

Samples about one topic are alike, so topics, not samples, are what is drawn at random. Every
statistic of this module is one linear combination of ratios of sums,

    theta = sum_c lambda_c R_c,     R_c = (sum of numerators in cell c) / (sum of denominators in c)

and so one engine serves them all: a mean (denominator 1), a weighted mean (w x over w), a mean per
step (sum of CWA over sum of steps), a mean balanced over N (a cell for each N, lambda = 1/|N|), a
difference paired by topic (lambda = +1 and -1, topics drawn once for both), N = 3 against its
neighbours (lambda = 1, -1/2, -1/2).

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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num, Shaped
from scipy import special

from lengthlens.errors import LengthlensError
from lengthlens.statistics.bootstrap import DEFAULT, Bootstrap
from lengthlens.statistics.resampling import (
    Linearised,
    bootstrap_limits,
    cluster_totals,
    small_sample_factor,
)

FEWEST_CLUSTERS = 2
FEWEST_FOR_BOOTSTRAP = 8
NO_WIDTH = 1e-12
ARRAYS = ("estimate", "low", "high", "standard_error", "n", "n_clusters")
ENDS = ("{}", "{}_low", "{}_high")  # how the columns of an interval are called
BESIDE = ("{}", "low", "high")  # in a table with one interval a row


def side_of(low: float, high: float, null: float = 0.0) -> int:
    """1 where an interval lies wholly above `null`, -1 wholly below; 0 neither, or no interval."""
    return int(low > null) - int(high < null) if not np.isnan([low, high]).any() else 0


@dataclass(frozen=True)
class Estimate:
    """Numbers with their confidence limits; arrays of one shape, 0-d for a single number."""

    estimate: Float[np.ndarray, "..."]
    low: Float[np.ndarray, "..."]
    high: Float[np.ndarray, "..."]

    @classmethod
    def read(cls, source: Any, name: str, low: str = "{}_low", high: str = "{}_high") -> Estimate:
        """From the columns of a table, a row or a dataset; `low` and `high` form their names."""
        names = (name, low.format(name), high.format(name))
        return cls(*(np.asarray(source[each], dtype=float) for each in names))

    @classmethod
    def stacked(cls, parts: Sequence[Estimate]) -> Estimate:
        """Several side by side."""
        ends = ("estimate", "low", "high")
        return cls(*(np.array([getattr(part, end) for part in parts]) for end in ends))

    def times(self, factor: float) -> Estimate:
        """The same in another unit; `factor` is above 0."""
        return Estimate(self.estimate * factor, self.low * factor, self.high * factor)

    @property
    def reach(self) -> Float[np.ndarray, "2 ..."]:
        """How far the limits lie below and above, as error bars want it; 0 without a limit."""
        both = np.stack([self.estimate - self.low, self.high - self.estimate])
        return np.nan_to_num(np.maximum(both, 0.0))

    def columns(self, *names: str, ends: tuple[str, str, str] = ENDS) -> dict[str, float]:
        """Columns of a table: number and limits of each component, called as `ends` says."""
        limits = (self.estimate, self.low, self.high)
        return {
            end.format(name): float(value)
            for name, *three in zip(names, *map(np.atleast_1d, limits), strict=True)
            for end, value in zip(ends, three, strict=True)
        }


@dataclass(frozen=True)
class Interval(Estimate):
    """Estimates from samples, with their confidence limits, one for each component.

    `low` and `high` are NaN where no interval can be had: fewer than two topics, or no variance
    between topics (use a Wilson interval for shares). `n` counts the samples used (those with NaN
    are dropped), `n_clusters` their topics. Where a bootstrap was asked for but has no finite
    limit, or there are fewer than 8 topics, the limits are Student's.
    """

    standard_error: Float[np.ndarray, "..."]
    n: Int[np.ndarray, "..."]
    n_clusters: Int[np.ndarray, "..."]
    level: float
    method: str

    @classmethod
    def single(
        cls,
        limits: tuple[float, float, float],
        counts: tuple[int, int],
        *,
        standard_error: float = np.nan,
        level: float,
        method: str,
    ) -> Interval:
        """The interval of one number: estimate, low and high; `counts` are n and n_clusters."""
        numbers = [np.asarray(float(value)) for value in (*limits, standard_error)]
        sizes = [np.asarray(int(count)) for count in counts]
        return cls(*numbers, *sizes, level, method)

    def _arrays(self, change: Callable[[np.ndarray], np.ndarray]) -> Interval:
        return replace(self, **{name: change(getattr(self, name)) for name in ARRAYS})

    def reshape(self, shape: tuple[int, ...]) -> Interval:
        """The same with every array in another shape."""
        return self._arrays(lambda array: array.reshape(shape))

    def clipped(self) -> Interval:
        """The same with limits between 0 and 1, as those of a share are."""
        return replace(self, low=np.clip(self.low, 0, 1), high=np.clip(self.high, 0, 1))

    def __getitem__(self, place: Any) -> Interval:
        """The interval of one component, or of some."""
        return self._arrays(lambda array: np.asarray(array[place]))

    @property
    def basis(self) -> dict[str, float]:
        """Columns of a table: the answers behind a single interval, their topics, and its level."""
        counts = {"n_samples": int(self.n), "n_topics": int(self.n_clusters)}
        return counts | {"level": self.level}


def mean_interval(
    values: Num[np.ndarray, "sample ..."],
    clusters: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap = DEFAULT,
) -> Interval:
    """Interval for the mean over samples."""
    return ratio_interval(values, np.ones(len(values)), clusters, bootstrap)


def ratio_interval(
    numerator: Num[np.ndarray, "sample ..."],
    denominator: Num[np.ndarray, " sample"],
    clusters: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap = DEFAULT,
) -> Interval:
    """Interval for a ratio of sums, such as the mean per step: sum of CWA over sum of steps."""
    cells = np.zeros(len(numerator), dtype=int)
    return combination_interval(
        numerator, denominator, clusters, cells, {0: 1.0}, bootstrap=bootstrap
    )


def balanced_interval(
    numerator: Num[np.ndarray, "sample ..."],
    denominator: Num[np.ndarray, " sample"],
    clusters: Shaped[np.ndarray, " sample"],
    strata: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap = DEFAULT,
) -> Interval:
    """Interval for the plain mean, over strata (values of N), of each stratum's ratio of sums."""
    names = np.unique(np.asarray(strata)).tolist()
    even = {name: 1.0 / len(names) for name in names}
    return combination_interval(numerator, denominator, clusters, strata, even, bootstrap=bootstrap)


def difference_interval(
    first: tuple[Num[np.ndarray, "sample ..."], Num[np.ndarray, " sample"]],
    first_clusters: Shaped[np.ndarray, " sample"],
    second: tuple[Num[np.ndarray, "other ..."], Num[np.ndarray, " other"]],
    second_clusters: Shaped[np.ndarray, " other"],
    bootstrap: Bootstrap = DEFAULT,
) -> Interval:
    """Interval for `first` minus `second`, each a pair (numerators, denominators).

    Paired by topic: topics are drawn once for both sides.
    """
    sides = (first, second)
    which = np.repeat([0, 1], [len(side[0]) for side in sides])
    return combination_interval(
        np.concatenate([np.asarray(side[0], dtype=float) for side in sides]),
        np.concatenate([np.asarray(side[1], dtype=float) for side in sides]),
        np.concatenate([np.asarray(first_clusters), np.asarray(second_clusters)]),
        which,
        {0: 1.0, 1: -1.0},
        bootstrap=bootstrap,
    )


def combination_interval(
    numerator: Num[np.ndarray, "sample ..."],
    denominator: Num[np.ndarray, " sample"],
    clusters: Shaped[np.ndarray, " sample"],
    cells: Sequence[Any] | np.ndarray,
    coefficients: Mapping[Any, float],
    *,
    bootstrap: Bootstrap = DEFAULT,
) -> Interval:
    """Interval for a linear combination of ratios of sums, one ratio a cell (module docstring).

    Args:
        numerator: numerators; a sample that is NaN for a component is dropped for that component.
        denominator: denominators, >= 0, shared by all components.
        clusters: topic of each sample.
        cells: label of each sample's cell; samples of cells without a coefficient are not used.
        coefficients: lambda of each cell. A cell without a sample makes the result NaN.
        bootstrap: level, draws and method.

    Raises:
        LengthlensError: on shapes that do not agree, or an option outside its range.
    """
    values = np.asarray(numerator, dtype=float)
    bottom = np.asarray(denominator, dtype=float)
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
    number = {name: index for index, name in enumerate(coefficients)}
    code = np.array([number.get(name, -1) for name in cells], dtype=int)
    table = values.reshape(len(values), int(np.prod(values.shape[1:])))
    usable = np.isfinite(table) & ((code >= 0) & np.isfinite(bottom))[:, None]
    patterns, which = np.unique(usable, axis=1, return_inverse=True)
    numbers, counts = np.full((4, table.shape[1]), np.nan), np.zeros((2, table.shape[1]), int)
    result = Interval(*numbers, *counts, bootstrap.level, bootstrap.method)
    lambdas = np.array(list(coefficients.values()), dtype=float)
    rng = bootstrap.rng()
    for index in range(patterns.shape[1]):
        keep, columns = patterns[:, index], np.flatnonzero(which.ravel() == index)
        totals = cluster_totals(
            table[np.ix_(keep, columns)],
            bottom[keep],
            np.asarray(clusters)[keep],
            code[keep],
            n_cells=len(lambdas),
        )
        result.n[columns] = keep.sum()
        result.n_clusters[columns] = len(totals.bottom)
        _solve(result, columns, totals, lambdas, (bootstrap.resamples, rng))
    return result.reshape(values.shape[1:])


def _solve(result, columns, totals, lambdas, draws) -> None:
    """Fill in estimate, error and limits of the columns that share one pattern of samples."""
    n_clusters, sums = len(totals.bottom), totals.bottom.sum(axis=0)
    if n_clusters == 0 or np.any(sums <= 0):
        return  # an empty cell: the combination is undefined and stays NaN
    ratios = totals.top.sum(axis=0) / sums[:, None]
    theta = lambdas @ ratios
    result.estimate[columns] = theta
    if n_clusters < FEWEST_CLUSTERS:
        return
    residuals = totals.top - ratios * totals.bottom[:, :, None]
    influence = np.einsum("c,gck->gk", lambdas / sums, residuals)
    error = np.sqrt(small_sample_factor(n_clusters) @ influence**2)
    scale = np.abs(lambdas) @ (np.abs(totals.top).sum(axis=0) / sums[:, None])
    flat = error <= NO_WIDTH * scale
    error = np.where(flat, np.nan, error)
    result.standard_error[columns] = error
    tail = round((1 - result.level) / 2, 12)  # 0.025 and not a rounding error more
    half = special.stdtrit(n_clusters - 1, 1 - tail) * error
    low, high = -half, half
    if result.method != "student":
        kind = "bca" if result.method == "bca" else "bootstrap_t"
        limits = (np.full_like(error, np.nan), np.full_like(error, np.nan))
        if n_clusters >= FEWEST_FOR_BOOTSTRAP:
            terms = Linearised(totals, lambdas, residuals, influence, error)
            limits = bootstrap_limits(kind, terms, tail, *draws)
        found = np.isfinite(limits[0]) & np.isfinite(limits[1]) & ~flat
        if result.method == "guarded":
            limits = np.minimum(limits[0], low), np.maximum(limits[1], high)
        low, high = np.where(found, limits[0], low), np.where(found, limits[1], high)
    result.low[columns], result.high[columns] = theta + low, theta + high
