"""Sentences about tables/nswap.csv: does the end margin follow the number that was asked for?

All numbers are compared on the same text.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lengthlens.figures.numbers import estimated
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import tuned_models
from lengthlens.reporting.answers import Finding, Tables, answered, counted, shown, who

TOWARDS = {-1: "the next smaller number", 1: "the next larger number"}
LEFT_OUT = {
    "outside": "the study has no such number",
    "length": "the prompts differ in length",
    "tokens": "the prompts differ in more than the number",
    "step": "the answer never has so many words",
}


def say_nswap(table: pd.DataFrame) -> list[str]:
    """One sentence per model, language and swap: over all N, then number by number."""
    sentences = []
    for names, own in table.groupby(["model", "language", "swap"], sort=False):
        model, language, swap = names
        whole = own[own["n"] == "all"].to_dict("records")[0]
        start = f"{model} in {language}, N swapped for {TOWARDS[swap]} on the same text"
        if not whole["n_samples"]:
            sentences.append(f"{start}: no swap is valid ({_left_out(whole)}).")
            continue
        parts = [
            f"{row['n']} → {int(row['n_swapped'])} {_margin(row)} ({row['n_samples']} answers)"
            for row in own[(own["n"] != "all") & (own["n_samples"] > 0)].to_dict("records")
        ]
        left = _left_out(whole)
        sentences.append(
            f"{start}: the end margin differs by {_margin(whole)} logits "
            f"({whole['n_samples']} of {whole['n_answers']} answers"
            f"{f'; excluded: {left}' if left else ''}). By number: {', '.join(parts)}."
        )
    return sentences


def _margin(row: Mapping) -> str:
    return estimated(row, "margin", "logits", True)


def _left_out(row: Mapping) -> str:
    """How many answers were left out, by reason."""
    return ", ".join(f"{row[name]} because {why}" for name, why in LEFT_OUT.items() if row[name])


def follows_n(tables: Tables, cast: Cast) -> Finding | None:
    """On the same text, does the model tend more to end if it was asked for this many words?"""
    table = tables["nswap"]
    rows = table[
        (table["n"] == "all") & (table["swap"] == 1) & table["model"].isin(tuned_models(cast))
    ]
    if rows.empty:
        return None
    evidence, limits = [], []
    for row in rows.to_dict("records"):
        name = who(cast, row["model"], row["language"])
        if not row["n_samples"]:
            evidence.append(f"{name}: no swap is valid ({_left_out(row)})")
            continue
        limits.append((row["margin_low"], row["margin_high"]))
        evidence.append(
            f"{name}: once N words are written, the prompt for N changes the end margin by "
            f"{shown(row, 'margin', 'logits', True)} relative to that for {TOWARDS[1]} "
            f"({row['n_samples']} answers)"
        )
    question = "On the same text, does the end margin follow N?"
    return answered(question, limits, evidence, counted(cast))
