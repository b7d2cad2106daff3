"""What the paper's run of Llama 3.1 8B should take on one 80 GB GPU: arithmetic, not a measurement.

    PYTHONPATH=scripts python benchmarks/projection.py [--write]

Prints the tables of docs/cluster.md, or writes them there. Every figure that goes into them is
named here, with where it comes from; `benchmarks/full_size.py` measures those that a machine with
such a GPU could.
"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lengthlens.files.marks import markdown_table, put_between

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/cluster.md"

# The model: 16.06 GB of bfloat16 weights, of which a step reads all but the embedding table, and
# the keys and values of every position before it.
WEIGHTS_GB, EMBEDDING_GB = 16.06, 1.05
POSITION_GB = 131_072 / 1e9
TOKEN_GB = 532_480 / 1e9  # recorded for a generated token
PARAMETERS = 8.03e9

# The paper's prompts, and answers as long as its summaries report, in Llama 3's tokens
# (1.14 a word in English and 1.82 in Italian): mean tokens an answer, mean positions of a prompt.
LANGUAGES = ("en", "it")
PROMPTS = 700  # of each language
ANSWER = {"base": {"en": 47.4, "it": 61.4}, "instruct": {"en": 7.7, "it": 11.7}}
PROMPT = {"base": {"en": 14.5, "it": 19.4}, "instruct": {"en": 23.5, "it": 28.5}}
SHARD = 100  # prompts of one N, a batch; a job answers all shards of a model and language
# A batch goes on until its last answer ends. Base answers are assumed to reach the cut now and
# then, hence in every batch.
CUT = 256
LONGEST = {"base": CUT, "instruct": 40}
ROWS = 256

# The causal stage: 100 conditions that are answered, for every model and language. Base models
# answer `ablation.base_prompts`.
CONDITIONS = 100
EVALUATE = 350
ABLATED_PROMPTS = {"base": 14, "instruct": EVALUATE}
# Ablated answers are cut here (`ablation.max_new_tokens`); every batch is taken to run to it. Nine
# words take about 17 tokens, so that only overshoot is cut.
ABLATED_CUT = 40

# What config/llama31-8b.yaml asks for beyond that: every single component removed from some answers
# (its conditions are planned by the study's own code, `planned_sets`).
LAYERS, HEADS = 32, 32
SINGLES, SINGLE_ANSWERS = LAYERS * (HEADS + 1), 42
TO_DECISION, BOUNDARIES = 10, 7  # tokens up to the decision step, and boundary steps among them
LOGITS_AT_ONCE = 2**26  # in a scored pass (scripts/lengthlens/generation/score.py)
VOCABULARY = 128_256

# Assumptions that only a measurement can replace.
START_SECONDS = 25  # Snakemake, imports, CUDA, tokenizer's vocabulary; weights in the page cache
LAUNCH_SECONDS = 0.035  # of one step: Python and kernel launches, which hide the reading below it
BANDWIDTH_SHARE = 0.6  # of the memory bandwidth that matrix products reach
COMPUTE_SHARE = 0.4  # of the peak arithmetic in prefill
DUMP_GB_A_SECOND = 0.4  # written in the job, between batches (docs: 0.2 to 0.3 s per 100 MB)
# What the variants assume instead.
SLOW_START_SECONDS, SLOW_LAUNCH_SECONDS = 90, 0.060


class Card(NamedTuple):
    """A GPU by its makers' figures."""

    name: str
    bandwidth: float  # GB/s
    arithmetic: float  # TFLOP/s, bfloat16, dense


CARDS = (Card("H100 SXM 80 GB", 3350, 989), Card("A100 SXM 80 GB", 2039, 312))


class Sets(NamedTuple):
    """Distinct conditions of a model in a language."""

    answered: int
    scored: int  # these get the end margin


def starts(stages: int) -> int:
    """Jobs that load a model: its proof, and each stage in each language."""
    return len(ANSWER) * (1 + stages * len(LANGUAGES))


@functools.cache
def llama_study():
    """config/llama31-8b.yaml over the defaults."""
    import yaml

    from lengthlens.configuration.study import Study

    def read(name: str) -> dict:
        return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))

    given = read("config/llama31-8b.yaml")
    merged = read("config.yaml")
    for key, value in given.items():
        section = isinstance(value, dict) and key != "models"
        merged[key] = merged[key] | value if section else value
    return Study.from_config(merged, given, ROOT)


