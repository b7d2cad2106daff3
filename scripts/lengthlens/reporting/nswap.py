"""Sentences about tables/nswap.csv: does the end margin follow the number that was asked for?

All numbers are compared on the same text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from lengthlens.analysis.tables import rows_of
from lengthlens.figures.numbers import estimated
from lengthlens.figures.style import Cast
from lengthlens.reporting.answers import (
    Finding,
    Tables,
    answered,
    counted,
    limits_of,
    listed,
    n_answers,
    shown,
    tuned_cases,
)

TOWARDS = {-1: "the next smaller number", 1: "the next larger number"}
LEFT_OUT = {
    "outside": "the study has no such number",
    "length": "the prompts differ in length",
    "tokens": "the prompts differ in more than the number",
    "step": "the answer never has so many words",
}


@listed
def say_nswap(table: pd.DataFrame) -> Iterator[str]:
    """One sentence per model, language and swap: over all N, then number by number."""
    for (model, language, swap), own in table.groupby(["model", "language", "swap"], sort=False):
        whole = rows_of(own, n="all").to_dict("records")[0]
        start = f"{model} in {language}, N swapped for {TOWARDS[swap]} on the same text"
        left = _left_out(whole)
        if not whole["n_samples"]:
            yield f"{start}: no swap is valid ({left})."
            continue
        parts = [
            f"{row['n']} → {int(row['n_swapped'])} {_margin(row)} ({n_answers(row)})"
            for row in own[(own["n"] != "all") & (own["n_samples"] > 0)].to_dict("records")
        ]
        yield (
            f"{start}: the end margin differs by {_margin(whole)} logits "
            f"({whole['n_samples']} of {whole['n_answers']} answers"
            f"{f'; excluded: {left}' if left else ''}). By number: {', '.join(parts)}."
        )


def _margin(row: Mapping) -> str:
    return estimated(row, "margin", "logits", True)


def _left_out(row: Mapping) -> str:
    """How many answers were left out, by reason."""
    return ", ".join(f"{row[name]} because {why}" for name, why in LEFT_OUT.items() if row[name])


def follows_n(tables: Tables, cast: Cast) -> Finding | None:
    """On the same text, does the model tend more to end if it was asked for this many words?"""
    cases = []
    for name, rows in tuned_cases(rows_of(tables["nswap"], n="all", swap=1), cast):
        [row] = rows.to_dict("records")
        if not row["n_samples"]:
            cases.append((f"{name}: no swap is valid ({_left_out(row)})", []))
            continue
        told = (
            f"{name}: once N words are written, the prompt for N changes the end margin by "
            f"{shown(row, 'margin', 'logits', True)} relative to that for {TOWARDS[1]} "
            f"({n_answers(row)})"
        )
        cases.append((told, [limits_of(row, "margin")]))
    return answered("On the same text, does the end margin follow N?", cases, counted(cast))
