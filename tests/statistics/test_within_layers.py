"""The within-layer permutation test: its p-value by enumeration, its groups, its level."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import rankdata

from lengthlens.errors import LengthlensError
from lengthlens.statistics import PermutationTest
from lengthlens.statistics import within_layer_test as permuted
from lengthlens.statistics.blocks import Block, even_blocks
from lengthlens.statistics.within_layers import whole_groups


def within_layer_test(score, effect, n_groups: int, **options) -> PermutationTest:
    """The test of layers that all have the same heads."""
    return permuted(score, effect, even_blocks(*np.shape(score), n_groups), **options)


def statistic(score, effect) -> float:
    """Sum over layers of products of centred ranks, written out."""
    total = 0.0
    for one, other in zip(score, effect, strict=True):
        a, b = rankdata(one), rankdata(other)
        total += float(((a - a.mean()) * (b - b.mean())).sum())
    return total


def arrangements(layer, n_groups: int):
    """Every order of a layer's heads that permutations of groups, and within groups, give."""
    groups = np.asarray(layer).reshape(n_groups, -1)
    for order in itertools.permutations(range(n_groups)):
        inner = [list(itertools.permutations(groups[place])) for place in order]
        for parts in itertools.product(*inner):
            yield np.concatenate(parts)


@pytest.mark.parametrize("n_groups", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_p_is_the_share_of_arrangements_at_least_as_extreme(n_groups: int, seed: int) -> None:
    """Two layers of four heads: 24^2, 8^2 and 24^2 arrangements; p within Monte-Carlo error."""
    rng = np.random.default_rng(seed)
    score, effect = rng.standard_normal((2, 2, 4))
    if seed == 3:
        effect = effect.round()  # ties
    both = itertools.product(*(arrangements(row, n_groups) for row in effect))
    every = np.array([statistic(score, rows) for rows in both])
    found = within_layer_test(score, effect, n_groups, seed=seed)
    exact = np.mean(every >= statistic(score, effect) - 1e-9)
    assert found.statistic == pytest.approx(statistic(score, effect), abs=1e-12)
    assert found.arrangements == len(every) == {1: 576, 2: 64, 4: 576}[n_groups]
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 9999) + 2e-4)


def test_the_same_order_in_every_layer_is_the_most_extreme() -> None:
    score = np.tile(np.arange(8.0), (6, 1))
    found = within_layer_test(score, score**3, 4)
    assert found.p == pytest.approx(1e-4) and found.n_heads == 48
    assert within_layer_test(score, -score, 4).p == pytest.approx(1.0)
    # orders that differ by a layer's level alone are the same
    shifted = score + 100 * np.arange(6)[:, None]
    assert within_layer_test(shifted, score, 4).p == found.p


def test_heads_that_share_keys_move_together() -> None:
    """Score and effect independent, but alike for partners: the level holds by groups alone.

    200 rounds: standard error .015. With each head taken by itself it is .17.
    """
    rng = np.random.default_rng(0)
    rejected = {2: 0, 8: 0}
    for _ in range(200):
        score, effect = (
            np.repeat(rng.standard_normal((3, 2)), 4, axis=1) + 0.1 * rng.standard_normal((3, 8))
            for _ in range(2)
        )
        for n_groups in rejected:
            found = within_layer_test(score, effect, n_groups, permutations=199)
            rejected[n_groups] += found.p <= 0.05
    assert rejected[2] / 200 <= 0.05 + 3 * 0.0155
    assert rejected[8] / 200 > 0.12


def test_groups_that_are_not_wholly_known_are_left_out() -> None:
    rng = np.random.default_rng(1)
    score, effect = rng.standard_normal((2, 3, 8))
    effect[1, 2:] = np.nan  # one group of two stays
    effect[2, 3] = np.nan  # its partner goes with it
    found = within_layer_test(score, effect, 4)
    assert found.n_heads == 8 + 2 + 6
    whole = np.isfinite(effect)
    whole[2, 2] = False
    np.testing.assert_array_equal(whole_groups(np.isfinite(effect), even_blocks(3, 8, 4)), whole)
    kept = np.where(whole, effect, np.nan)
    assert within_layer_test(score, kept, 4) == found


def test_too_few_arrangements_have_no_p_value() -> None:
    """One layer of three heads has 6 arrangements: no p below 1/6."""
    found = within_layer_test(np.arange(3.0)[None], np.arange(3.0)[None], 3)
    assert found.arrangements == 6 and np.isnan(found.p)
    assert np.isfinite(within_layer_test(np.arange(4.0)[None], np.arange(4.0)[None], 4).p)


def test_what_cannot_be_tested_is_refused() -> None:
    with pytest.raises(LengthlensError, match=r"shapes \(2, 4\) and \(2, 3\)"):
        within_layer_test(np.zeros((2, 4)), np.zeros((2, 3)), 2)
    with pytest.raises(LengthlensError, match="the 4 heads of a layer are no 3 key-value groups"):
        within_layer_test(np.zeros((2, 4)), np.zeros((2, 4)), 3)


def test_p_values_depend_on_the_seed_alone() -> None:
    rng = np.random.default_rng(2)
    score, effect = rng.standard_normal((2, 4, 8))
    first = within_layer_test(score, effect, 4, seed=5)
    assert within_layer_test(score, effect, 4, seed=5) == first
    assert within_layer_test(score, effect, 4, seed=6).p == pytest.approx(first.p, abs=0.03)


def test_heads_of_other_kinds_never_change_places() -> None:
    """A layer of two blocks is as two layers; a block of fewer heads has fewer arrangements."""
    rng = np.random.default_rng(3)
    score, effect = rng.standard_normal((2, 2, 6))
    blocks = [Block(0, 0, 4, 2), Block(0, 4, 6), Block(1, 0, 3)]
    found = permuted(score, effect, blocks, seed=1)
    parts = [(row[0, :4], row[0, 4:], row[1, :3]) for row in (score, effect)]
    assert found.statistic == pytest.approx(statistic(*parts))
    assert found.arrangements == 8 * 2 * 6 and found.n_heads == 9
