"""Ablation conditions: which components are removed together, and the random sets beside them.

A condition removes a set of components. Beside every chosen set (the top k by a method) stand
controls: random sets of as many components of the same kind from the same layers, chosen ones
excluded. Where fewer distinct sets exist than are asked for, all of them are enumerated.
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

from lengthlens.selection import component_name

Head = tuple[int, int]


@dataclass(frozen=True)
class Condition:
    """One set of heads removed in one way.

    Attributes:
        heads: (layer, head) pairs, sorted; none for the condition `none`.
        mode: `zero` or `mean`; `none` where nothing is removed.
        positions: `generated` or `all`.
        method: the score that chose the set (or the set that a control is matched to).
        source_language: the language in which it was chosen.
        draw: 0 for the chosen set, 1, 2, … for its controls.
    """

    heads: tuple[Head, ...] = ()
    mode: str = "none"
    positions: str = "generated"
    method: str = "none"
    source_language: str = ""
    draw: int = 0

    @property
    def kind(self) -> str:
        return "head" if self.heads else "none"

    @property
    def components(self) -> str:
        """The set as text: "L3H5;L4H0"."""
        return ";".join(component_name(*head) for head in self.heads)


def plan_conditions(
    selection: pd.DataFrame,
    n_heads: int,
    *,
    k: Sequence[int],
    methods: Sequence[str],
    modes: Sequence[str],
    positions: str,
    controls: int,
    seed: int,
    language: str,
) -> list[Condition]:
    """The condition `none`, then every chosen set with its controls.

    Args:
        selection: ranking of the components (`selection.select_components`).
        n_heads: heads of a layer.
        k: sizes of the chosen sets.
        controls: how many random sets at most beside each chosen one.
        seed: of the random sets.
        language: in which the ranking was made.
    """
    conditions = [Condition(positions=positions)]
    for method, size in itertools.product(methods, k):
        chosen = top_heads(selection, method, size)
        if not chosen:
            continue
        draws = matched_draws(chosen, n_heads, controls, f"{seed}:{language}:{method}:{size}")
        for mode in modes:
            conditions += [
                Condition(heads, mode, positions, method, language, draw)
                for draw, heads in enumerate([chosen, *draws])
            ]
    return conditions


def top_heads(selection: pd.DataFrame, method: str, k: int) -> tuple[Head, ...]:
    """The k heads of the best rank, sorted by layer; none where the method has no scores."""
    ranked = selection[(selection["method"] == method) & (selection["kind"] == "head")]
    ranked = ranked.dropna(subset="rank").nsmallest(k, "rank")
    return tuple(sorted((int(row.layer), int(row.head)) for row in ranked.itertuples()))


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
