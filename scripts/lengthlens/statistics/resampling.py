"""Drawing topics with replacement, and what a statistic is in every draw.

Everything is a product of matrices: the draws are a table of multinomial counts [draw, cluster],
the samples are summed to topic totals first, and so thousands of components cost one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import special

CHUNK = 4_000_000  # numbers held at once: 32 MB
MOST_EMPTY_DRAWS = 0.01


@dataclass(frozen=True)
class Totals:
    """Sums over the samples of each cluster and cell."""

    top: Float[np.ndarray, "cluster cell component"]
    bottom: Float[np.ndarray, "cluster cell"]


@dataclass(frozen=True)
class Linearised:
    """A combination of ratios (coefficients `lambdas`), linearised at the observed totals."""

    totals: Totals
    lambdas: Float[np.ndarray, " cell"]
    residuals: Float[np.ndarray, "cluster cell component"]
    influence: Float[np.ndarray, "cluster component"]
    error: Float[np.ndarray, " component"]


def cluster_totals(
    values: Float[np.ndarray, "sample component"],
    bottom: Float[np.ndarray, " sample"],
    clusters: Shaped[np.ndarray, " sample"],
    cells: Int[np.ndarray, " sample"],
    n_cells: int,
) -> Totals:
    """Sum numerators and denominators over the samples of each cluster and cell."""
    names, row = np.unique(clusters, return_inverse=True)
    place = row.ravel() * n_cells + cells
    top = np.zeros((len(names) * n_cells, values.shape[1]))
    np.add.at(top, place, values)
    base = np.bincount(place, weights=bottom, minlength=len(top)).astype(float)
    shape = (len(names), n_cells)
    return Totals(top.reshape(*shape, values.shape[1]), base.reshape(shape))


def draw_counts(
    n_clusters: int, resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "draw cluster"]:
    """How often each cluster is drawn."""
    even = np.full(n_clusters, 1 / n_clusters)
    return rng.multinomial(n_clusters, even, size=resamples).astype(float)


def small_sample_factor(n_clusters: int) -> Float[np.ndarray, " cluster"]:
    """G / (G - 1) for each of G clusters."""
    return np.full(n_clusters, n_clusters / max(n_clusters - 1, 1))


def replicates(
    counts: Float[np.ndarray, "draw cluster"],
    residuals: Float[np.ndarray, "cluster cell component"],
    totals: Totals,
    lambdas: Float[np.ndarray, " cell"],
    with_error: bool,
) -> tuple[Float[np.ndarray, "draw component"], Float[np.ndarray, "draw component"] | None]:
    """theta* - theta of every draw and, if asked for, its standard error.

    `residuals` are e = A - R B of the observed ratios R, so that sums of e in a draw, over the
    draw's denominators, are R* - R: no digits are lost where the ratios are large.
    """
    n_clusters, n_cells, n_components = residuals.shape
    share = lambdas / (counts @ totals.bottom)
    sums = (counts @ residuals.reshape(n_clusters, -1)).reshape(-1, n_cells, n_components)
    shift = np.einsum("rc,rck->rk", share, sums)
    if not with_error:
        return shift, None
    weights = counts * small_sample_factor(n_clusters)
    pull = np.divide(share**2, lambdas, out=np.zeros_like(share), where=lambdas != 0)
    if n_cells == 1:
        squares = _one_cell(weights, residuals[:, 0], totals.bottom, share, pull * sums[:, 0])
    else:
        squares = _many_cells(weights, residuals, totals.bottom, share, pull[:, :, None] * sums)
    return shift, np.sqrt(np.maximum(squares, 0))


def _one_cell(weights, residuals, bottom, share, pull):
    """Sum over clusters of w (share e - pull B)^2, multiplied out: three matrix products."""
    squares = share**2 * (weights @ residuals**2)
    squares -= 2 * share * pull * (weights @ (residuals * bottom))
    return squares + pull**2 * (weights @ bottom**2)


def _many_cells(weights, residuals, bottom, share, pull):
    """Sum over clusters of w (sum over cells of share e - pull B)^2, for some draws at a time."""
    n_clusters, n_cells, n_components = residuals.shape
    by_cell = np.ascontiguousarray(residuals.transpose(1, 0, 2)).reshape(n_cells, -1)
    squares = np.empty((len(weights), n_components))
    step = max(1, CHUNK // (n_clusters * n_components))
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        psi = (share[part] @ by_cell).reshape(-1, n_clusters, n_components)
        psi -= np.matmul(bottom, pull[part])
        np.multiply(psi, psi, out=psi)
        squares[part] = np.matmul(weights[part, None, :], psi)[:, 0]
    return squares


def bootstrap_limits(
    method: str, terms: Linearised, tail: float, resamples: int, rng: np.random.Generator
) -> tuple[Float[np.ndarray, " component"], Float[np.ndarray, " component"]]:
    """Limits minus the estimate, by `bootstrap_t` or `bca`; not finite where there are none."""
    totals, residuals, error = terms.totals, terms.residuals, terms.error
    counts = draw_counts(len(totals.bottom), resamples, rng)
    counts = counts[((counts @ totals.bottom) > 0).all(axis=1)]
    n_components = residuals.shape[2]
    low, high = np.full(n_components, np.nan), np.full(n_components, np.nan)
    if len(counts) < (1 - MOST_EMPTY_DRAWS) * resamples:
        return low, high  # too many draws leave a cell without any sample
    step = max(1, CHUNK // (resamples * len(terms.lambdas)))
    studentize = method == "bootstrap_t"
    for start in range(0, n_components, step):
        part = slice(start, start + step)
        shift, spread = replicates(counts, residuals[:, :, part], totals, terms.lambdas, studentize)
        if spread is None:
            low[part], high[part] = _bca(shift, terms.influence[:, part], tail)
            continue
        # a draw without variance has an unbounded t: it belongs in the tail of its sign
        solid = spread > 1e-6 * error[part]
        t = np.where(solid, shift / np.where(solid, spread, 1.0), np.copysign(np.inf, shift))
        ends = np.quantile(t, [tail, 1 - tail], axis=0, method="inverted_cdf")
        low[part], high[part] = -ends[1] * error[part], -ends[0] * error[part]
    return low, high


def _bca(shift, influence, tail):
    """BCa limits minus the estimate; the acceleration comes from the influence values."""
    below = (shift < 0).mean(axis=0) + 0.5 * (shift == 0).mean(axis=0)
    bias = special.ndtri(np.clip(below, 1 / len(shift), 1 - 1 / len(shift)))
    size = (influence**2).sum(axis=0) ** 1.5
    pull = np.divide((influence**3).sum(axis=0), 6 * size, out=np.zeros_like(size), where=size > 0)
    ordered = np.sort(shift, axis=0)
    limits = []
    for z in (special.ndtri(tail), special.ndtri(1 - tail)):
        level = special.ndtr(bias + (bias + z) / (1 - pull * (bias + z)))
        place = np.clip(np.round(level * (len(shift) - 1)).astype(int), 0, len(shift) - 1)
        limits.append(np.take_along_axis(ordered, place[None], axis=0)[0])
    return limits
