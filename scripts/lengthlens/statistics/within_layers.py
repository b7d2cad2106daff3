"""Do a score and an effect go together among the heads of a layer? A permutation test.

1. Score and effect of every head are ranked within its layer, and the ranks centred.
2. Statistic: the sum over layers, and over their heads, of the products of both ranks. Its largest
   value is reached where every layer's heads have the same order in both.
3. Null: given layer and key-value group, score and effect are independent. Then whole groups can
   change places within their layer, and heads within their group, without changing anything; heads
   that share keys and values may act alike. The p-value counts such permutations (Phipson and
   Smyth 2010): p = (1 + #{permuted >= observed}) / (1 + permutations), one-sided.

The null is *not* that the score knows nothing of causes: where score and effect both grow with a
head's size, they are not independent given the layer, and the test rejects. Hence a score must also
exceed `norm`, the size itself (docs/statistics.md, which has the level under many nulls).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from lengthlens.errors import LengthlensError
from lengthlens.statistics.blocks import Block
from lengthlens.statistics.permutation import FEWEST_ENUMERATED

PERMUTATIONS = 9999


@dataclass(frozen=True)
class PermutationTest:
    """`p` is NaN where there are too few arrangements for any small one.

    Attributes:
        p: one-sided, for large values.
        statistic: the sum of products of centred ranks.
        arrangements: how many permutations are different (inf beyond 10^300).
        n_heads: heads compared.
    """

    p: float
    statistic: float
    arrangements: float
    n_heads: int


def within_layer_test(
    score: Float[np.ndarray, "layer head"],
    effect: Float[np.ndarray, "layer head"],
    blocks: Sequence[Block],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> PermutationTest:
    """Test whether score and effect have the same order within layers.

    Args:
        score, effect: one a head. Key-value groups in which one is NaN are left out as a whole.
        blocks: the heads that may change places, with their groups (`blocks.even_blocks`).
        permutations, seed: of the draws.

    Raises:
        LengthlensError: the shapes differ.
    """
    from scipy.stats import rankdata  # NOTE here, as in `agreement`: it takes 0.6 s to import

    a, b = (np.asarray(values, dtype=float) for values in (score, effect))
    if a.ndim != 2 or a.shape != b.shape:
        raise LengthlensError(
            f"score and effect need one number a layer and head, but have the shapes {a.shape} and "
            f"{b.shape}"
        )
    known = whole_groups(np.isfinite(a) & np.isfinite(b), blocks)
    rng = np.random.default_rng(seed)
    observed, drawn, logs = 0.0, np.zeros(permutations), 0.0
    for block in blocks:
        own, size = known[block.place], block.group
        if not own.any():
            continue
        first, second = (rankdata(values[block.place][own]) for values in (a, b))
        ranks = [(part - part.mean()).reshape(-1, size) for part in (first, second)]
        observed += float((ranks[0] * ranks[1]).sum())
        drawn += _permuted(*ranks, permutations, rng)
        groups = len(ranks[0])
        logs += math.lgamma(groups + 1) + groups * math.lgamma(size + 1)
    arrangements = round(math.exp(logs)) if logs < 30 else math.exp(min(logs, 700))
    p = (1 + int((drawn >= observed).sum())) / (1 + permutations)
    enough = arrangements > FEWEST_ENUMERATED
    return PermutationTest(p if enough else np.nan, observed, float(arrangements), int(known.sum()))


def whole_groups(
    known: Bool[np.ndarray, "layer head"], blocks: Sequence[Block]
) -> Bool[np.ndarray, "layer head"]:
    """The known heads whose whole key-value group is known."""
    found = np.zeros_like(known)
    for block in blocks:
        groups = known[block.place].reshape(-1, block.group)
        found[block.place] = np.repeat(groups.all(axis=1), block.group)
    return found


def _permuted(
    score: Float[np.ndarray, "group size"],
    effect: Float[np.ndarray, "group size"],
    permutations: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " draw"]:
    """The statistic of one layer under permutations of groups and of heads within them."""
    n_groups, size = effect.shape
    groups: Int[np.ndarray, "draw group"] = rng.random((permutations, n_groups)).argsort(axis=1)
    heads: Int[np.ndarray, "draw group size"] = rng.random((permutations, n_groups, size)).argsort(
        axis=2
    )
    moved = np.take_along_axis(effect[groups], heads, axis=2)
    return np.einsum("dgs,gs->d", moved, score)
