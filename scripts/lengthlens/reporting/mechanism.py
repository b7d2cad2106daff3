"""Sentences about what carries N; they claim no more than the tables' intervals."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lengthlens.analysis.unpatched import LARGE
from lengthlens.figures.numbers import estimated, in_brackets, number
from lengthlens.figures.scores import SCORE_NAMES
from lengthlens.figures.style import METHOD_NAMES
from lengthlens.reporting.answers import by_model, share

NAMED = 4  # components in a sentence
_SCORES = METHOD_NAMES | {"effect": "effect of removal"}


def say_carriers(table: pd.DataFrame) -> list[str]:
    """The effect of N that was patched, and the components that the story does not name.

    Args:
        table: tables/carriers.csv.
    """
    sentences = []
    for who, own in by_model(table[table["share"].notna()]):
        effect = estimated(own.iloc[0], "n_effect", "logits", after=" logits")
        others = component_shares(shown_carriers(own)[NAMED:])
        others = f"; further components that carry some, patched in alone: {others}" * bool(others)
        n = int(own["n_samples"].iloc[0])
        sentences.append(
            f"{who}: the effect of N that was patched is {effect}{others} ({n} answers)."
        )
    return sentences


def shown_carriers(rows: pd.DataFrame) -> pd.DataFrame:
    """The components that are shown to carry some of the effect of N."""
    return rows[rows["share_low"] > 0]


def component_shares(rows: pd.DataFrame) -> str:
    """Components with their shares of the effect of N."""
    return "; ".join(f"{row['component']} {share(row)}" for row in rows.to_dict("records"))


def kept(row: Mapping) -> str:
    """What a circuit keeps of the effect of N."""
    limits = in_brackets(row["low"], row["high"], "percent")
    return f"{number(row['faithfulness'], 'percent')} % {limits}"


def unpatched_heads(row: pd.Series) -> str:
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


def say_circuits(table: pd.DataFrame) -> list[str]:
    """The smallest faithful circuit of each score, or why there is none.

    Args:
        table: tables/circuits.csv.
    """
    sentences = []
    for row in table.to_dict("records"):
        if row["source_language"] != row["language"] and not pd.isna(row["source_language"]):
            continue
        who = f"{row['model']} ({row['language']})"
        score = SCORE_NAMES.get(row["method"], "")
        if pd.isna(row["k"]):
            by = f" by {score}" if score else ""
            sentences.append(f"{who}: no circuit{by}: {row['absent']}.")
            continue
        sentences.append(
            f"{who}: the top {int(row['k'])} of {int(row['n_components'])} components by {score} "
            f"keep {kept(row)} of the effect of N ({int(row['n_samples'])} answers)"
            + _against_random(row)
            + (f"; {_exchanged(row)}" if row["n_interchange"] > 0 else "")
            + "."
        )
    return sentences


def _against_random(row: dict) -> str:
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


def _exchanged(row: dict) -> str:
    turned = share(row, "interchange")
    said = f"patching in these alone flips {turned} of {int(row['n_interchange'])} decisions"
    if row["n_written"] > 0:
        exact = share(row, "written_exact")
        said += f", and {exact} of {int(row['n_written'])} answers written this way have the "
        said += "number of words that the other prompt asks for"
    return said


def say_patch_scores(table: pd.DataFrame) -> list[str]:
    """How well scores predict which head of a layer carries N, and which exceed the output norm.

    Args:
        table: tables/patch_scores.csv.
    """
    own = table[(table["kind"] == "head") & (table["over"] == "within")]
    sentences = []
    for who, rows in by_model(own[own["score"].isin(_SCORES) & own["correlation"].notna()]):
        rows = rows.sort_values("correlation", ascending=False, kind="stable")
        told = [
            f"{_SCORES[row['score']]} {estimated(row, 'correlation', 'correlation')}"
            for row in rows.to_dict("records")
        ]
        better = [_SCORES[score] for score in rows["score"][rows["over_norm_low"] > 0]]
        first = rows.iloc[0]
        sentences.append(
            f"{who}: rank correlation of scores with patching effects within layers: "
            f"{', '.join(told)}. Shown to beat the output norm: "
            f"{', '.join(better) or 'none'} ({int(first['n_components'])} heads; scored on "
            f"{int(rows['n_select'].max())} answers, patched in {int(first['n_evaluate'])} on "
            "other topics)."
        )
    return sentences


def say_overlap(table: pd.DataFrame) -> list[str]:
    """How much two languages share of AtP's circuits, at the middle one of the measured sizes."""
    rows = table[(table["method"] == "atp") & (table["heads"] > 0)]
    sentences = []
    for names, own in rows.groupby(["model", "language", "source_language"], sort=False):
        row = own.sort_values("k").iloc[len(own) // 2]
        sentences.append(
            f"{names[0]}: the top {int(row['k'])} components by AtP include {int(row['heads'])} "
            f"heads in {names[1]} and {int(row['source_heads'])} in {names[2]}; "
            f"{int(row['shared'])} are shared, against {number(row['chance'], 'words')} expected "
            f"by chance within layers (p = {row['p']:.2g})."
        )
    return sentences
