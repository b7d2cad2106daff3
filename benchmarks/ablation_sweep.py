"""What a sweep of many ablation conditions costs beside plain generation.

    PYTHONPATH=scripts python benchmarks/ablation_sweep.py [--conditions 100] [--prompts 12]

pocket-instruct answers the same prompts (English, N = 3 ... 9) in two ways, in turn, on one thread:

- `generation`: greedily, nothing removed, one batch;
- `sweep`: under all conditions, in the batches that the workflow takes: nothing removed, and random
  sets of four heads.

Printed for each: CPU and wall seconds (median of the runs), and their ratio to as many generations
as there are conditions: for an answer and for a produced token, for ablated answers can be longer.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from direct_and_total import SETTINGS
from workload import english, timed

from lengthlens.ablation.condition_sets import ConditionSets
from lengthlens.ablation.conditions import Condition
from lengthlens.generation.answers import rows_per_batch
from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.weights.checkpoints import ModelSpec

LIMIT = 64  # tokens of an answer at most


def random_conditions(loaded: LoadedModel, count: int) -> list[Condition]:
    """`none`, and random sets of four heads."""
    a = loaded.anatomy
    places = [(layer, head) for layer in range(a.n_layers) for head in range(a.n_heads)]
    rng = np.random.default_rng(0)
    chosen = [rng.choice(len(places), 4, replace=False) for _ in range(count - 1)]
    sets = [tuple(sorted(places[i] for i in picks)) for picks in chosen]
    return [Condition(), *(Condition(heads, "zero", method="random") for heads in sets)]


def generation(loaded: LoadedModel, prompts: list[list[int]]) -> int:
    """Answer all prompts once; the tokens produced."""
    decoded = loaded.decode(prompts, LIMIT)
    return sum(map(len, decoded.tokens))


def sweep(loaded: LoadedModel, prompts: list[list[int]], sets: ConditionSets) -> int:
    """Answer all prompts under all conditions; the tokens produced."""
    size = rows_per_batch(loaded, max(map(len, prompts)), SETTINGS, capture=False)
    pairs = [(row, place) for place in range(len(prompts)) for row in range(len(sets))]
    produced = 0
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        decoded = loaded.decode(
            [prompts[place] for _, place in part],
            LIMIT,
            intervention=sets.rows([row for row, _ in part]),
        )
        produced += sum(map(len, decoded.tokens))
    return produced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--conditions", type=int, default=100)
    parser.add_argument("--prompts", type=int, default=12, help="prompts for each N")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(ModelSpec("instruct", "instruct", path="resources/pocket/instruct"), device="cpu")
    asked = english(arguments.prompts)
    prompts = [loaded.encode(prompt.text, SETTINGS.date) for prompt in asked]
    conditions = random_conditions(loaded, arguments.conditions)
    sets = ConditionSets(conditions, loaded.anatomy, loaded.device, None)
    generation(loaded, prompts)  # the first call pays for the libraries' own preparations
    plain, swept = [], []
    for _ in range(arguments.runs):
        plain.append(timed(generation, loaded, prompts))
        swept.append(timed(sweep, loaded, prompts, sets))
    count = len(sets)
    print(f"{len(prompts)} prompts, {count} conditions, {arguments.runs} runs in turn")
    print(f"{'':12}{'CPU s':>8}{'wall s':>8}{'tokens':>9}{'× an answer':>13}{'× a token':>11}")
    base = np.median(plain, axis=0)
    for name, runs, times in (("generation", plain, 1), ("sweep", swept, count)):
        cpu, wall, tokens = np.median(runs, axis=0)
        answer, token = cpu / (times * base[0]), (cpu / tokens) / (base[0] / base[2])
        print(f"{name:12}{cpu:8.2f}{wall:8.2f}{tokens:9.0f}{answer:13.2f}{token:11.2f}")


if __name__ == "__main__":
    main()
