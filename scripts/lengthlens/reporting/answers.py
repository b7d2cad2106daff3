"""Short answers to the report's questions, derived from intervals alone.

A question is answered only if a whole interval supports the answer; otherwise it is undecided. Each
piece of evidence carries its value, interval and n.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ParamSpec

import numpy as np
import pandas as pd

from lengthlens.analysis.tables import rows_of
from lengthlens.figures.numbers import Row, estimated, suffix
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import tuned_models
from lengthlens.statistics import side_of

Tables = Mapping[str, pd.DataFrame]
Given = ParamSpec("Given")
Limits = tuple[float, float]
Case = tuple[str, Sequence[Limits]]  # a phrase of evidence, and the intervals that it tells


@dataclass(frozen=True)
class Finding:
    """A question, the short answer, and what it rests on.

    Attributes:
        answer: a few words; empty if there is only evidence.
        css: class of the answer: yes, no or open.
        evidence: phrases with value, interval and n.
        further: the same of other languages or models, which the page folds.
    """

    question: str
    answer: str
    css: str
    evidence: tuple[str, ...]
    further: tuple[str, ...] = ()

    @property
    def others(self) -> str:
        """The languages or models of `further`."""
        return "; ".join(line.partition(":")[0] for line in self.further)


Ask = Callable[[Tables, Cast], Finding | None]


def tally(rows: Iterable[tuple[float, float]], null: float = 0.0) -> tuple[int, int, int]:
    """How many intervals lie wholly above `null`, wholly below it, and how many there are."""
    known = [(low, high) for low, high in rows if not (pd.isna(low) or pd.isna(high))]
    sides = [side_of(low, high, null) for low, high in known]
    return sides.count(1), sides.count(-1), len(known)


def verdict(above: int, below: int, known: int, over: str) -> tuple[str, str]:
    """The short answer to "is it above?", and its class.

    Args:
        above, below, known: as `tally` gives them.
        over: what was counted, as `counted` names it.
    """
    if not known:
        return "no interval", "open"
    all_ = {1: "", 2: f" in both {over}"}.get(known, f" in all {known} {over}")
    if above == known:
        return f"yes{all_}", "yes"
    if below == known:
        return f"no{all_}", "no"
    if not above and not below:
        return "not shown", "open"
    parts = [f"yes in {above}"] if above else []
    parts += [f"no in {below}"] if below else []
    open_ = known - above - below
    parts += [f"undecided in {open_}"] if open_ else []
    return f"{', '.join(parts)} of {known} {over}", "open"


def answered(
    question: str,
    cases: Sequence[Case],
    over: str,
    null: float = 0.0,
    at_once: int | None = None,
    unjudged: str = "no interval",
) -> Finding | None:
    """The answer to a question of the kind "is it above `null`?"; None without any case.

    Args:
        over: what the intervals are of.
        at_once: how many phrases the page does not fold.
        unjudged: the answer where no case has an interval to judge by.
    """
    if not cases:
        return None
    told, limits = zip(*cases, strict=True)
    found = [each for some in limits for each in some]
    answer, css = verdict(*tally(found, null), over) if found else (unjudged, "open")
    return Finding(question, answer, css, told[:at_once], told[at_once:] if at_once else ())


def counted(cast: Cast, *further: str) -> str:
    """What an answer counts: languages, or cases if it counts models or `further` things too."""
    *others, last = ["model"] * (len(tuned_models(cast)) > 1) + ["language", *further]
    return f"cases of {', '.join(others)} and {last}" if others else f"{last}s"


def who(cast: Cast, model: str, language: str) -> str:
    """The language's name, with the model if there are several tuned models."""
    name = cast.languages.get(language, language)
    return name if len(tuned_models(cast)) < 2 else f"{model}, {name}"


def by_model(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Model and language in words, and their rows, in the table's order."""
    for (model, language), rows in table.groupby(["model", "language"], sort=False):
        yield f"{model} ({language})", rows


def undone(table: pd.DataFrame, what: str = "") -> list[str]:
    """Why models were not measured in a language; `what` says what is missing."""
    rows = table[table["absent"] != ""].to_dict("records")
    return [f"{row['model']} ({row['language']}): {what}{row['absent']}." for row in rows]


def least_cut_first(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Model and language in words, and their rows; first the model with the fewest cut answers.

    Its numbers are least affected by censoring. Models with equal shares keep their order.
    """
    cut = table.groupby("model")["truncated"].transform("mean").fillna(0)
    ordered = table.loc[cut.sort_values(kind="stable").index]
    for (model, language), rows in ordered.groupby(["model", "language"], sort=False):
        yield f"{model} in {language}", rows


def tuned_rows(table: pd.DataFrame, cast: Cast) -> pd.DataFrame:
    """The rows about tuned models."""
    return table[table["model"].isin(tuned_models(cast))]


def tuned_cases(table: pd.DataFrame, cast: Cast) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each tuned model and language in words, with its rows."""
    own = tuned_rows(table, cast)
    for (model, language), rows in own.groupby(["model", "language"], sort=False):
        yield who(cast, model, language), rows


def rows_alike(table: pd.DataFrame, row: Row) -> pd.DataFrame:
    """The rows about the same model and language as a row of this or another table."""
    return rows_of(table, model=row["model"], language=row["language"])


def limits_of(row: Row, name: str) -> Limits:
    """The interval of a number."""
    return float(row[f"{name}_low"]), float(row[f"{name}_high"])


def reading(limits: Limits, above: str, below: str, neither: str, unknown: str) -> str:
    """What an interval says by its side of zero; `unknown` where there is none."""
    if np.isnan(limits).any():
        return unknown
    return {1: above, -1: below, 0: neither}[side_of(*limits)]


def negated(row: Row, name: str) -> dict[str, float]:
    """A number and its interval with the opposite sign, as columns of a row."""
    low, high = limits_of(row, name)
    return {name: -row[name], f"{name}_low": -high, f"{name}_high": -low}


def n_answers(rows: Row | pd.DataFrame) -> str:
    """ "31 answers"; of several rows the most."""
    return f"{int(np.max(rows['n_samples']))} answers"


def share(row: Row, name: str = "share") -> str:
    """A share in percent with its interval."""
    return estimated(row, name, "percent", after=" %")


def shown(row: Row, name: str, unit: str, sign: bool = False) -> str:
    """A value with its unit and interval."""
    return estimated(row, name, unit, sign, suffix(unit, sign))


def listed(tell: Callable[Given, Iterator[str]]) -> Callable[Given, list[str]]:
    """A function that gives all sentences of a generator at once."""

    @functools.wraps(tell)
    def told(*args: Given.args, **kwargs: Given.kwargs) -> list[str]:
        return list(tell(*args, **kwargs))

    return told
