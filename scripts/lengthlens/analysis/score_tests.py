"""The primary test: does a score rank the heads of a layer as their effects do?

1. The score is a head's mean over the `select` samples, the zero effect its mean over
   the `evaluate` samples: no topic is on both sides.
2. `value`: the rank correlation within layers (ranks centred by layer), with its interval.
3. `p`: within-layer permutations of key-value groups, and of heads within them
   (`statistics.within_layers`).
4. `over_norm`: how far the correlation exceeds that of `norm`, the mean norm of a head's output. A
   score that follows size alone passes 3; it finds causes only where this interval lies above 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from lengthlens.ablation.hypotheses import Hypothesis
from lengthlens.ablation.selection import with_forced
from lengthlens.analysis.causes import one_kind_scores
from lengthlens.analysis.tables import of_split
from lengthlens.errors import LengthlensError
from lengthlens.models.layout import Layout
from lengthlens.statistics import (
    Bootstrap,
    Ranking,
    agreement_interval,
    rank_components,
    within_layer_test,
)
from lengthlens.statistics.blocks import Block
from lengthlens.statistics.within_layers import PERMUTATIONS, whole_groups

NORM = "norm"


class NoEffect(LengthlensError):
    """A forced file without the zero effects; the message says why."""


def score_test(
    hypothesis: Hypothesis,
    attribution: xr.Dataset,
    forced: xr.Dataset,
    bootstrap: Bootstrap,
) -> dict:
    """Make the test of one model in one language.

    Args:
        hypothesis: of the kind `permutation`.
        attribution, forced: files that the scores are read from; the forced file also holds the
            effects, and says how many key-value heads the model has.
        bootstrap: of the interval and the permutations.

    Returns:
        A part of a row of tables/confirmatory.csv.

    Raises:
        NoEffect: the zero effect was not measured.
    """
    sizes, groups = (forced.sizes["layer"], forced.sizes["head"]), int(forced.attrs["n_kv_heads"])
    blocks = Layout.told(forced.attrs, *sizes, groups).blocks
    if "zero" not in forced["mode"].to_numpy():
        raise NoEffect("forced.modes has no `zero`, so that the effect was not measured")
    evaluate = of_split(forced, "evaluate")
    effect = evaluate["effect_head"].sel(mode="zero").to_numpy()
    select = of_split(with_forced(attribution, forced), "select")
    known = whole_groups(np.isfinite(effect).any(axis=0), blocks)
    within = _block_of_each(blocks, known.shape)[known]

    def ranked(values: Float[np.ndarray, "sample layer head"], topics, side: int) -> Ranking:
        return rank_components(values[:, known], topics, bootstrap.apart(side), groups=within)

    score, norm = (
        ranked(one_kind_scores(select, "head", name), select["topic"].to_numpy(), 0)
        for name in (hypothesis.method, NORM)
    )
    of_effect = ranked(effect, evaluate["topic"].to_numpy(), 1)
    found = agreement_interval(score, of_effect, level=bootstrap.level)
    row = {
        "n_components": int(known.sum()),
        "n_samples": min(score.n_samples, of_effect.n_samples),
        "n_topics": int(found.n_clusters),
        "n_draws": PERMUTATIONS,
        **found.columns("value"),
    }
    if hypothesis.method != NORM:
        gain = agreement_interval(score, of_effect, norm, level=bootstrap.level)
        row |= gain.columns("over_norm")
    if np.isnan(found.estimate):
        return row | {"reason": "score or effect is the same for all heads of every layer"}
    return row | _permuted((score, of_effect), known, blocks, bootstrap.seed)


def _permuted(
    rankings: tuple[Ranking, Ranking],
    known: Bool[np.ndarray, "layer head"],
    blocks: Sequence[Block],
    seed: int,
) -> dict:
    """The p-value of two rankings, or why there is none."""
    grids = [np.full(known.shape, np.nan) for _ in range(2)]
    for grid, ranking in zip(grids, rankings, strict=True):
        grid[known] = ranking.ranks[0]
    test = within_layer_test(*grids, blocks, seed=seed)
    few = f"only {test.arrangements:g} arrangements of the heads within layers and groups"
    return {
        "n_possible": test.arrangements,
        "p": test.p,
        "reason": few if np.isnan(test.p) else "",
    }


def _block_of_each(
    blocks: Sequence[Block], shape: tuple[int, int]
) -> Int[np.ndarray, "layer head"]:
    """The number of every head's block; -1 where there is no head."""
    found = np.full(shape, -1)
    for number, block in enumerate(blocks):
        found[block.layer, block.first : block.stop] = number
    return found
