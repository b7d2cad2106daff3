"""Which heads are patched: all of a small model's; of a large one the best and a random sample.

Every patch costs a row of a forward pass. Above `exhaustive` components only some heads are
patched: those that AtP puts first on the `select` answers, and a random sample. The sample is drawn
by whole key-value groups, whose heads share keys and values and are alike, and as evenly over the
layers as its size allows. Only the sample speaks for all heads: correlations with patches are
computed on it alone. MLPs are few and always patched.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from lengthlens.settings.sections import Patching

NOT, CHOSEN, SAMPLED = 0, 1, 2


def patched_heads(
    shape: tuple[int, int],
    group: int,
    ranking: Float[np.ndarray, "layer head"] | None,
    plan: Patching,
) -> Int[np.ndarray, "layer head"]:
    """2 for the heads of the random sample (all of them in a small model), 1 for the other best.

    Args:
        shape: layers, heads in each.
        group: heads that share a key and a value.
        ranking: the mean AtP of every head; None or NaN where there is none.
        plan: its `exhaustive`, `best`, `random` and `seed`.
    """
    layers, heads = shape
    if layers * (heads + 1) <= plan.exhaustive:
        return np.full(shape, SAMPLED)
    chosen = np.where(best_heads(shape, ranking, plan), CHOSEN, NOT)
    rng = np.random.default_rng(plan.seed)
    n_groups = heads // group
    wanted = min(-(-plan.random // group), layers * n_groups)
    each = np.full(layers, wanted // layers)
    each[rng.permutation(layers)[: wanted % layers]] += 1
    for layer, number in enumerate(each.tolist()):
        for first in rng.permutation(n_groups)[:number] * group:
            chosen[layer, first : first + group] = SAMPLED
    return chosen


def best_heads(
    shape: tuple[int, int], ranking: Float[np.ndarray, "layer head"] | None, plan: Patching
) -> Bool[np.ndarray, "layer head"]:
    """The heads that are patched for their AtP, whether or not the random sample has them, too."""
    best = np.zeros(shape, dtype=bool)
    if ranking is not None and np.isfinite(ranking).all():
        best.flat[np.argsort(-ranking, axis=None, kind="stable")[: plan.best]] = True
    return best
