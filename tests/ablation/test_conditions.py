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
    Condition,
    count_matched,
    heads_between,
    matched_draws,
    ranked_heads,
)

QUARTERS = (set(range(24, 32)), set(range(8)))


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
    assert {layer for layer, _ in heads_between(0.75, 1, n_layers, 2)} == late
    assert {layer for layer, _ in heads_between(0, 0.25, n_layers, 2)} == early
    assert len(heads_between(0, 1, n_layers, 3)) == 3 * n_layers


def test_conditions_name_their_components_in_the_order_of_layers() -> None:
    mixed = Condition(((0, 3), (2, 1)), mlps=(0, 2))
    assert mixed.components == "L0H3;L0M;L2H1;L2M"
    assert (mixed.kind, mixed.size) == ("mixed", 4)
    assert Condition(mlps=(5,)).kind == "mlp"
    assert (Condition().kind, Condition().components) == ("none", "")


@pytest.mark.parametrize(("chosen", "expected"), [([(0, 0)], 7), ([(0, h) for h in range(5)], 0)])
def test_how_many_sets_there_are(chosen, expected: int) -> None:
    assert count_matched(chosen, HEADS) == expected
    assert len(matched_draws(chosen, HEADS, 199, "s")) == expected
