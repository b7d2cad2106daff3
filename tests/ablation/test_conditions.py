"""Which components are removed together, and the random sets beside them."""

from __future__ import annotations

import itertools
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rankings import HEADS, LAYERS, ranking

from lengthlens.ablation.conditions import (
    POOLS,
    Condition,
    count_matched,
    heads_between,
    matched_draws,
    ranked_heads,
)
from lengthlens.models.layout import Layout
from lengthlens.statistics.blocks import Block, even_blocks

BLOCKS = even_blocks(LAYERS, HEADS, HEADS)
QUARTERS = (set(range(24, 32)), set(range(8)))


chosen_sets = st.sets(
    st.tuples(st.integers(0, LAYERS - 1), st.integers(0, HEADS - 1)), min_size=1, max_size=10
).map(lambda heads: tuple(sorted(heads)))


@given(chosen_sets, st.integers(0, 40), st.sampled_from(POOLS))
def test_controls_are_matched_distinct_and_of_their_pool(chosen, controls, pool) -> None:
    draws = matched_draws(chosen, BLOCKS, controls, "0:en:cwa:1", pool)
    possible = count_matched(chosen, BLOCKS, pool)
    assert len(draws) == min(possible, controls)
    assert len(set(draws)) == len(draws)
    layers = Counter(layer for layer, _ in chosen)
    for draw in draws:
        assert Counter(layer for layer, _ in draw) == layers
        assert draw != chosen
        assert pool == "all" or not set(draw) & set(chosen)
        assert list(draw) == sorted(set(draw))
        assert all(0 <= head < HEADS for _, head in draw)


@pytest.mark.parametrize("pool", POOLS)
@given(st.sets(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=4))
def test_few_controls_are_enumerated(pool, chosen) -> None:
    """All distinct sets, found here by trying every subset of the same size."""
    chosen = tuple(sorted(chosen))
    layers = Counter(layer for layer, _ in chosen)
    heads = itertools.product(range(2), range(4))
    others = [h for h in heads if pool == "all" or h not in chosen]
    expected = {
        subset
        for subset in itertools.combinations(others, len(chosen))
        if Counter(layer for layer, _ in subset) == layers and subset != chosen
    }
    assert set(matched_draws(chosen, even_blocks(2, 4, 4), 199, "seed", pool)) == expected
    assert count_matched(chosen, even_blocks(2, 4, 4), pool) == len(expected)


@pytest.mark.parametrize(
    ("controls", "what"), [(1, "drawn"), (7, "all there are, in random order")]
)
def test_the_first_controls_are_a_random_sample(controls: int, what: str) -> None:
    """Each of the 7 other heads of a layer comes first equally often, over seeds."""
    counts = Counter(
        matched_draws([(2, 3)], BLOCKS, controls, f"{seed}", "disjoint")[0][0][1]
        for seed in range(2100)
    )
    assert set(counts) == set(range(HEADS)) - {3}, what
    expected = 300
    assert sum((c - expected) ** 2 / expected for c in counts.values()) < 22.5  # chi2, 6 df, .999


def test_drawn_sets_of_the_pool_all_are_uniform() -> None:
    """Two heads of one layer of 8: each of the 27 other pairs equally often, over seeds."""
    chosen = ((1, 0), (1, 5))
    counts = Counter(matched_draws(chosen, BLOCKS, 1, f"{seed}", "all")[0] for seed in range(2700))
    assert len(counts) == 27 and chosen not in counts
    assert sum((c - 100) ** 2 / 100 for c in counts.values()) < 54.1  # chi2, 26 df, .999


def test_controls_depend_on_the_seed_alone() -> None:
    chosen = ((0, 1), (2, 2), (2, 5))
    for pool in POOLS:
        first = matched_draws(chosen, BLOCKS, 30, "0:en:cwa:3", pool)
        assert matched_draws(chosen, BLOCKS, 30, "0:en:cwa:3", pool) == first
        more = matched_draws(chosen, BLOCKS, 10, "0:en:cwa:3", pool)
        assert more == first[:10]  # a larger number only appends
        assert matched_draws(chosen, BLOCKS, 30, "1:en:cwa:3", pool) != first


def test_methods_without_scores_choose_nothing() -> None:
    table = ranking()
    table.loc[table["method"] == "end_contrast", ["score", "rank"]] = pd.NA
    assert ranked_heads(table, "end_contrast", 2) == ()
    assert ranked_heads(table, "nothing", 3) == ()


def test_ranked_heads_are_by_rank_and_sorted_by_layer() -> None:
    table = ranking(3)
    ranked = table[(table["method"] == "cwa") & (table["kind"] == "head")].sort_values("rank")
    pairs = list(zip(ranked["layer"], ranked["head"], strict=True))
    assert ranked_heads(table, "cwa", 5) == tuple(sorted(pairs[:5]))
    assert ranked_heads(table, "cwa", 5, bottom=True) == tuple(sorted(pairs[-5:]))
    assert len(ranked_heads(table, "cwa", 1000)) == LAYERS * HEADS


@pytest.mark.parametrize(("n_layers", "late", "early"), [(6, {4, 5}, {0, 1}), (32, *QUARTERS)])
def test_quarters_are_of_the_depth(n_layers: int, late: set[int], early: set[int]) -> None:
    """Layer l of L lies at (l + 1/2) / L: the last quarter is 24-31 of 32, 4-5 of 6."""
    assert {layer for layer, _ in heads_between(0.75, 1, Layout.even(n_layers, 2))} == late
    assert {layer for layer, _ in heads_between(0, 0.25, Layout.even(n_layers, 2))} == early
    assert len(heads_between(0, 1, Layout.even(n_layers, 3))) == 3 * n_layers


def test_conditions_name_their_components_in_the_order_of_layers() -> None:
    mixed = Condition(((0, 3), (2, 1)), mlps=(0, 2))
    assert mixed.components == "L0H3;L0M;L2H1;L2M"
    assert (mixed.kind, mixed.k) == ("mixed", 4)
    assert Condition(mlps=(5,)).kind == "mlp"
    assert (Condition().kind, Condition().components) == ("none", "")


@pytest.mark.parametrize(
    ("chosen", "pool", "expected"),
    [
        ([(0, 0)], "disjoint", 7),
        ([(0, h) for h in range(5)], "disjoint", 0),
        ([(0, 0)], "all", 7),
        ([(0, h) for h in range(5)], "all", 55),  # 8 over 5 = 56, less the chosen one
        ([(0, h) for h in range(8)], "all", 0),
        ([(0, 0), (1, 3)], "all", 63),
    ],
)
def test_how_many_sets_there_are(chosen, pool: str, expected: int) -> None:
    assert count_matched(chosen, BLOCKS, pool) == expected
    assert len(matched_draws(chosen, BLOCKS, 199, "s", pool)) == expected


def test_controls_are_of_the_same_block() -> None:
    """A layer with a mixer of three heads beside an attention of two: the heads never mix."""
    blocks = [Block(0, 0, 3), Block(0, 3, 5), Block(1, 0, 1)]
    draws = matched_draws([(0, 0), (0, 4)], blocks, 99, "s", "all")
    assert count_matched([(0, 0), (0, 4)], blocks, "all") == len(draws) == 3 * 2 - 1
    assert all(first[1] < 3 <= second[1] for first, second in draws)
    assert matched_draws([(1, 0)], blocks, 99, "s", "disjoint") == []
