"""Sentences about the tables on single N: extrapolation and dip."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lengthlens.figures.numbers import estimated, in_brackets, number
from lengthlens.figures.titles import span
from lengthlens.reporting.order import least_cut_first

MEASURES = {
    "exact": ("exact answers", "percent"),
    "absolute_error": ("|error|", "words"),
    "late_heads": ("CWA per step of the late heads", "logits"),
    "late_mlps": ("CWA per step of the late MLPs", "logits"),
    "final_mlp": ("CWA per step of the final MLP", "logits"),
}


def extrapolation_sentences(table: pd.DataFrame) -> list[str]:
    """Sentences on tables/extrapolation.csv: one a model and language."""
    said = []
    for (model, language), own in least_cut_first(table).groupby(["model", "language"], sort=False):
        parts = {probe: part.to_dict("records") for probe, part in own.groupby("probe")}
        beyond, inside = parts.get("extrapolation"), parts.get("free")
        if not beyond:
            continue
        text = f"{model} in {language}, asked for {_span(beyond)} words: {_gain(beyond)}"
        if inside:
            text += f"; for {_span(inside)} words: {_gain(inside)}"
        last = beyond[-1]
        error = estimated(last, "error", "words", True, " words")
        text += f". At N = {last['n']} its error is {error} (n = {last['n_samples']})."
        if any(row["truncated"] > 0 for row in beyond):
            text += " Some answers were cut at the token limit: words and errors are lower bounds."
        said.append(text)
    return said


def _span(rows: list[Mapping]) -> str:
    first, last = rows[0]["n"], rows[-1]["n"]
    return str(first) if first == last else f"{first} to {last}"


def _gain(rows: list[Mapping]) -> str:
    """Words written per additional word requested; a single N has none."""
    row, n = rows[0], sum(row["n_samples"] for row in rows)
    if pd.isna(row["gain"]):
        return f"a single N (n = {n})"
    return f"{estimated(row, 'gain', 'words')} words per additional word (n = {n})"


def dip_sentences(table: pd.DataFrame) -> list[str]:
    """Sentences on tables/dip.csv: every N that is worse than its neighbours, and the rest."""
    said = []
    for (model, language), own in least_cut_first(table).groupby(["model", "language"], sort=False):
        near = own[own["against"] == "neighbours"]
        lines = own[own["against"] == "line"].set_index(["measure", "n"])["verdict"]
        for row in near[near["verdict"] == "worse"].to_dict("records"):
            said.append(f"{model} in {language}, {_dip(row, lines)}.")
        hidden = near["verdict"] == "censored"
        dipped = near["measure"].isin(near["measure"][near["verdict"] == "worse"])
        quiet = near[~near["measure"].isin(near["measure"][hidden]) & ~dipped]
        if len(quiet):
            said.append(
                f"{model} in {language}: no N is shown to be worse than its neighbours in "
                f"{_listed(quiet)} ({quiet['n'].nunique()} N, simultaneous {_level(quiet)} "
                f"intervals; n = {span(quiet['n_samples'], 'count')} answers each)."
            )
        if hidden.any():
            said.append(
                f"{model} in {language}: cut answers hide whether any N is worse in "
                f"{_listed(near[hidden])}."
            )
    return said


def _listed(rows: pd.DataFrame) -> str:
    """Names of the measures of some rows."""
    return ", ".join(MEASURES[measure][0] for measure in rows["measure"].unique())


def _dip(row: Mapping, lines: pd.Series) -> str:
    name, unit = MEASURES[row["measure"]]
    value = number(row["value"], unit, True)
    bounds = in_brackets(row["all_low"], row["all_high"], unit, True)
    kind = {"percent": "points", "words": "words", "logits": "logits"}[unit]
    text = (
        f"{name}: N = {row['n']} is worse than N = {row['neighbours'].replace(' ', ' and ')} by "
        f"{value} {kind} {bounds} (simultaneous interval; exploratory; "
        f"n = {row['n_samples']} answers)"
    )
    if lines.get((row["measure"], row["n"]), "worse") != "worse":
        text += ", but not shown to be worse than a line through these two: it may be a trend"
    return text


def _level(rows: pd.DataFrame) -> str:
    return f"{100 * rows['level'].iloc[0]:g} %"
