"""How often do the tests of heads reject where there is nothing? The level under many nulls.

    PYTHONPATH=scripts python benchmarks/test_levels.py [--write]

Simulates models of 6 layers × 8 heads (4 key-value groups a layer) and writes the share of p-values
of at most .05 to benchmarks/test_levels.json; with `--write` also into docs/statistics.md. Two
tables:

1. `sets`: a set of heads is chosen at random, by pattern ("1+2": one head of one layer and two of
   another), and compared with random sets: disjoint ones, as an earlier version did, and all.
2. `scores`: a score is drawn, and its permutation test made, the set test of its top four heads,
   and the comparison with the output norm.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lengthlens.files.marks import markdown_table, put_between
from lengthlens.statistics import (
    Bootstrap,
    agreement_interval,
    permutation_p,
    rank_components,
    within_layer_test,
)
from lengthlens.statistics.blocks import even_blocks
from lengthlens.statistics.permutation import FEWEST_DRAWS, FEWEST_ENUMERATED

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks/test_levels.json", ROOT / "docs/statistics.md"
LAYERS, HEADS, GROUPS = 6, 8, 4
BLOCKS = even_blocks(LAYERS, HEADS, GROUPS)
CONTROLS, PERMUTATIONS = 199, 199
TOPICS, PER_TOPIC, RESAMPLES = 20, 2, 300
LEVEL = 0.05
PATTERNS = ("1+1+1", "1+2", "2+1+4", "1+1+1+1", "2+1+1", "2+2", "3+1", "4")


# --- effects of the heads of some layers, by null ------------------------------------------------


def _normal(rng, layers: int):
    return rng.standard_normal((layers, HEADS))


def _dominant(rng, layers: int):
    effects = 0.1 * rng.standard_normal((layers, HEADS))
    effects[rng.integers(layers), rng.integers(HEADS)] = 10.0
    return effects


def _few_strong(rng, layers: int):
    return rng.standard_normal((layers, HEADS)) + 5.0 * (rng.random((layers, HEADS)) < 0.2)


EFFECTS: dict[str, Callable] = {
    "heads differ": _normal,
    "one dominant head": _dominant,
    "few strong heads": _few_strong,
}


# --- sets ----------------------------------------------------------------------------------------


def random_sets(rng, counts: list[int], free: list[np.ndarray], size: int) -> np.ndarray:
    """Random layer-matched sets as a mask [set, layer, head], `free` heads of each layer."""
    masks = np.zeros((size, len(counts), HEADS), dtype=bool)
    for layer, (count, heads) in enumerate(zip(counts, free, strict=True)):
        order = rng.random((size, len(heads))).argsort(axis=1)[:, :count]
        np.put_along_axis(masks[:, layer], heads[order], True, axis=1)
    return masks


def all_sets(counts: list[int], free: list[np.ndarray]) -> np.ndarray:
    """Every layer-matched set as a mask."""
    choices = [list(itertools.combinations(h, c)) for c, h in zip(counts, free, strict=True)]
    every = list(itertools.product(*choices))
    masks = np.zeros((len(every), len(counts), HEADS), dtype=bool)
    for row, parts in enumerate(every):
        for layer, heads in enumerate(parts):
            masks[row, layer, list(heads)] = True
    return masks


def set_p(rng, effects: np.ndarray, chosen: np.ndarray, pool: str, together=None) -> float:
    """p-value of a chosen set [layer, head]; `together`: what the heads of a set do jointly."""
    together = together or added_up
    used = chosen.any(axis=1)
    effects, chosen = effects[used], chosen[used]
    counts = chosen.sum(axis=1).tolist()
    free = [np.flatnonzero(~row if pool == "disjoint" else row | True) for row in chosen]
    if any(len(heads) < count for heads, count in zip(free, counts, strict=True)):
        return np.nan
    possible = math.prod(math.comb(len(h), c) for c, h in zip(counts, free, strict=True))
    if possible <= CONTROLS + (pool == "all"):
        masks = all_sets(counts, free)
        masks = masks[(masks != chosen).any(axis=(1, 2))]
        fewest = FEWEST_DRAWS if pool == "disjoint" else FEWEST_ENUMERATED
    else:
        masks, fewest = random_sets(rng, counts, free, 3 * CONTROLS), FEWEST_DRAWS
        codes = masks.reshape(len(masks), -1) @ 2.0 ** np.arange(chosen.size)  # one a distinct set
        _, first = np.unique(codes, return_index=True)
        masks = masks[np.sort(first)]
        masks = masks[(masks != chosen).any(axis=(1, 2))][:CONTROLS]
    draws = together(masks, effects)
    return float(permutation_p(together(chosen[None], effects)[0], draws, "greater", fewest))


def added_up(masks: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """What sets do where effects add up."""
    return masks.reshape(len(masks), -1) @ effects.ravel()


def strongest(masks: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """What sets do where each does what its strongest head does."""
    return np.where(masks, effects, -np.inf).max(axis=(1, 2))


def set_level(effects: str, pattern: str, pool: str, rounds: int, seed: int = 0) -> float:
    """P(p <= .05) of random sets of a pattern; NaN where no p-value can be given."""
    rng = np.random.default_rng([seed, list(EFFECTS).index(effects), PATTERNS.index(pattern)])
    counts = [int(part) for part in pattern.split("+")]
    found = []
    for _ in range(rounds):
        values = EFFECTS[effects](rng, len(counts))
        chosen = random_sets(rng, counts, [np.arange(HEADS)] * len(counts), 1)[0]
        found.append(set_p(rng, values, chosen, pool))
    known = np.isfinite(found)
    return float(np.mean(np.asarray(found)[known] <= LEVEL)) if known.any() else np.nan


# --- scores: (score, effect, norm) of every head -----------------------------------------------


def _shape(rng):
    return rng.standard_normal((LAYERS, HEADS))


def _by_group(rng):
    """What partners of a key-value group share, with a little of their own."""
    shared = np.repeat(rng.standard_normal((LAYERS, GROUPS)), HEADS // GROUPS, axis=1)
    return shared + 0.3 * _shape(rng)


def _size(rng):
    return np.exp(0.7 * _shape(rng))


def _alike(rng):
    """Heads of a layer share most of their effect."""
    return rng.standard_normal((LAYERS, 1)) + 0.2 * _shape(rng)


def _magnitude(rng, seen: float):
    """Score and effect grow with a size, of which the norm sees a part."""
    size = _size(rng)
    score, effect = (size * np.exp(0.3 * _shape(rng)) for _ in range(2))
    return score, effect, size**seen * np.exp(0.7 * (1 - seen) * _shape(rng))


def _knows(rng):
    effect = _shape(rng)
    return effect + 1.2 * _shape(rng), effect, _size(rng)


SCORES: dict[str, Callable] = {
    "heads differ": lambda rng: (_shape(rng), _normal(rng, LAYERS), _size(rng)),
    "one dominant head": lambda rng: (_shape(rng), _dominant(rng, LAYERS), _size(rng)),
    "few strong heads": lambda rng: (_shape(rng), _few_strong(rng, LAYERS), _size(rng)),
    "heads of a layer act alike": lambda rng: (_alike(rng), _alike(rng), _size(rng)),
    "a set does what its strongest head does": lambda rng: (_shape(rng), _shape(rng), _size(rng)),
    "key-value partners act alike": lambda rng: (_by_group(rng), _by_group(rng), _size(rng)),
    "score and effect share a magnitude": lambda rng: _magnitude(rng, 1.0),
    "they share one that the norm half sees": lambda rng: _magnitude(rng, 0.5),
    "*the score knows the effect*": _knows,
}


def measured(rng, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples about topics with a standard error of about a tenth of the spread of the heads."""
    topics = np.repeat(np.arange(TOPICS), PER_TOPIC)
    noise = 0.4 * truth.std() * rng.standard_normal((len(topics), truth.size))
    return truth.ravel() + noise, topics


