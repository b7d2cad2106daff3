"""The simulated levels: the page shows them, they are what is claimed, and they come out again."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
LEVELS = runpy.run_path(str(ROOT / "benchmarks/test_levels.py"))
FOUND = json.loads((ROOT / "benchmarks/test_levels.json").read_text(encoding="utf-8"))
NOMINAL, ROUNDS = 0.05, 300


def test_the_page_shows_what_was_simulated() -> None:
    """If this fails: `PYTHONPATH=scripts python benchmarks/test_levels.py --write`."""
    page = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")
    assert LEVELS["with_tables"](page, FOUND) == page
    assert set(FOUND["sets"]) == set(LEVELS["PATTERNS"])
    assert set(FOUND["scores"]) == set(LEVELS["SCORES"])


def test_random_sets_hold_the_level_among_all_and_never_among_disjoint_ones() -> None:
    """Every pattern of layers, within three standard errors; disjoint controls always exceed it."""
    spread = 3 * np.sqrt(NOMINAL * (1 - NOMINAL) / FOUND["rounds"])
    for pattern, pools in FOUND["sets"].items():
        assert all(abs(rate - NOMINAL) < spread for rate in pools["all"].values()), pattern
        known = [rate for rate in pools["disjoint"].values() if np.isfinite(rate)]
        assert all(rate > NOMINAL + spread for rate in known), pattern


def test_permutations_hold_the_level_but_for_a_shared_magnitude() -> None:
    """There the comparison with the norm holds it, if the norm measures all of the magnitude."""
    spread = 3 * np.sqrt(NOMINAL * (1 - NOMINAL) / FOUND["rounds"])
    wide = 3 * np.sqrt(NOMINAL * (1 - NOMINAL) / FOUND["intervals"])
    for null, rates in FOUND["scores"].items():
        if "knows" in null or "norm half sees" in null:
            continue
        shared = "share a magnitude" in null
        assert (
            (rates["permutation"] > 0.5)
            if shared
            else (abs(rates["permutation"] - NOMINAL) < spread)
        ), null
        assert rates["both"] < NOMINAL + wide, null
    assert FOUND["scores"]["key-value partners act alike"]["set"] > NOMINAL + spread
    assert FOUND["scores"]["*the score knows the effect*"]["both"] > 0.9


@pytest.mark.parametrize("pool", ["all", "disjoint"])
def test_a_cell_comes_out_again(pool: str) -> None:
    """300 new rounds agree with those of the page within four standard errors."""
    expected = FOUND["sets"]["1+2"][pool]["one dominant head"]
    again = LEVELS["set_level"]("one dominant head", "1+2", pool, ROUNDS, seed=1)
    assert abs(again - expected) < 4 * np.sqrt(expected * (1 - expected) / ROUNDS)
