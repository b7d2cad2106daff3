"""Tests against draws of a null: permutation p-values, Holm's correction, the sign null of CWA."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

from lengthlens.errors import LengthlensError

FEWEST_DRAWS = 99  # drawn controls
FEWEST_ENUMERATED = 19  # controls that are all there are: p is exact, and can be .05
ALTERNATIVES = ("greater", "less", "two-sided")


def permutation_p(
    observed: Num[np.ndarray, "..."] | float | int,
    draws: Num[np.ndarray, "draw ..."],
    alternative: str = "greater",
    fewest: int = FEWEST_DRAWS,
) -> Float[np.ndarray, "..."]:
    """p = (1 + number of draws at least as extreme) / (1 + number of draws); valid with ties.

    The observed value counts as one of the draws (Phipson and Smyth 2010), so p is never 0. Draws
    that are NaN do not count. `two-sided` is twice the smaller of both sides, at most 1. NaN where
    the observed value is NaN or fewer than `fewest` draws are left: so few cannot carry a p-value.
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
    above = (1 + (known & (table >= value)).sum(axis=0)) / (1 + size)
    below = (1 + (known & (table <= value)).sum(axis=0)) / (1 + size)
    both = np.minimum(1.0, 2 * np.minimum(above, below))
    p = {"greater": above, "less": below, "two-sided": both}[alternative]
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


def sign_null(
    n_plus: Num[np.ndarray, "..."] | float | int,
    n_steps: Num[np.ndarray, "..."] | float | int,
    total: Num[np.ndarray, "..."] | float | int,
    squares: Num[np.ndarray, "..."] | float | int,
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Exact mean and variance of CWA when the signs are permuted over the steps of one sample.

    With n steps, n+ of sign +1, scores d_t of sum D, and every arrangement of the signs equally
    likely, the sum of s_t d_t is 2 x (a draw of n+ scores without replacement) - D, so that

        mean = (n+ - n-) / n * D,      variance = 4 n+ n- / (n (n - 1)) * sum (d_t - D / n)^2.

    Args:
        n_plus: steps of sign +1; n_steps: steps; total: D; squares: sum of d_t^2. They broadcast.

    Returns:
        Mean and variance; both 0 for a sample without steps (an empty sum).

    Raises:
        LengthlensError: counts or sums that contradict one another.
    """
    plus, n, total, squares = np.broadcast_arrays(
        *(np.asarray(part, dtype=float) for part in (n_plus, n_steps, total, squares))
    )
    if np.any((plus < 0) | (plus > n)):
        bad = np.argwhere((plus < 0) | (plus > n))[0]
        raise LengthlensError(
            f"{plus[tuple(bad)]:g} of {n[tuple(bad)]:g} steps cannot have a sign of +1"
        )
    some = np.maximum(n, 1)
    spread = squares - total**2 / some
    _check_spread(spread, squares)
    variance = 4 * plus * (n - plus) / (some * np.maximum(n - 1, 1)) * np.maximum(spread, 0)
    return sign_null_mean(plus, n, total), np.asarray(variance)


def sign_null_mean(
    n_plus: Num[np.ndarray, "..."] | float | int,
    n_steps: Num[np.ndarray, "..."] | float | int,
    total: Num[np.ndarray, "..."] | float | int,
) -> Float[np.ndarray, "..."]:
    """The mean of `sign_null` alone: the mean sign times the sum of scores."""
    mean_sign = (2 * np.asarray(n_plus) - n_steps) / np.maximum(n_steps, 1)
    return np.asarray(mean_sign * np.asarray(total), dtype=float)


def _check_spread(spread, squares) -> None:
    """Sums of squares in float32 may miss by rounding; anything larger is a mistake."""
    wrong = spread < -1e-4 * np.abs(squares) - 1e-12
    if np.any(wrong):
        raise LengthlensError(
            "the sum of squares is too small for the sum of scores (squared deviations sum to "
            f"{spread[wrong].flat[0]:.3g}): both must be of the same steps"
        )