def exceeds_norm(rng, score, effect, norm) -> bool:
    """Whether the interval of the difference of the correlations lies above 0."""
    layers = np.repeat(np.arange(LAYERS), HEADS)
    made = [
        rank_components(
            *measured(rng, values), Bootstrap(resamples=RESAMPLES, seed=side), groups=layers
        )
        for values, side in ((score, 0), (effect, 1), (norm, 0))
    ]
    return bool(float(agreement_interval(*made).low) > 0)


def score_levels(null: str, rounds: int, intervals: int, seed: int = 0) -> dict[str, float]:
    """Rates of rejection of a null: by permutation, of the top four as a set, beyond the norm."""
    rng = np.random.default_rng([seed, 100 + list(SCORES).index(null)])
    together = strongest if null.startswith("a set does") else added_up
    p_values, beyond = [], []
    for round_ in range(rounds):
        score, effect, norm = SCORES[null](rng)
        test = within_layer_test(
            score, effect, BLOCKS, permutations=PERMUTATIONS, seed=int(rng.integers(2**32))
        )
        top = np.zeros(score.size, dtype=bool)
        top[np.argsort(score.ravel())[-4:]] = True
        p_values.append((test.p, set_p(rng, effect, top.reshape(score.shape), "all", together)))
        if round_ < intervals:
            beyond.append((test.p <= LEVEL, exceeds_norm(rng, score, effect, norm)))
    p, both = np.array(p_values), np.array(beyond)
    return {
        "permutation": float(np.mean(p[:, 0] <= LEVEL)),
        "set": float(np.mean(p[np.isfinite(p[:, 1]), 1] <= LEVEL)),
        "over_norm": float(both[:, 1].mean()),
        "both": float(both.all(axis=1).mean()),
    }


