"""Which components are removed together, and the random sets beside them."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthlens.conditions import (
    Condition,
    count_matched,
    matched_draws,
    plan_conditions,
    top_heads,
)
from lengthlens.selection import component_name

LAYERS, HEADS = 4, 8
PLAN = {
    "k": [1, 2, 4],
    "methods": ["cwa", "end_contrast"],
    "modes": ["zero", "mean"],
    "positions": "generated",
    "controls": 20,
    "seed": 0,
    "language": "en",
}


def ranking(seed: int = 0, methods: tuple[str, ...] = ("cwa", "end_contrast")) -> pd.DataFrame:
    """A selection table with random ranks of all heads and MLPs."""
    rng = np.random.default_rng(seed)
    rows = []
    for method in methods:
        heads = list(itertools.product(range(LAYERS), range(HEADS)))
        for rank, place in enumerate(rng.permutation(len(heads)), start=1):
            rows.append(("head", *heads[place], method, 1.0 / rank, rank))
        for rank, layer in enumerate(rng.permutation(LAYERS), start=1):
            rows.append(("mlp", layer, pd.NA, method, 1.0 / rank, rank))
    table = pd.DataFrame(rows, columns=["kind", "layer", "head", "method", "score", "rank"])
    return table.astype({"head": "Int64", "rank": "Int64"})


chosen_sets = st.sets(
    st.tuples(st.integers(0, LAYERS - 1), st.integers(0, HEADS - 1)), min_size=1, max_size=10
).map(lambda heads: tuple(sorted(heads)))


@given(chosen_sets, st.integers(0, 40))
def test_controls_are_matched_distinct_and_without_chosen_heads(chosen, controls) -> None:
    draws = matched_draws(chosen, HEADS, controls, "0:en:cwa:1")
    possible = count_matched(chosen, HEADS)
    assert len(draws) == min(possible, controls)
    assert len(set(draws)) == len(draws)
    layers = Counter(layer for layer, _ in chosen)
    for draw in draws:
        assert Counter(layer for layer, _ in draw) == layers
        assert not set(draw) & set(chosen)
        assert list(draw) == sorted(set(draw))
        assert all(0 <= head < HEADS for _, head in draw)


@given(st.sets(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=4))
def test_few_controls_are_enumerated(chosen) -> None:
    """All distinct sets, found here by trying every subset of the same size."""
    chosen = tuple(sorted(chosen))
    layers = Counter(layer for layer, _ in chosen)
    others = [h for h in itertools.product(range(2), range(4)) if h not in chosen]
    expected = {
        subset
        for subset in itertools.combinations(others, len(chosen))
        if Counter(layer for layer, _ in subset) == layers
    }
    assert set(matched_draws(chosen, 4, 199, "seed")) == expected
    assert count_matched(chosen, 4) == len(expected)


def test_random_controls_cover_all_sets_alike() -> None:
    """Each of the 7 other heads of a layer is drawn equally often, over seeds."""
    counts = Counter(matched_draws([(2, 3)], HEADS, 1, f"{seed}")[0][0][1] for seed in range(2100))
    assert set(counts) == set(range(HEADS)) - {3}
    expected = 300
    assert sum((c - expected) ** 2 / expected for c in counts.values()) < 22.5  # chi2, 6 df, .999


def test_controls_depend_on_the_seed_alone() -> None:
    chosen = ((0, 1), (2, 2), (2, 5))
    first = matched_draws(chosen, HEADS, 30, "0:en:cwa:3")
    assert matched_draws(chosen, HEADS, 30, "0:en:cwa:3") == first
    assert matched_draws(chosen, HEADS, 10, "0:en:cwa:3") == first[:10]  # more only appends
    assert matched_draws(chosen, HEADS, 30, "1:en:cwa:3") != first


def test_the_plan() -> None:
    """none, then for every method, k and mode the top k with its controls, which modes share."""
    table = ranking()
    plan = plan_conditions(table, HEADS, **PLAN)
    assert plan[0] == Condition(positions="generated")
    assert plan[0].kind == plan[0].mode == plan[0].method == "none"
    assert plan[0].components == ""
    groups = itertools.groupby(plan[1:], key=lambda c: (c.method, len(c.heads), c.mode))
    groups = {key: list(group) for key, group in groups}
    assert list(groups) == list(itertools.product(PLAN["methods"], PLAN["k"], PLAN["modes"]))
    for (method, k, _), group in groups.items():
        best = table[(table["method"] == method) & (table["kind"] == "head")].nsmallest(k, "rank")
        expected = {component_name(int(row.layer), int(row.head)) for row in best.itertuples()}
        assert set(group[0].components.split(";")) == expected
        assert [c.draw for c in group] == list(range(len(group)))
        assert len(group) - 1 == min(20, count_matched(group[0].heads, HEADS))
        assert {c.source_language for c in group} == {"en"}
        assert {c.positions for c in group} == {"generated"}
        zero = groups[method, k, "zero"]
        assert [c.heads for c in group] == [c.heads for c in zero]


def test_methods_without_scores_are_left_out() -> None:
    table = ranking()
    table.loc[table["method"] == "end_contrast", ["score", "rank"]] = pd.NA
    plan = plan_conditions(table, HEADS, **PLAN)
    assert {c.method for c in plan} == {"none", "cwa"}


def test_top_heads_are_by_rank_and_sorted_by_layer() -> None:
    table = ranking(3)
    ranked = table[(table["method"] == "cwa") & (table["kind"] == "head")].sort_values("rank")
    pairs = list(zip(ranked["layer"], ranked["head"], strict=True))
    assert top_heads(table, "cwa", 5) == tuple(sorted(pairs[:5]))
    assert len(top_heads(table, "cwa", 1000)) == LAYERS * HEADS
    assert top_heads(table, "nothing", 3) == ()


@pytest.mark.parametrize(("chosen", "expected"), [([(0, 0)], 7), ([(0, h) for h in range(5)], 0)])
def test_how_many_sets_there_are(chosen, expected: int) -> None:
    assert count_matched(chosen, HEADS) == expected
    assert len(matched_draws(chosen, HEADS, 199, "s")) == expected
