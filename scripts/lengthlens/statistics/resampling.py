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
    """Sums over the samples of each cluster and cell; `blocks` are drawn from independently."""

    top: Float[np.ndarray, "cluster cell component"]
    bottom: Float[np.ndarray, "cluster cell"]
    blocks: Int[np.ndarray, " cluster"]


@dataclass(frozen=True)
class Linearised:
    """A combination of ratios (coefficients `lambdas`), linearised at the observed totals."""

    totals: Totals
    lambdas: Float[np.ndarray, " cell"]
    residuals: Float[np.ndarray, "cluster cell component"]
    influence: Float[np.ndarray, "cluster component"]
    error: Float[np.ndarray, " component"]


@dataclass(frozen=True)
class Draws:
    """How many draws, and the generator that goes on from one pattern of samples to the next."""

    resamples: int
    rng: np.random.Generator


def cluster_totals(
    values: Float[np.ndarray, "sample component"],
    bottom: Float[np.ndarray, " sample"],
    clusters: Shaped[np.ndarray, " sample"],
    cells: Int[np.ndarray, " sample"],
    blocks: Int[np.ndarray, " sample"],
    n_cells: int,
) -> Totals:
    """Sum numerators and denominators over the samples of each (block, cluster) and cell."""
    _, topic = np.unique(clusters, return_inverse=True)
    keys, row = np.unique(np.stack([blocks, topic.ravel()]), axis=1, return_inverse=True)
    place = row.ravel() * n_cells + cells
    top = np.zeros((keys.shape[1] * n_cells, values.shape[1]))
    np.add.at(top, place, values)
    base = np.bincount(place, weights=bottom, minlength=len(top)).astype(float)
    shape = (keys.shape[1], n_cells)
    return Totals(top.reshape(*shape, values.shape[1]), base.reshape(shape), keys[0])


def draw_counts(
    blocks: Int[np.ndarray, " cluster"], resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "draw cluster"]:
    """How often each cluster is drawn; every block keeps its number of clusters."""
    counts = np.zeros((resamples, len(blocks)))
    for name in np.unique(blocks):
        members = np.flatnonzero(blocks == name)
        even = np.full(len(members), 1 / len(members))
        counts[:, members] = rng.multinomial(len(members), even, size=resamples)
    return counts


def small_sample_factor(blocks: Int[np.ndarray, " cluster"]) -> Float[np.ndarray, " cluster"]:
    """G / (G - 1) for every cluster, with G the number of clusters of its block."""
    _, block, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    return (sizes / np.maximum(sizes - 1, 1))[block.ravel()]


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
    weights = counts * small_sample_factor(totals.blocks)
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
    method: str, terms: Linearised, tail: float, draws: Draws
) -> tuple[Float[np.ndarray, " component"], Float[np.ndarray, " component"]]:
    """Limits minus the estimate, by `bootstrap_t` or `bca`; not finite where there are none."""
    totals, residuals, error = terms.totals, terms.residuals, terms.error
    counts = draw_counts(totals.blocks, draws.resamples, draws.rng)
    counts = counts[((counts @ totals.bottom) > 0).all(axis=1)]
    n_components = residuals.shape[2]
    low, high = np.full(n_components, np.nan), np.full(n_components, np.nan)
    if len(counts) < (1 - MOST_EMPTY_DRAWS) * draws.resamples:
        return low, high  # too many draws leave a cell without any sample
    step = max(1, CHUNK // (draws.resamples * len(terms.lambdas)))
    for start in range(0, n_components, step):
        part = slice(start, start + step)
        studentize = method == "bootstrap_t"
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