# --- results and tables ------------------------------------------------------------------------


def simulate(rounds: int, intervals: int) -> dict:
    """All cells of both tables."""
    sets = {
        pattern: {
            pool: {name: set_level(name, pattern, pool, rounds) for name in EFFECTS}
            for pool in ("disjoint", "all")
        }
        for pattern in PATTERNS
    }
    scores = {null: score_levels(null, rounds, intervals) for null in SCORES}
    return {"rounds": rounds, "intervals": intervals, "sets": sets, "scores": scores}


def _cell(rate: float) -> str:
    return "–" if rate is None or math.isnan(rate) else f"{rate:.3f}".lstrip("0")


def set_table(found: dict) -> str:
    """Random sets, by pattern of layers."""
    columns = [(pool, name) for pool in ("disjoint", "all") for name in EFFECTS]
    rows = [
        (pattern, *(_cell(pools[pool][name]) for pool, name in columns))
        for pattern, pools in found["sets"].items()
    ]
    return markdown_table(["heads by layer", *(f"{pool}: {name}" for pool, name in columns)], rows)


def score_table(found: dict) -> str:
    """Scores, by what is true of them."""
    rows = [(null, *map(_cell, rates.values())) for null, rates in found["scores"].items()]
    head = ["what is true", "permutation", "set of top 4", "exceeds norm", "permutation and norm"]
    return markdown_table(head, rows)


def with_tables(page: str, found: dict) -> str:
    """The page with both tables between their comments replaced."""
    for table in (set_table, score_table):
        page = put_between(page, table.__name__, table(found))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=2000, help="simulations of a cell")
    parser.add_argument("--intervals", type=int, default=400, help="of these, with intervals")
    parser.add_argument("--write", action="store_true", help="write docs/statistics.md, too")
    given = parser.parse_args()
    found = simulate(given.rounds, given.intervals)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{set_table(found)}\n\n{score_table(found)}")
    if given.write:
        PAGE.write_text(with_tables(PAGE.read_text("utf-8"), found), encoding="utf-8")


if __name__ == "__main__":
    main()
