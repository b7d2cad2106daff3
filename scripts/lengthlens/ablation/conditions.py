"""Ablation conditions: which components are removed together, and the random sets beside them.

A condition removes a set of heads, of MLPs, or of both. Beside a chosen set stand controls: random
sets of as many components of the same kind from the same layers; where fewer distinct sets exist
than are asked for, all of them. They come from one of two pools:

- `all`: every such set but the chosen one, heads in common allowed. A set that was itself drawn at
  random ranks among these like any of them, so p-values rest on this pool alone.
- `disjoint`: the sets without any chosen head. They say what *other* heads do, for effect sizes. A
  chosen set is no random one among them: where one head dominates, it is in the chosen set or in
  some controls, never in both.

An MLP has no like in its own layer: the controls of one MLP are the MLPs of all other layers.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lengthlens.ablation.selection import component_name
from lengthlens.models.depth import layers_between
from lengthlens.models.layout import Layout
from lengthlens.statistics.blocks import Block

Head = tuple[int, int]
POOLS = ("all", "disjoint")


@dataclass(frozen=True)
class Condition:
    """One set of components removed in one way.

    Attributes:
        heads: (layer, head) pairs, sorted; none for the condition `none`.
        mode: `zero`, `mean` or `resample`; `none` where nothing is removed.
        positions: `generated` or `all`.
        method: the score that ranked the components, or the name of the set, such as `late_heads`.
        source_language: the language in which the set was chosen; of `none`, that of the prompts.
        draw: 0 for the chosen set, 1, 2, … for its controls.
        mlps: layers whose MLP is removed, sorted.
        chosen_by: `top` or `bottom` of a ranking, `position` in the network; "" for `none`.
        answered: whether answers are generated; else only the end margin is measured.
        neutral: whether neutral sentences are scored.
        n_possible: how many distinct controls exist for the chosen set.
        pool: what the controls are drawn from, one of `POOLS`; "" for a set that has none.
        test: ids of the tests that the condition belongs to, joined by ";", or "".
    """

    heads: tuple[Head, ...] = ()
    mode: str = "none"
    positions: str = "generated"
    method: str = "none"
    source_language: str = ""
    draw: int = 0
    mlps: tuple[int, ...] = ()
    chosen_by: str = ""
    answered: bool = True
    neutral: bool = True
    n_possible: float = 0.0
    pool: str = ""
    test: str = ""

    @property
    def k(self) -> int:
        """How many components are removed."""
        return len(self.heads) + len(self.mlps)

    @property
    def kind(self) -> str:
        """`head`, `mlp`, `mixed`, or `none`."""
        if self.heads and self.mlps:
            return "mixed"
        return "head" if self.heads else "mlp" if self.mlps else "none"

    @property
    def components(self) -> str:
        """The set as text, layer by layer: "L3H5;L4H0;L5M"."""
        places = [(layer, 0, head) for layer, head in self.heads]
        places += [(layer, 1, None) for layer in self.mlps]
        return ";".join(component_name(layer, head) for layer, _, head in sorted(places))


def ranked_heads(
    selection: pd.DataFrame, method: str, k: int, bottom: bool = False
) -> tuple[Head, ...]:
    """The k heads of the best (or worst) ranks, sorted by layer; none where there are no scores."""
    ranked = selection[(selection["method"] == method) & (selection["kind"] == "head")]
    ranked = ranked.dropna(subset="rank")
    ranked = ranked.nlargest(k, "rank") if bottom else ranked.nsmallest(k, "rank")
    return tuple(sorted((int(row.layer), int(row.head)) for row in ranked.itertuples()))


def heads_between(low: float, high: float, layout: Layout) -> tuple[Head, ...]:
    """All heads of the layers in a range of depth (`models.depth`)."""
    return layout.heads_of(layers_between(layout.n_layers, low, high).tolist())


def count_matched(chosen: Sequence[Head], blocks: Sequence[Block], pool: str) -> int:
    """How many distinct matched sets a pool holds beside the chosen one."""
    free = _free_heads(chosen, blocks, pool)
    sets = math.prod(math.comb(len(heads), count) for heads, count in free)
    return sets - 1 if pool == "all" else sets


def matched_draws(
    chosen: Sequence[Head], blocks: Sequence[Block], controls: int, seed: str, pool: str
) -> list[tuple[Head, ...]]:
    """Distinct matched sets of a pool, in random order: `controls` of them, or all.

    The first k of them are a random sample of k. `blocks` are the model's heads: a chosen one is
    matched by one of its block, which is of its layer and its kind.
    """
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
    own = tuple(sorted(chosen))
    free = _free_heads(own, blocks, pool)
    if count_matched(own, blocks, pool) <= controls:
        by_block = [itertools.combinations(heads, count) for heads, count in free]
        sets = (itertools.chain.from_iterable(parts) for parts in itertools.product(*by_block))
        every = sorted({tuple(sorted(heads)) for heads in sets} - {own})
        return [every[place] for place in rng.permutation(len(every))]
    draws: dict[tuple[Head, ...], None] = {}
    while len(draws) < controls:
        picked = [
            heads[place]
            for heads, count in free
            for place in rng.choice(len(heads), count, replace=False)
        ]
        if (drawn := tuple(sorted(picked))) != own:
            draws[drawn] = None
    return list(draws)


def _free_heads(
    chosen: Sequence[Head], blocks: Sequence[Block], pool: str
) -> list[tuple[list[Head], int]]:
    """By block with chosen heads: those of it that may be drawn, and how many are."""
    taken = set(chosen) if pool == "disjoint" else set()
    found = []
    for block in blocks:
        heads = [(block.layer, head) for head in block.heads]
        if count := len(set(heads) & set(chosen)):
            found.append(([head for head in heads if head not in taken], count))
    return found
