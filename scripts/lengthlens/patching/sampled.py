"""Which heads are patched: all of a small model's; of a large one the best and a random sample.

Every patch costs a row of a forward pass. Above `exhaustive` components only some heads are
patched: those that AtP puts first on the `select` answers, and a random sample. The sample is drawn
by whole key-value groups, whose heads share keys and values and are alike, and as evenly over the
layers as its size allows. Only the sample speaks for all heads: correlations with patches are
computed on it alone. MLPs are few and always patched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from lengthlens.models.layout import Layout
from lengthlens.settings.sections import Patching
from lengthlens.statistics.blocks import Block

NOT, CHOSEN, SAMPLED = 0, 1, 2


def patched_heads(
    layout: Layout, ranking: Float[np.ndarray, "layer head"] | None, plan: Patching
) -> Int[np.ndarray, "layer head"]:
    """2 for the heads of the random sample (all of them in a small model), 1 for the other best.

    Args:
        layout: the model's heads, in groups that share a key and a value.
        ranking: the mean AtP of every head, NaN where a layer lacks it; None where there is none.
        plan: its `exhaustive`, `best`, `random` and `seed`.
    """
    if len(layout.heads) + len(layout.mlps) <= plan.exhaustive:
        return np.where(layout.has_head, SAMPLED, NOT)
    chosen = np.where(best_heads(layout, ranking, plan), CHOSEN, NOT)
    rng = np.random.default_rng(plan.seed)
    drawn = _groups_drawn(layout.blocks, plan.random, rng)
    for block, number in zip(layout.blocks, drawn, strict=True):
        for place in rng.permutation(_n_groups(block))[:number]:
            first = block.first + place * block.group
            chosen[block.layer, first : first + block.group] = SAMPLED
    return chosen


def _groups_drawn(blocks: Sequence[Block], heads: int, rng: np.random.Generator) -> list[int]:
    """How many groups of every block are drawn, in proportion, so that they have so many heads."""
    most = np.array([_n_groups(block) for block in blocks])
    all_heads = sum(len(block.heads) for block in blocks)
    wanted = min(-(-heads * most.sum() // all_heads), most.sum())
    each = wanted * most // most.sum()
    each[rng.permutation(len(blocks))[: wanted - each.sum()]] += 1
    return each.tolist()


def _n_groups(block: Block) -> int:
    return len(block.heads) // block.group


def best_heads(
    layout: Layout, ranking: Float[np.ndarray, "layer head"] | None, plan: Patching
) -> Bool[np.ndarray, "layer head"]:
    """The heads that are patched for their AtP, whether or not the random sample has them, too."""
    there = layout.has_head
    best = np.zeros(there.shape, dtype=bool)
    if ranking is not None and np.isfinite(ranking[there]).all():
        places = np.argwhere(there)
        chosen = places[np.argsort(-ranking[there], kind="stable")[: plan.best]]
        best[tuple(chosen.T)] = True
    return best
