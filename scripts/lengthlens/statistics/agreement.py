"""Do two measurements rank the same components alike? Spearman's correlation over components.

Both measurements are means over samples, each over its own topics (attribution on one split,
effects on the other). What is uncertain is therefore not which components there are, for all of
them are looked at, but their means:

1. `rank_components` ranks components by their mean, once as observed and once in every draw of
   topics with replacement; within `groups` (layers), if given, where ranks are then centred, so
   that only differences between components of one layer count: a partial rank correlation;
2. `agreement_interval` correlates two such rankings draw by draw. The interval is that of `ranks`:
   the spread of the draws on Fisher's scale, with t, around the observed value. The difference of
   two scores' correlations has the spread of the differences in the same draws.

Noise in either mean lowers a correlation; nothing corrects for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Num, Shaped

from lengthlens.errors import LengthlensError
from lengthlens.statistics.bootstrap import DEFAULT, Bootstrap
from lengthlens.statistics.intervals import FEWEST_FOR_BOOTSTRAP, Interval
from lengthlens.statistics.ranks import FEWEST_PAIRS, correlation, interval_of_draws
from lengthlens.statistics.resampling import draw_counts


@dataclass(frozen=True)
class Ranking:
    """Centred ranks of components: the first row as observed, the others drawn.

    `n_samples` and `n_clusters` count the samples behind the means, and their topics.
    """

    ranks: Float[np.ndarray, "draw component"]
    n_samples: int
    n_clusters: int


def rank_components(
    values: Num[np.ndarray, "sample component"],
    clusters: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap = DEFAULT,
    *,
    groups: Shaped[np.ndarray, " component"] | None = None,
) -> Ranking:
    """Rank components by their mean over samples; a sample that is NaN anywhere is dropped.

    Args:
        values: one a sample and component.
        clusters: topic of each sample. Equal clusters and seeds give equal draws of topics.
        bootstrap: the draws. With fewer than 8 topics there are none.
        groups: rank within these; a component that is alone in its group says nothing.
    """
    # NOTE here: scipy.stats takes 0.6 s to import, which every job that has an interval would pay.
    from scipy.stats import rankdata

    values = np.asarray(values, dtype=float)
    keep = np.isfinite(values).all(axis=1)
    names, topic = np.unique(np.asarray(clusters), return_inverse=True)
    totals = np.zeros((len(names), values.shape[1] + 1))
    np.add.at(totals, topic.ravel()[keep], np.insert(values[keep], 0, 1.0, axis=1))
    n_clusters = int((totals[:, 0] > 0).sum())
    counts = np.ones((1, len(names)))
    if n_clusters >= FEWEST_FOR_BOOTSTRAP:
        drawn = draw_counts(len(names), bootstrap.resamples, bootstrap.rng())
        counts = np.concatenate([counts, drawn])
    # Equal columns are ties. A product of matrices may round them apart, so each is made once.
    different, column = np.unique(totals, axis=1, return_inverse=True)
    sums = (counts @ different)[:, column.ravel()]
    means = sums[:, 1:] / np.where(sums[:, :1] > 0, sums[:, :1], np.nan)
    labels = np.zeros(values.shape[1], dtype=int) if groups is None else np.asarray(groups)
    ranks = np.zeros(means.shape)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        own = rankdata(means[:, members], axis=1, nan_policy="propagate")
        ranks[:, members] = own - (len(members) + 1) / 2
    return Ranking(ranks, int(keep.sum()), n_clusters)


def agreement_interval(
    score: Ranking, effect: Ranking, minus: Ranking | None = None, *, level: float = 0.95
) -> Interval:
    """Spearman's correlation, over components, of mean scores with mean effects.

    Args:
        score, effect: rankings of the same components, of different seeds.
        minus: another score's, with the seed of `score`; its correlation is taken off.
        level: of the interval.

    Returns:
        The interval; `n` counts components, `n_clusters` the topics of the side with fewer. NaN
        limits with fewer than 8 topics or 4 components, or where nothing varies.

    Raises:
        LengthlensError: the sides have different components.
    """
    sides = [side for side in (score, effect, minus) if side is not None]
    sizes = sorted({side.ranks.shape[1] for side in sides})
    if len(sizes) > 1:
        raise LengthlensError(f"all sides need the same components, but have {sizes} of them")
    counts = sizes[0], min(side.n_clusters for side in sides)
    n_rows = min(len(side.ranks) for side in sides)  # one where a side has too few topics to draw
    ranks = [side.ranks[:n_rows] for side in sides]
    once = np.ones((1, sizes[0]))
    found = correlation(ranks[0], ranks[1], once)
    method = "fisher"
    if minus is not None:
        found, method = found - correlation(ranks[2], ranks[1], once), "student"
    draws = found[1:] if counts[0] >= FEWEST_PAIRS else np.empty(0)
    return interval_of_draws(found[0], draws, counts, level, method=method)