@functools.cache
def planned_sets(variant: str) -> Sets:
    """Conditions of config/llama31-8b.yaml, planned on heads that are ranked at random.

    How many there are hardly depends on the ranking; the language with the most counts.
    """
    import numpy as np
    import pandas as pd

    from lengthlens.ablation.hypotheses import read_hypotheses
    from lengthlens.ablation.sweep import plan_sweep
    from lengthlens.models.layout import Layout
    from lengthlens.settings.sections import AblationPlan

    study = llama_study()
    section = study.slice("ablation")["ablation"]
    most = section["base_controls"] if variant == "base" else math.inf
    controls = {
        name: min(section[name], most)
        for name in ("controls", "answered_controls", "further_controls")
    }
    values = section | controls | {"modes": study.ablation_modes}
    plan = AblationPlan(**{key: values[key] for key in AblationPlan.model_fields})

    def ranking(seed: int) -> pd.DataFrame:
        chance = np.random.default_rng(seed)
        rows = [
            (method, "head", place // HEADS, place % HEADS, rank + 1)
            for method in plan.methods
            for place, rank in enumerate(chance.permutation(LAYERS * HEADS))
        ]
        return pd.DataFrame(rows, columns=["method", "kind", "layer", "head", "rank"])

    rankings = {language: ranking(seed) for seed, language in enumerate(study.languages)}
    tests = read_hypotheses(ROOT / "resources/claims.yaml")
    tuning = "tuned" if variant == "instruct" else "untuned"
    found = []
    for language in study.languages:
        mine = [
            test
            for test in tests
            if (test.tuning, test.language) == (tuning, language) and not test.models
        ]
        conditions = plan_sweep(rankings, Layout.even(LAYERS, HEADS), plan, language, mine)
        answered = {(c.heads, c.mlps, c.mode) for c in conditions if c.answered}
        scored = {(c.heads, c.mlps, c.mode) for c in conditions}
        found.append(Sets(len(answered), len(scored)))
    return max(found)


def step_seconds(card: Card, rows: float, positions: float) -> float:
    """One decoding step of a batch."""
    read = WEIGHTS_GB - EMBEDDING_GB + rows * positions * POSITION_GB
    computed = 2 * PARAMETERS * rows / (card.arithmetic * 1e12 * COMPUTE_SHARE)
    return max(LAUNCH_SECONDS, read / (card.bandwidth * BANDWIDTH_SHARE), computed)


def answer_seconds(
    card: Card,
    variant: str,
    answers: float,
    rows: float,
    longest: int | None = None,
    prompts: float | None = None,
) -> float:
    """So many answers in each language, in batches of `rows`; half of them are there on average.

    `prompts`: how many are computed, where answers to the same one share a batch.
    """
    longest, seconds = longest or LONGEST[variant], 0.0
    for prompt in PROMPT[variant].values():
        operations = 2 * PARAMETERS * prompt * (prompts or answers)
        prefill = operations / (card.arithmetic * 1e12 * COMPUTE_SHARE)
        steps = math.ceil(answers / rows) * longest
        seconds += prefill + steps * step_seconds(card, rows / 2, prompt + longest / 2)
    return seconds


def dump_gb(variant: str, cut: int | None = None) -> float:
    """GB of a model's activations: at the reported lengths, or with every answer cut."""
    tokens = sum(PROMPTS * (cut or ANSWER[variant][language]) for language in LANGUAGES)
    return tokens * TOKEN_GB


def ablation_seconds(
    card: Card, variant: str, conditions: int, prompts: int, longest: int = ABLATED_CUT
) -> float:
    """So many conditions in each language; a prompt that two batches share is computed twice."""
    answers = conditions * prompts
    return answer_seconds(
        card, variant, answers, ROWS, longest, prompts + math.ceil(answers / ROWS)
    )


def pass_seconds(card: Card, passes: float, tokens: float) -> float:
    """Passes over so many given tokens each."""
    computed = 2 * PARAMETERS * tokens / (card.arithmetic * 1e12 * COMPUTE_SHARE)
    return passes * max(LAUNCH_SECONDS, computed)


def study(card: Card) -> dict[str, float]:
    """Seconds of the paper's run with its dump and 100 conditions, one job at a time."""
    found = {f"start {starts(2)} jobs, load": starts(2) * START_SECONDS}
    for variant in ANSWER:
        found[f"{variant}: generate and attribute"] = answer_seconds(card, variant, PROMPTS, SHARD)
        found[f"{variant}: write the dump"] = dump_gb(variant) / DUMP_GB_A_SECOND
    for variant, prompts in ABLATED_PROMPTS.items():
        name = f"{variant}: {CONDITIONS} conditions, {prompts} prompts a language"
        found[name] = ablation_seconds(card, variant, CONDITIONS, prompts)
    return found


def configured(card: Card) -> dict[str, float]:
    """Seconds of the jobs of config/llama31-8b.yaml that need the GPU; it writes no dump."""
    found = {f"start {starts(4)} jobs, load": starts(4) * START_SECONDS}
    in_pass = LOGITS_AT_ONCE // (BOUNDARIES * VOCABULARY)
    for variant, prompts in ABLATED_PROMPTS.items():
        sets = planned_sets(variant)
        found[f"{variant}: generate and attribute"] = answer_seconds(card, variant, PROMPTS, SHARD)
        # N swapped, twice two readings, and the other variant's text; then single components.
        forced = answer_seconds(card, variant, 4 * PROMPTS, 160, TO_DECISION * 2)
        forced += answer_seconds(card, variant, PROMPTS, 160, CUT)
        passes = 2 * SINGLE_ANSWERS * math.ceil((SINGLES + 1) / in_pass)
        forced += pass_seconds(card, passes, in_pass * (TO_DECISION + 1))
        found[f"{variant}: force answers"] = forced
        ablated = ablation_seconds(card, variant, sets.answered, prompts)
        passes = 2 * prompts * math.ceil(sets.scored / ROWS)
        ablated += pass_seconds(card, passes, ROWS * (TO_DECISION + 1))
        name = f"{variant}: {sets.answered} conditions answered, {sets.scored} scored"
        found[name] = ablated
        # Every prompt again, one word a token, and 12 of each further N.
        found[f"{variant}: probes"] = answer_seconds(card, variant, PROMPTS + 72, ROWS)
    return found


def variants(card: Card) -> dict[str, float]:
    """Seconds of the study with one thing changed."""
    stages = study(card)
    plain = sum(stages.values())
    ablated = {
        variant: stages[f"{variant}: {CONDITIONS} conditions, {prompts} prompts a language"]
        for variant, prompts in ABLATED_PROMPTS.items()
    }

    def uncut(prompts: dict[str, int]) -> float:
        found = plain - sum(ablated.values())
        return found + sum(
            ablation_seconds(card, v, CONDITIONS, n, CUT) for v, n in prompts.items()
        )

    steps = plain + _all_steps() * (SLOW_LAUNCH_SECONDS - LAUNCH_SECONDS)
    all_prompts = plain - ablated["base"] + ablation_seconds(card, "base", CONDITIONS, EVALUATE)
    return {
        "as above": plain,
        f"steps that take {SLOW_LAUNCH_SECONDS * 1e3:.0f} ms instead of 35": steps,
        f"starts that take {SLOW_START_SECONDS} s instead of {START_SECONDS}": plain
        + starts(2) * (SLOW_START_SECONDS - START_SECONDS),
        f"the base model's conditions on all {EVALUATE} prompts": all_prompts,
        f"ablated answers cut at {CUT} tokens, as others are": uncut(ABLATED_PROMPTS),
        "config/llama31-8b.yaml, all of it, without a dump": sum(configured(card).values()),
    }


def _all_steps() -> int:
    """Decoding steps of the study, all of them bound by launches."""
    steps = 0
    for variant, prompts in ABLATED_PROMPTS.items():
        steps += math.ceil(PROMPTS / SHARD) * LONGEST[variant]
        steps += math.ceil(CONDITIONS * prompts / ROWS) * ABLATED_CUT
    return len(LANGUAGES) * steps


def minutes(by_card: list[dict[str, float]], name: str, digits: int, together: bool = False) -> str:
    """Seconds by name for each card, as a table of minutes; perhaps with what they add up to."""
    rows = [[row, *(f"{found[row] / 60:.{digits}f}" for found in by_card)] for row in by_card[0]]
    if together:
        sums = [f"**{sum(found.values()) / 60:.0f}**" for found in by_card]
        rows.append(["**together**", *sums])
    return markdown_table([name, *(card.name for card in CARDS)], rows)


def dump_table() -> str:
    """GB of activations by model."""
    sizes = {name: [dump_gb(name, cut) for cut in (None, CUT)] for name in ANSWER}
    sizes["both"] = [sum(column) for column in zip(*sizes.values(), strict=True)]
    rows = [(name, *(f"{size:.0f} GB" for size in row)) for name, row in sizes.items()]
    return markdown_table(["model", "at the reported lengths", "every answer cut at 256"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "stage_table": lambda: minutes([study(card) for card in CARDS], "stage", 1, True),
    "variant_table": lambda: minutes([variants(card) for card in CARDS], "variant", 0),
    "configured_table": lambda: minutes([configured(card) for card in CARDS], "stage", 1, True),
    "dump_table": dump_table,
}


def with_tables(page: str) -> str:
    """The page with every table between its comments replaced."""
    for name, table in TABLES.items():
        page = put_between(page, name, table())
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the tables to docs/cluster.md")
    if parser.parse_args().write:
        PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n\n".join(table() for table in TABLES.values()))


if __name__ == "__main__":
    main()
