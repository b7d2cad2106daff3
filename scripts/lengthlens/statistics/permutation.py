"""Tests against draws of a null: permutation p-values and Holm's correction."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from lengthlens.errors import LengthlensError

FEWEST_DRAWS = 99  # drawn controls
FEWEST_ENUMERATED = 19  # controls that are all there are: p is exact, and can be .05
ALTERNATIVES = ("greater", "less")


def permutation_p(
    observed: Num[np.ndarray, "..."] | float | int,
    draws: Num[np.ndarray, "draw ..."],
    alternative: str = "greater",
    fewest: int = FEWEST_DRAWS,
) -> Float[np.ndarray, "..."]:
    """p = (1 + number of draws at least as extreme) / (1 + number of draws); valid with ties.

    The observed value counts as one of the draws (Phipson and Smyth 2010), so p is never 0. Draws
    that are NaN do not count. NaN where the observed value is NaN or fewer than `fewest` draws are
    left: so few cannot carry a p-value.
    Draws must be distinct controls (or all of them, then from FEWEST_ENUMERATED on), without the
    observed one, and drawn from a pool in which the observed one is like any other: controls that
    avoid what was chosen are no such pool.
    """
    if alternative not in ALTERNATIVES:
        raise LengthlensError(
            f"unknown alternative {alternative!r}: choose one of {', '.join(ALTERNATIVES)}"
        )
    value, table = np.asarray(observed, dtype=float), np.asarray(draws, dtype=float)
    if table.ndim == 0 or table.shape[1:] != value.shape:
        raise LengthlensError(
            f"draws need one row a draw, each of the shape {value.shape} of the observed value, "
            f"but have the shape {table.shape}"
        )
    known = np.isfinite(table)
    size = known.sum(axis=0)
    extreme = table >= value if alternative == "greater" else table <= value
    p = (1 + (known & extreme).sum(axis=0)) / (1 + size)
    return np.where(np.isfinite(value) & (size >= fewest), p, np.nan)


def holm(p_values: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """p-values corrected by Holm's step-down method (1979) for a family of tests.

    Raises:
        LengthlensError: a p-value is missing or outside 0 … 1. A test of the family that could not
            be made must be named as such, not dropped in silence.
    """
    p = np.asarray(p_values, dtype=float)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise LengthlensError(
            f"Holm's method needs one p-value between 0 and 1 for every test, but got {p.tolist()}"
        )
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
