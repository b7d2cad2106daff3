"""Sentences about the tables on words and tokens: tokenization, tokens_per_word and counting."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lengthlens.analysis.behaviour import ALL
from lengthlens.figures.numbers import estimated, number
from lengthlens.figures.tokenization import POOR
from lengthlens.reporting.answers import share
from lengthlens.reporting.order import least_cut_first

FEWEST_ERRING = 10  # with fewer answers that err, one or two of them make the slope
_UNIT = {"exact": "percent"}


def tokenization_sentences(table: pd.DataFrame) -> list[str]:
    """Sentences on exact answers in tables/tokenization.csv, of each model and language."""
    said = []
    for (model, language), own in least_cut_first(table).groupby(["model", "language"], sort=False):
        exact = own[own["measure"] == "exact"]
        rows = {row["quantity"]: row for row in exact.to_dict("records") if not row["reference"]}
        by_measure = {row["measure"]: row for row in own.to_dict("records")}
        if "coverage" not in by_measure or not rows["change"]["n_samples"]:
            continue
        coverage, degenerate = by_measure["coverage"], by_measure["degenerate"]
        poor = max(1 - coverage["value"], degenerate["value"]) > POOR
        said.append(f"{model} in {language}: {_change(rows, coverage, degenerate, poor)}")
        for reference, part in exact[exact["reference"] != ""].groupby("reference", sort=False):
            compared = {row["quantity"]: row for row in part.to_dict("records")}
            said.append(f"{model} in {language}: {_against(reference, compared, poor)}")
    return said


def _change(rows: Mapping[str, Mapping], coverage: Mapping, degenerate: Mapping, poor: bool) -> str:
    """Free and aligned answers compared, and how far aligned decoding can be trusted."""
    text = (
        f"with one whole word per token, {share(rows['aligned'], 'value')} of answers are exact, "
        f"against {share(rows['free'], 'value')} of free ones; {_points(rows['change'])}. The "
        f"vocabulary holds {number(coverage['value'], 'percent')} % of the lexicon's "
        f"{coverage['n_samples']:.0f} words as one token, and {share(degenerate, 'value')} of the "
        "aligned answers are degenerate."
    )
    if rows["free"]["truncated"] > 0:
        text += f" Of the free answers {number(rows['free']['truncated'], 'percent')} % were cut."
    if poor:
        text += " This is a poorer language, which says nothing about the tokenizer."
    return text


def _against(reference: str, rows: Mapping[str, Mapping], poor: bool) -> str:
    """The language compared with one in which every word is one token."""
    text = (
        f"free answers in {reference}, against this language: {_points(rows['reference - free'])}"
    )
    if poor:
        return f"{text}."
    return (
        f"net of the constraint's effect in {reference}, one-token words bring "
        f"{_points(rows['tokenization'])}; {text}."
    )


def _points(row: Mapping) -> str:
    """A difference of shares with its interval and n, and its direction, if it has one."""
    value = estimated(row, "value", "percent", True, " points")
    basis = f"n = {row['n_samples']} answers, {row['n_topics']} topics"
    way = direction(
        row["value_low"], row["value_high"], "more exact answers", "fewer exact answers"
    )
    return f"{value} ({basis}): {way}"


def direction(low: float, high: float, above: str, below: str) -> str:
    """What an interval of a difference shows: `above` zero, `below` it, or nothing."""
    if pd.isna(low) or pd.isna(high):
        return "no interval can be given"
    if low > 0:
        return above
    if high < 0:
        return below
    return "no difference is shown"


def tokens_per_word_sentences(table: pd.DataFrame) -> list[str]:
    """Sentences on tables/tokens_per_word.csv: |error| and exactness of each model and language."""
    said = []
    for row in table.to_dict("records"):
        if row["measure"] == "error" or pd.isna(row["slope"]):
            continue
        unit = _UNIT.get(row["measure"], "words")
        name = "points of exact answers" if unit == "percent" else "words of |error|"
        slope = estimated(row, "slope", unit, True, f" {name}")
        way = direction(row["slope_low"], row["slope_high"], "it grows", "it falls")
        if row["n_erring"] < FEWEST_ERRING:
            way = "too few errors to tell"
        where = "all languages" if row["language"] == ALL else row["language"]
        cut = f"; without {row['n_cut']} that were cut" if row["n_cut"] else ""
        said.append(
            f"{row['model']} in {where}: an additional token per word is associated with "
            f"{slope} among answers to the same N "
            f"(n = {row['n_samples']} answers, {row['n_erring']} with errors; {row['n_topics']} "
            f"topics{cut}): {way}."
        )
    return said


def counting_sentences(table: pd.DataFrame) -> list[str]:
    """Sentences on tables/counting.csv: exactness under the three conventions."""
    said = []
    for (model, language), own in least_cut_first(table).groupby(["model", "language"], sort=False):
        rows = {row["convention"]: row for row in own.to_dict("records")}
        shares = ", ".join(
            f"{estimated(row, 'exact', 'percent', after=' %')} by {name}"
            for name, row in rows.items()
        )
        elision = rows["elision"]
        if elision["extra"] == 0:
            more = "elision counts no additional words"
        else:
            extra = estimated(elision, "extra", "words", True)
            more = f"elision counts {extra} words per answer relative to whitespace"
        said.append(
            f"{model} in {language}: exact answers, {shares} "
            f"(n = {elision['n_samples']} answers, {elision['n_topics']} topics); {more}."
        )
    return said
