"""Sentences about what carries N; they claim no more than the tables' intervals."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from lengthlens.analysis.tables import rows_of
from lengthlens.analysis.unpatched import LARGE
from lengthlens.figures.numbers import Row, estimated, in_brackets, number
from lengthlens.figures.scores import SCORE_NAMES
from lengthlens.figures.style import METHOD_NAMES
from lengthlens.reporting.answers import by_model, listed, n_answers, share, shown

NAMED = 4  # components in a sentence
_SCORES = METHOD_NAMES | {"effect": "effect of removal"}


@listed
def say_carriers(table: pd.DataFrame) -> Iterator[str]:
    """The effect of N that was patched, and the components that the story does not name
    (tables/carriers.csv).
    """
    for who, own in by_model(table[table["share"].notna()]):
        first = own.iloc[0]
        others = component_shares(shown_carriers(own)[NAMED:])
        others = f"; further components that carry some, patched in alone: {others}" * bool(others)
        effect = shown(first, "n_effect", "logits")
        yield f"{who}: the effect of N that was patched is {effect}{others} ({n_answers(first)})."


def shown_carriers(rows: pd.DataFrame) -> pd.DataFrame:
    """The components that are shown to carry some of the effect of N."""
    return rows[rows["share_low"] > 0]


def component_shares(rows: pd.DataFrame) -> str:
    """Components with their shares of the effect of N."""
    return "; ".join(f"{row['component']} {share(row)}" for row in rows.to_dict("records"))


def kept(row: Row) -> str:
    """What a circuit keeps of the effect of N."""
    limits = in_brackets(row["low"], row["high"], "percent")
    return f"{number(row['faithfulness'], 'percent')} % {limits}"


def unpatched_heads(row: Row) -> str:
    """What the heads that were not patched may carry; "" if all were patched."""
    number_of = int(row["n_unpatched"])
    if not number_of:
        return ""
    if pd.isna(row["unpatched"]):
        return f" {number_of} heads were not patched; no sample estimates what they carry."
    return (
        f" {number_of} heads were not patched. Judging by a random sample, their shares add up to "
        f"{share(row, 'unpatched')}, and at most {int(row['unpatched_most'])} of them carry more "
        f"than {100 * LARGE:g} % each (confidence level {row['level']:g})."
    )


@listed
def say_circuits(table: pd.DataFrame) -> Iterator[str]:
    """The smallest faithful circuit of each score, or why there is none (tables/circuits.csv)."""
    own = table["source_language"].isna() | (table["source_language"] == table["language"])
    for row in table[own].to_dict("records"):
        who = f"{row['model']} ({row['language']})"
        score = SCORE_NAMES.get(row["method"], "")
        if pd.isna(row["k"]):
            by = f" by {score}" if score else ""
            yield f"{who}: no circuit{by}: {row['absent']}."
            continue
        yield (
            f"{who}: the top {int(row['k'])} of {int(row['n_components'])} components by {score} "
            f"keep {kept(row)} of the effect of N ({n_answers(row)})"
            f"{_against_random(row)}{_exchanged(row)}."
        )


def _against_random(row: Row) -> str:
    """What is kept by equally many components whose heads are drawn at random within layers."""
    if pd.isna(row["random"]):
        return ""
    keep, low, high = (
        number(row[name], "percent") for name in ("random", "random_low", "random_high")
    )
    return (
        f"; as many with heads drawn at random within layers keep {keep} % "
        f"({low} to {high} % across orders)"
    )


def _exchanged(row: Row) -> str:
    """How many decisions and answers the circuit alone turns, where that was measured."""
    if not row["n_interchange"] > 0:
        return ""
    said = (
        f"; patching in these alone flips {share(row, 'interchange')} of "
        f"{int(row['n_interchange'])} decisions"
    )
    if row["n_written"] > 0:
        said += (
            f", and {share(row, 'written_exact')} of {int(row['n_written'])} answers written this "
            "way have the number of words that the other prompt asks for"
        )
    return said


@listed
def say_patch_scores(table: pd.DataFrame) -> Iterator[str]:
    """How well scores predict which head of a layer carries N, and which exceed the output norm
    (tables/patch_scores.csv).
    """
    own = rows_of(table, kind="head", over="within")
    for who, rows in by_model(own[own["score"].isin(_SCORES) & own["correlation"].notna()]):
        rows = rows.sort_values("correlation", ascending=False, kind="stable")
        told = ", ".join(
            f"{_SCORES[row['score']]} {estimated(row, 'correlation', 'correlation')}"
            for row in rows.to_dict("records")
        )
        better = ", ".join(rows["score"][rows["over_norm_low"] > 0].map(_SCORES))
        first = rows.iloc[0]
        yield (
            f"{who}: rank correlation of scores with patching effects within layers: {told}. "
            f"Shown to beat the output norm: {better or 'none'} ({int(first['n_components'])} "
            f"heads; scored on {int(rows['n_select'].max())} answers, patched in "
            f"{int(first['n_evaluate'])} on other topics)."
        )


@listed
def say_overlap(table: pd.DataFrame) -> Iterator[str]:
    """How much two languages share of AtP's circuits, at the middle one of the measured sizes."""
    rows = table[(table["method"] == "atp") & (table["heads"] > 0)]
    for names, own in rows.groupby(["model", "language", "source_language"], sort=False):
        row = own.sort_values("k").iloc[len(own) // 2]
        yield (
            f"{names[0]}: the top {int(row['k'])} components by AtP include {int(row['heads'])} "
            f"heads in {names[1]} and {int(row['source_heads'])} in {names[2]}; "
            f"{int(row['shared'])} are shared, against {number(row['chance'], 'words')} expected "
            f"by chance within layers (p = {row['p']:.2g})."
        )
