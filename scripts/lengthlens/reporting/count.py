"""The count in the stream, in sentences: never beyond the intervals of the tables."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from lengthlens.reporting.numbers import in_brackets, number

_FOUND = 0.05  # explained of words left, from which on a layer is named
_HALF = 0.5


def say_probes(table: pd.DataFrame) -> list[str]:
    """From which layer on the stream tells words left, by model and language.

    Args:
        table: tables/count_probes.csv.
    """
    sentences = []
    for who, rows, absent in _each(table):
        if absent:
            sentences.append(f"{who}: words left were not probed: {absent}.")
            continue
        n = f"{int(rows['n_samples'].max())} evaluate answers under every N"
        found = rows[rows["beyond_low"] > rows["control_high"].clip(lower=_FOUND)]
        if found.empty:
            sentences.append(
                f"{who}: in no layer does the stream tell more than {number(_FOUND, 'percent')} % "
                f"of words left beyond what the text tells ({n})."
            )
            continue
        first, best = found.iloc[0], found.loc[found["beyond"].idxmax()]
        said = f"{number(best['beyond'], 'percent')} % "
        said += in_brackets(best["beyond_low"], best["beyond_high"], "percent")
        sentences.append(
            f"{who}: the stream tells words left first {_where(first)}, and best {_where(best)}: "
            f"{said} of what the words so far, the position and the template leave open. With N "
            f"permuted it is at most {number(best['control_high'], 'percent')} % ({n})."
        )
    return sentences


def say_steering(table: pd.DataFrame) -> list[str]:
    """What a word added to the stream adds to the answer.

    Args:
        table: tables/steering.csv.
    """
    sentences = []
    for who, rows, absent in _each(table):
        if absent:
            sentences.append(f"{who}: answers were not steered: {absent}.")
            continue
        row = rows.iloc[0]
        said = f"{number(row['slope'], 'words', sign=True)} words "
        said += in_brackets(row["slope_low"], row["slope_high"], "words", sign=True)
        sentences.append(
            f"{who}: one word more along words left in the stream entering layer "
            f"{int(row['layer'])} changes the answer by {said}; along the directions of permuted N "
            f"by {number(row['null_slope_low'], 'words', sign=True)} to "
            f"{number(row['null_slope_high'], 'words', sign=True)} ({int(row['n_samples'])} "
            f"prompts, {int(row['n_draws'])} directions)."
        )
    return sentences


def say_neurons(table: pd.DataFrame) -> list[str]:
    """How few neurons carry half of what the final MLP carries.

    Args:
        table: tables/neurons.csv.
    """
    sentences = []
    for who, rows, absent in _each(table):
        if absent:
            sentences.append(f"{who}: neurons were not exchanged: {absent}.")
            continue
        rows = rows.sort_values("k")
        whole = rows.iloc[-1]
        if not whole["share_low"] > 0:
            sentences.append(
                f"{who}: the final MLP carries no share of the effect of N that is above 0 with "
                f"its whole interval ({int(whole['n_samples'])} answers)."
            )
            continue
        some = rows[rows["share_low"] > _HALF * whole["share"]].iloc[:1]
        told = "no measured number of them carries half of that"
        for row in some.to_dict("records"):
            told = f"the first {int(row['k'])} of {int(row['n_neurons'])} carry {_share(row)}"
            if row["n_draws"]:
                told += f", as many at random {number(row['random'], 'percent')} %"
        sentences.append(
            f"{who}: the neurons of the final MLP carry {_share(whole)} of the effect of N "
            f"together; {told} ({int(whole['n_samples'])} answers)."
        )
    return sentences


def say_depth(table: pd.DataFrame) -> list[str]:
    """What the last layer adds to the end margin, on own answers.

    Args:
        table: tables/depth.csv.
    """
    own = table[table["text"] == table["model"]]
    sentences = []
    for (model, language), rows in own.groupby(["model", "language"], sort=False):
        rows = rows.sort_values("place")
        last, before = rows.iloc[-1], rows.iloc[-3]
        sentences.append(
            f"{model} ({language}): at its own decisions the end margin is {_margin(last)} logits; "
            f"without the last layer's part it is {_margin(before)} ({int(last['n_samples'])} "
            "answers; partial sums with the final norm's scale)."
        )
    return sentences


def _each(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Model and language, their rows, and why they are missing."""
    for (model, language), rows in table.groupby(["model", "language"], sort=False):
        yield f"{model} ({language})", rows, str(rows["absent"].fillna("").iloc[0])


def _where(row: pd.Series) -> str:
    return "before the final norm" if row["depth"] >= 1 else f"entering layer {int(row['layer'])}"


def _share(row: dict | pd.Series) -> str:
    limits = in_brackets(row["share_low"], row["share_high"], "percent")
    return f"{number(row['share'], 'percent')} % {limits}"


def _margin(row: pd.Series) -> str:
    limits = in_brackets(row["margin_low"], row["margin_high"], "logits", sign=True)
    return f"{number(row['margin'], 'logits', sign=True)} {limits}"
