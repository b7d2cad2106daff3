"""Ablation conditions: which components are removed together, and the random sets beside them.

A condition removes a set of heads, of MLPs, or of both. Beside a chosen set stand controls: random
sets of as many components of the same kind from the same layers, chosen ones excluded; where fewer
distinct sets exist than are asked for, all of them. An MLP has no like in its own layer: the
controls of one MLP are the MLPs of all other layers.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lengthlens.ablation.selection import component_name

Head = tuple[int, int]


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
        test: id of the confirmatory test that the condition belongs to, or "".
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
    test: str = ""

    @property
    def size(self) -> int:
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


def heads_between(low: float, high: float, n_layers: int, n_heads: int) -> tuple[Head, ...]:
    """All heads of the layers in a range of depth, where layer l of L lies at (l + 1/2) / L."""
    layers = [layer for layer in range(n_layers) if low <= (layer + 0.5) / n_layers <= high]
    return tuple(itertools.product(layers, range(n_heads)))


def count_matched(chosen: Sequence[Head], n_heads: int) -> int:
    """How many distinct layer-matched sets exist that share no head with the chosen one."""
    counts = Counter(layer for layer, _ in chosen)
    return math.prod(math.comb(n_heads - count, count) for count in counts.values())


def matched_draws(
    chosen: Sequence[Head], n_heads: int, controls: int, seed: str
) -> list[tuple[Head, ...]]:
    """Distinct layer-matched sets without chosen heads: all of them, or `controls` random ones."""
    if count_matched(chosen, n_heads) <= controls:
        return sorted(_all_matched(chosen, n_heads))
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))
    pools = _pools(chosen, n_heads)
    draws: dict[tuple[Head, ...], None] = {}
    while len(draws) < controls:
        picked = [
            (layer, int(head))
            for layer, (pool, count) in pools.items()
            for head in rng.choice(pool, count, replace=False)
        ]
        draws[tuple(sorted(picked))] = None
    return list(draws)


def _pools(chosen: Sequence[Head], n_heads: int) -> dict[int, tuple[list[int], int]]:
    """By layer: the heads that were not chosen, and how many were."""
    counts = Counter(layer for layer, _ in chosen)
    return {
        layer: ([head for head in range(n_heads) if (layer, head) not in chosen], count)
        for layer, count in sorted(counts.items())
    }


def _all_matched(chosen: Sequence[Head], n_heads: int) -> Iterator[tuple[Head, ...]]:
    by_layer = [
        [[(layer, head) for head in heads] for heads in itertools.combinations(pool, count)]
        for layer, (pool, count) in _pools(chosen, n_heads).items()
    ]
    for parts in itertools.product(*by_layer):
        yield tuple(sorted(itertools.chain.from_iterable(parts)))
