"""Titles of figures: sentences that state a result and claim no more than its intervals show.

A title says in which languages (and for which models) an interval lies entirely on one side of the
reference, in which it lies on the other side, and in which the result is undecided. A result
without an interval is undecided, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import SupportsFloat

import pandas as pd

from lengthlens.figures.numbers import NONE, number, suffix
from lengthlens.figures.style import Cast
from lengthlens.statistics import side_of

Row = Mapping | pd.Series


@dataclass(frozen=True)
class Case:
    """A measurement of one model in one language, under the names that readers know."""

    model: str
    language: str
    estimate: float
    low: float
    high: float

    def side(self, null: float = 0.0) -> int:
        """1: wholly above `null`; -1: wholly below; 0: neither, or no interval."""
        return side_of(self.low, self.high, null)

    @property
    def negated(self) -> Case:
        """The same with its sign changed."""
        return Case(self.model, self.language, -self.estimate, -self.high, -self.low)


def tuned_models(cast: Cast) -> list[str]:
    """The models that were tuned to follow a count."""
    return [model for model, tuning in cast.tunings.items() if tuning == "tuned"]


def tuned_first(cast: Cast) -> list[str]:
    """All models, the tuned ones first."""
    return sorted(cast.tunings, key=lambda model: cast.tunings[model] != "tuned")


def told_models(cast: Cast) -> list[str]:
    """The models that titles are about: the tuned ones, or all if none is tuned."""
    return tuned_models(cast) or list(cast.tunings)


def subject(cast: Cast) -> str:
    """How a title names them."""
    models = told_models(cast)
    if len(models) == 1:
        return models[0]
    return "the tuned models" if tuned_models(cast) else "the models"


def case_of(row: Row, name: str, cast: Cast, model: str = "model") -> Case:
    """A number of a table's row with its limits.

    Args:
        row: with `language` and the columns `{name}`, `{name}_low` and `{name}_high`.
        name: of the number; cast: names of the languages.
        model: the column that names the model.
    """
    ends = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return Case(row[model], language_name(row["language"], cast), *ends)


def cases_of(table: pd.DataFrame, name: str, cast: Cast, model: str = "model") -> list[Case]:
    """The numbers of `told_rows`."""
    own = told_rows(table, cast, model)
    return [case_of(row, name, cast, model) for row in own.to_dict("records")]


def told_rows(
    table: pd.DataFrame, cast: Cast, model: str = "model", language: str = "language"
) -> pd.DataFrame:
    """The rows about the models and languages that a title mentions."""
    told = table[model].isin(told_models(cast)) & table[language].isin(list(cast.languages))
    return table[told]


def all_apart(cases: Sequence[Case], others: Sequence[Case]) -> list[Case]:
    """`apart` of cases and others one by one."""
    return [apart(case, other) for case, other in zip(cases, others, strict=True)]


def apart(case: Case, other: Case) -> Case:
    """One number minus another; its limits exclude 0 only if the two intervals do not touch.

    This is stricter than the interval of the difference.
    """
    limits = (case.low - other.high, case.high - other.low)
    return Case(case.model, case.language, case.estimate - other.estimate, *limits)


def language_name(code: str, cast: Cast) -> str:
    """A language's name, without any part in brackets."""
    return cast.languages.get(code, code).partition(" (")[0]


def stated(
    cases: Sequence[Case],
    above: str,
    below: str,
    unsure: str = "",
    null: float = 0.0,
    unit: str | None = None,
) -> str:
    """The title that some intervals allow.

    Args:
        cases: the intervals.
        above, below: clauses for intervals on either side of `null`; "{by}" becomes the size of
            their numbers.
        unsure: what is undecided, after "whether"; `above` where it is not given.
        null: what the intervals are compared with.
        unit: of the numbers (`numbers.UNITS`) that stand for "{by}".
    """
    sides = {side: [case for case in cases if case.side(null) == side] for side in (1, -1, 0)}
    if len(sides[0]) == len(cases):
        told = f" {where(cases, cases)}" if cases else ""
        return f"Whether {unsure or above} is undecided{told}"
    parts = [
        f"{clause.replace('{by}', sizes(found, unit))} {where(found, cases)}"
        for clause, found in ((above, sides[1]), (below, sides[-1]))
        if found
    ]
    if sides[0]:
        parts.append(f"undecided {where(sides[0], cases)}")
    return sentence("; ".join(parts), cases)


def tallied(subjects: Mapping[str, Sequence[Case]], null: float = 0.0) -> str:
    """Of several subjects, in how many cases each lies above: "A in 2 of 3 languages, B in none".

    Cases below are described as the opposite.
    """
    parts, opposite, open_ = [], [], False
    for name, cases in subjects.items():
        sides = [case.side(null) for case in cases]
        held = [case for case, side in zip(cases, sides, strict=True) if side > 0]
        under = [case for case, side in zip(cases, sides, strict=True) if side < 0]
        parts.append(f"{name} {where(held, cases)}" if held else f"{name} nowhere")
        opposite += [f"{name} {where(under, cases)}"] if under else []
        open_ |= 0 in sides
    told = ", ".join(parts)
    told += f"; the opposite: {', '.join(opposite)}" if opposite else ""
    return told + "; undecided elsewhere" * open_


def where(some: Sequence[Case], cases: Sequence[Case]) -> str:
    """In which languages, and for which models, some of several cases are."""
    models = list(dict.fromkeys(case.model for case in cases))
    languages = list(dict.fromkeys(case.language for case in cases))
    if len(models) == 1:
        return f"in {_named([case.language for case in some], len(cases), 'languages')}"
    if len(languages) == 1:
        return f"for {_named([case.model for case in some], len(cases), 'models')}"
    if len(some) == 1:
        return f"for {some[0].model} in {some[0].language}"
    return f"in {_counted(len(some), len(cases), 'cases of model and language')}"


def _named(names: Sequence[str], total: int, over: str) -> str:
    names = list(dict.fromkeys(names))
    return " and ".join(names) if len(names) <= 2 else _counted(len(names), total, over)


def _counted(some: int, total: int, over: str) -> str:
    return f"all {total} {over}" if some == total else f"{some} of {total} {over}"


def sizes(cases: Sequence[Case], unit: str | None) -> str:
    """How large some numbers are, without signs: one with its interval, or the span of more."""
    if unit is None:
        return ""
    after = " points" if unit == "percent" else suffix(unit)
    told = span((abs(case.estimate) for case in cases), unit) + after
    if len(cases) > 1:
        return told
    low, high = sorted((abs(cases[0].low), abs(cases[0].high)))
    return f"{told} [{', '.join(_number(limit, unit) for limit in (low, high))}]"


def span(values: Iterable[SupportsFloat], unit: str) -> str:
    """ "31 to 52", or one number where both ends are written alike; a dash for none."""
    known = [float(value) for value in values if not pd.isna(value)]
    if not known:
        return NONE
    low, high = (_number(end(known), unit) for end in (min, max))
    return low if low == high else f"{low} to {high}"


def _number(value: float, unit: str) -> str:
    """Percent without decimals, which a title has no room for."""
    return number(100 * value, "count") if unit == "percent" else number(value, unit)


def sentence(text: str, cases: Sequence[Case]) -> str:
    """With a capital, unless it begins with the name of a model."""
    first = text.partition(" ")[0]
    return text if first in {case.model for case in cases} else text[:1].upper() + text[1:]
