"""What the paper's run of Llama 3.1 8B should take on one 80 GB GPU: arithmetic, not a measurement.

    python benchmarks/projection.py

Prints the tables of docs/cluster.md. Every figure that goes into them is named here, with where it
comes from; `benchmarks/full_size.py` measures those that a machine with such a GPU could.
"""

from __future__ import annotations

import math
from typing import NamedTuple

# The model: 16.06 GB of bfloat16 weights, of which a step reads all but the embedding table, and
# the keys and values of every position before it.
WEIGHTS_GB, EMBEDDING_GB = 16.06, 1.05
POSITION_GB = 131_072 / 1e9
TOKEN_GB = 532_480 / 1e9  # recorded for a generated token
PARAMETERS = 8.03e9

# The paper's prompts, and answers as long as its summaries report, in Llama 3's tokens
# (1.14 a word in English and 1.82 in Italian): mean tokens an answer, mean positions of a prompt.
PROMPTS = 700  # of each language
ANSWER = {"base": {"en": 47.4, "it": 61.4}, "instruct": {"en": 7.7, "it": 11.7}}
PROMPT = {"base": {"en": 14.5, "it": 19.4}, "instruct": {"en": 23.5, "it": 28.5}}
JOBS_A_PAIR = 7  # a model and language: one job for each N, 100 prompts
# A batch goes on until its last answer ends. Base answers are assumed to reach the cut now and
# then, hence in every batch.
LONGEST = {"base": 256, "instruct": 40}
ABLATION_ROWS = 256
CONDITIONS = 100

# Assumptions that only a measurement can replace.
START_SECONDS = 25  # Snakemake, imports, CUDA, tokenizer's vocabulary; weights in the page cache
LAUNCH_SECONDS = 0.035  # of one step: Python and kernel launches, which hide the reading below it
BANDWIDTH_SHARE = 0.6  # of the memory bandwidth that matrix products reach
COMPUTE_SHARE = 0.4  # of the peak arithmetic in prefill
DUMP_GB_A_SECOND = 0.4  # written in the job, between batches (docs: 0.2 to 0.3 s per 100 MB)


class Card(NamedTuple):
    """A GPU by its makers' figures."""

    name: str
    bandwidth: float  # GB/s
    arithmetic: float  # TFLOP/s, bfloat16, dense


CARDS = (Card("H100 SXM 80 GB", 3350, 989), Card("A100 SXM 80 GB", 2039, 312))


def step_seconds(card: Card, rows: float, positions: float) -> float:
    """One decoding step of a batch."""
    read = WEIGHTS_GB - EMBEDDING_GB + rows * positions * POSITION_GB
    computed = 2 * PARAMETERS * rows / (card.arithmetic * 1e12 * COMPUTE_SHARE)
    return max(LAUNCH_SECONDS, read / (card.bandwidth * BANDWIDTH_SHARE), computed)


def decode_seconds(card: Card, variant: str, language: str, answers: float, rows: float) -> float:
    """All batches of `rows` answers; half of a batch's rows are taken to be there on average."""
    prompt = PROMPT[variant][language]
    prefill = answers * prompt * 2 * PARAMETERS / (card.arithmetic * 1e12 * COMPUTE_SHARE)
    positions = prompt + LONGEST[variant] / 2
    steps = math.ceil(answers / rows) * LONGEST[variant]
    return prefill + steps * step_seconds(card, rows / 2, positions)


def dump_gb(variant: str, cut: int | None = None) -> float:
    """GB of a model's activations: at the reported lengths, or with every answer cut."""
    tokens = sum(PROMPTS * (cut or ANSWER[variant][language]) for language in ("en", "it"))
    return tokens * TOKEN_GB


def stages(card: Card) -> dict[str, float]:
    """Seconds of every stage on one GPU, one job at a time."""
    found = {}
    for variant in ("base", "instruct"):
        starts = 2 * JOBS_A_PAIR * START_SECONDS
        decoding = sum(
            decode_seconds(card, variant, language, PROMPTS, PROMPTS / JOBS_A_PAIR)
            for language in ("en", "it")
        )
        found[f"{variant}: start 14 jobs, load"] = starts
        found[f"{variant}: generate and attribute"] = decoding
        found[f"{variant}: write the dump"] = dump_gb(variant) / DUMP_GB_A_SECOND
        found[f"{variant}: {CONDITIONS} conditions"] = 2 * START_SECONDS + sum(
            decode_seconds(card, variant, language, CONDITIONS * PROMPTS / 2, ABLATION_ROWS)
            for language in ("en", "it")
        )
    return found


def stage_table() -> str:
    """Minutes by stage and card, and what they add up to."""
    by_card = [stages(card) for card in CARDS]
    rows = ["| stage | " + " | ".join(card.name for card in CARDS) + " |", "|---|---|---|"]
    for name in by_card[0]:
        rows.append(
            f"| {name} | " + " | ".join(f"{found[name] / 60:.1f}" for found in by_card) + " |"
        )
    base_causes = f"base: {CONDITIONS} conditions"
    sums = {
        "**all but the base model's conditions**": [
            sum(found.values()) - found[base_causes] for found in by_card
        ],
        "**all**": [sum(found.values()) for found in by_card],
    }
    for name, values in sums.items():
        rows.append(f"| {name} | " + " | ".join(f"**{value / 60:.0f}**" for value in values) + " |")
    return "\n".join(rows)


def dump_table() -> str:
    """GB of activations by model."""
    rows = ["| model | at the reported lengths | every answer cut at 256 |", "|---|---|---|"]
    for variant in ("base", "instruct"):
        rows.append(f"| {variant} | {dump_gb(variant):.0f} GB | {dump_gb(variant, 256):.0f} GB |")
    both = [sum(dump_gb(variant, cut) for variant in ANSWER) for cut in (None, 256)]
    return "\n".join([*rows, f"| both | {both[0]:.0f} GB | {both[1]:.0f} GB |"])


if __name__ == "__main__":
    print(f"{stage_table()}\n\n{dump_table()}")
