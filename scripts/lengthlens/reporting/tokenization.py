"""Sentences about the tables on words and tokens: tokenization, tokens_per_word and counting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from lengthlens.analysis.behaviour import ALL
from lengthlens.analysis.tables import rows_of
from lengthlens.figures.numbers import estimated, number
from lengthlens.figures.tokenization import is_poor
from lengthlens.reporting.answers import (
    least_cut_first,
    limits_of,
    listed,
    n_answers,
    reading,
    share,
    shown,
)

FEWEST_ERRING = 10  # with fewer answers that err, one or two of them make the slope
Rows = Mapping[str, Mapping]


@listed
def tokenization_sentences(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on exact answers in tables/tokenization.csv, of each model and language."""
    for who, own in least_cut_first(table):
        exact = rows_of(own, measure="exact")
        rows = _by(rows_of(exact, reference=""), "quantity")
        by_measure = _by(own, "measure")
        if "coverage" not in by_measure or not rows["change"]["n_samples"]:
            continue
        poor = is_poor(own)
        yield f"{who}: {_change(rows, by_measure, poor)}"
        for reference, part in exact[exact["reference"] != ""].groupby("reference", sort=False):
            yield f"{who}: {_against(reference, _by(part, 'quantity'), poor)}"


def _by(table: pd.DataFrame, name: str) -> Rows:
    """The rows by a column; the last of equal ones."""
    return {row[name]: row for row in table.to_dict("records")}


def _change(rows: Rows, by_measure: Rows, poor: bool) -> str:
    """Free and aligned answers compared, and how far aligned decoding can be trusted."""
    coverage, free = by_measure["coverage"], rows["free"]
    text = (
        f"with one whole word per token, {share(rows['aligned'], 'value')} of answers are exact, "
        f"against {share(free, 'value')} of free ones; {_points(rows['change'])}. The "
        f"vocabulary holds {number(coverage['value'], 'percent')} % of the lexicon's "
        f"{coverage['n_samples']:.0f} words as one token, and "
        f"{share(by_measure['degenerate'], 'value')} of the aligned answers are degenerate."
    )
    if free["truncated"] > 0:
        text += f" Of the free answers {number(free['truncated'], 'percent')} % were cut."
    if poor:
        text += " This is a poorer language, which says nothing about the tokenizer."
    return text


def _against(reference: str, rows: Rows, poor: bool) -> str:
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
    basis = f"n = {n_answers(row)}, {row['n_topics']} topics"
    way = direction(*limits_of(row, "value"), "more exact answers", "fewer exact answers")
    return f"{shown(row, 'value', 'percent', True)} ({basis}): {way}"


def direction(low: float, high: float, above: str, below: str) -> str:
    """What an interval of a difference shows: `above` zero, `below` it, or nothing."""
    return reading((low, high), above, below, "no difference is shown", "no interval can be given")


@listed
def tokens_per_word_sentences(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on tables/tokens_per_word.csv: |error| and exactness of each model and language."""
    for row in table[(table["measure"] != "error") & table["slope"].notna()].to_dict("records"):
        unit, name = "words", " words of |error|"
        if row["measure"] == "exact":
            unit, name = "percent", " points of exact answers"
        slope = estimated(row, "slope", unit, True, name)
        way = direction(*limits_of(row, "slope"), "it grows", "it falls")
        if row["n_erring"] < FEWEST_ERRING:
            way = "too few errors to tell"
        where = "all languages" if row["language"] == ALL else row["language"]
        cut = f"; without {row['n_cut']} that were cut" if row["n_cut"] else ""
        yield (
            f"{row['model']} in {where}: an additional token per word is associated with "
            f"{slope} among answers to the same N "
            f"(n = {n_answers(row)}, {row['n_erring']} with errors; {row['n_topics']} "
            f"topics{cut}): {way}."
        )


@listed
def counting_sentences(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on tables/counting.csv: exactness under the three conventions."""
    for who, own in least_cut_first(table):
        rows = _by(own, "convention")
        shares = ", ".join(f"{share(row, 'exact')} by {name}" for name, row in rows.items())
        elision = rows["elision"]
        more = "elision counts no additional words"
        if elision["extra"] != 0:
            extra = estimated(elision, "extra", "words", True)
            more = f"elision counts {extra} words per answer relative to whitespace"
        yield (
            f"{who}: exact answers, {shares} "
            f"(n = {n_answers(elision)}, {elision['n_topics']} topics); {more}."
        )
