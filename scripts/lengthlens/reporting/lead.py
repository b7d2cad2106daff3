"""The summary's picture: exact answers with no heads removed, chosen heads, or random heads.

There is a row per method for every k (number of removed heads) and language. It shows the share of
exact answers without the heads that the method ranks highest, and without as many random heads of
the same layers. The reader of the page can choose k. The numbers are those of tables/ablation.csv.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lengthlens.analysis.tables import first_of, in_own_language, rows_of
from lengthlens.figures.numbers import NONE, interval, number, suffix
from lengthlens.figures.style import Cast
from lengthlens.reporting.answers import (
    limits_of,
    n_answers,
    rows_alike,
    shown,
    tuned_cases,
    tuned_rows,
)
from lengthlens.reporting.findings import method_words


@dataclass(frozen=True)
class Mark:
    """A share of exact answers with its interval, in percent of the axis."""

    at: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Row:
    """One line of the picture: a method, or nothing removed.

    Attributes:
        label: what was removed; css: class of its colour.
        mark: without the chosen heads; rival: without random heads, None if none were removed.
        effect: the difference of the two in points, with its interval; basis: what it rests on.
    """

    label: str
    css: str
    mark: Mark
    rival: Mark | None = None
    effect: str = ""
    basis: str = ""


@dataclass(frozen=True)
class Lead:
    """The picture: (language, rows) for every k."""

    doses: Mapping[int, tuple[tuple[str, tuple[Row, ...]], ...]]
    first: int


def draw_lead(behaviour: pd.DataFrame, effects: pd.DataFrame, cast: Cast) -> Lead | None:
    """The picture, or None if no tuned model answered without heads.

    Args:
        behaviour: tables/behaviour.csv; effects: tables/ablation.csv.
        cast: models and languages.
    """
    own = rows_of(tuned_rows(effects, cast), measure="exact", chosen_by="top", kind="head")
    own = first_of(in_own_language(own[own["chosen"].notna()]), "mode")
    if own.empty:
        return None
    whole = rows_of(behaviour, n="all", split="evaluate")
    doses = {
        int(k): tuple((name, _rows(rows, whole)) for name, rows in tuned_cases(part, cast))
        for k, part in own.groupby("k")
    }
    return Lead(doses, min(doses))


def _rows(effects: pd.DataFrame, whole: pd.DataFrame) -> tuple[Row, ...]:
    """The intact model, then the model without the heads of each method."""
    rows = [
        Row(
            "nothing removed",
            "tuned",
            _mark(row["exact"], *limits_of(row, "exact")),
            basis=f"{n_answers(row)}, evaluate half",
        )
        for row in rows_alike(whole, effects.iloc[0]).to_dict("records")
    ]
    for row in effects.to_dict("records"):
        tried = row["n_controls"] > 0 and not pd.isna(row["control"])
        rows.append(
            Row(
                label=f"top {int(row['k'])} by {method_words(row['method'])}",
                css=str(row["method"]).replace("_", "-"),
                mark=_mark(row["chosen"], *limits_of(row, "chosen")),
                rival=_mark(row["control"]) if tried else None,
                effect=shown(row, "effect", "percent", True) if tried else "",
                basis=f"{n_answers(row)}, {int(row['n_controls'])} random sets",
            )
        )
    return tuple(rows)


def _mark(value: float, low: float = math.nan, high: float = math.nan) -> Mark:
    text, limits = number(value, "percent") + suffix("percent"), interval(low, high, "percent")
    if limits == NONE:
        low = high = value
    else:
        text += f" {limits}"
    return Mark(*(round(100 * each, 1) for each in (value, low, high)), text)
