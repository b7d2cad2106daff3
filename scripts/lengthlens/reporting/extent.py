"""Sentences about the tables on single N: extrapolation and dip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from lengthlens.analysis.tables import rows_of
from lengthlens.figures.numbers import estimated, in_brackets, number
from lengthlens.figures.titles import span
from lengthlens.reporting.answers import least_cut_first, listed, n_answers, shown

MEASURES = {
    "exact": ("exact answers", "percent"),
    "absolute_error": ("|error|", "words"),
    "late_heads": ("CWA per step of the late heads", "logits"),
    "late_mlps": ("CWA per step of the late MLPs", "logits"),
    "final_mlp": ("CWA per step of the final MLP", "logits"),
}


@listed
def extrapolation_sentences(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on tables/extrapolation.csv: one a model and language."""
    for who, own in least_cut_first(table):
        beyond, inside = (rows_of(own, probe=probe) for probe in ("extrapolation", "free"))
        if beyond.empty:
            continue
        last = beyond.iloc[-1]
        text = f"{who}, asked for {_gain(beyond)}"
        if not inside.empty:
            text += f"; for {_gain(inside)}"
        text += (
            f". At N = {last['n']} its error is {shown(last, 'error', 'words', True)} "
            f"(n = {last['n_samples']})."
        )
        if (beyond["truncated"] > 0).any():
            text += " Some answers were cut at the token limit: words and errors are lower bounds."
        yield text


def _gain(rows: pd.DataFrame) -> str:
    """Words written per additional word requested; a single N has none."""
    first, last = rows["n"].iloc[[0, -1]]
    asked = f"{first} words" if first == last else f"{first} to {last} words"
    row, n = rows.iloc[0], rows["n_samples"].sum()
    if pd.isna(row["gain"]):
        return f"{asked}: a single N (n = {n})"
    return f"{asked}: {estimated(row, 'gain', 'words')} words per additional word (n = {n})"


@listed
def dip_sentences(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on tables/dip.csv: every N that is worse than its neighbours, and the rest."""
    for who, own in least_cut_first(table):
        near = rows_of(own, against="neighbours")
        lines = rows_of(own, against="line").set_index(["measure", "n"])["verdict"]
        worse, hidden = (rows_of(near, verdict=verdict) for verdict in ("worse", "censored"))
        for row in worse.to_dict("records"):
            yield f"{who}, {_dip(row, lines)}."
        quiet = near[~near["measure"].isin([*worse["measure"], *hidden["measure"]])]
        if len(quiet):
            yield (
                f"{who}: no N is shown to be worse than its neighbours in {_listed(quiet)} "
                f"({quiet['n'].nunique()} N, simultaneous {100 * quiet['level'].iloc[0]:g} % "
                f"intervals; n = {span(quiet['n_samples'], 'count')} answers each)."
            )
        if len(hidden):
            yield f"{who}: cut answers hide whether any N is worse in {_listed(hidden)}."


def _listed(rows: pd.DataFrame) -> str:
    """Names of the measures of some rows."""
    return ", ".join(MEASURES[measure][0] for measure in rows["measure"].unique())


def _dip(row: Mapping, lines: pd.Series) -> str:
    name, unit = MEASURES[row["measure"]]
    value = number(row["value"], unit, True)
    bounds = in_brackets(row["all_low"], row["all_high"], unit, True)
    kind = "points" if unit == "percent" else unit
    text = (
        f"{name}: N = {row['n']} is worse than N = {row['neighbours'].replace(' ', ' and ')} by "
        f"{value} {kind} {bounds} (simultaneous interval; exploratory; n = {n_answers(row)})"
    )
    if lines.get((row["measure"], row["n"]), "worse") != "worse":
        text += ", but not shown to be worse than a line through these two: it may be a trend"
    return text
