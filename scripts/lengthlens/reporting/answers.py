"""Short answers to the report's questions, derived from intervals alone.

A question is answered only if a whole interval supports the answer; otherwise it is undecided. Each
piece of evidence carries its value, interval and n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lengthlens.figures.numbers import Row, estimated, suffix
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import tuned_models
from lengthlens.statistics import side_of

Tables = Mapping[str, pd.DataFrame]


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
    limits: Iterable[tuple[float, float]],
    evidence: Sequence[str],
    over: str,
    null: float = 0.0,
) -> Finding:
    """The answer to a question of the kind "is it above `null`?", derived from intervals.

    Args:
        limits: one interval for each item that `over` names; NaN for none.
    """
    answer, css = verdict(*tally(limits, null), over)
    return Finding(question, answer, css, tuple(evidence))


def counted(cast: Cast, *further: str) -> str:
    """What an answer counts: languages, or cases if it counts models or `further` things too."""
    *others, last = ["model"] * (len(tuned_models(cast)) > 1) + ["language", *further]
    return f"cases of {', '.join(others)} and {last}" if others else f"{last}s"


def folded(evidence: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the page shows at once, of the first model and language, and what it folds."""
    return tuple(evidence[:1]), tuple(evidence[1:])


def who(cast: Cast, model: str, language: str) -> str:
    """The language's name, with the model if there are several tuned models."""
    name = cast.languages.get(language, language)
    return name if len(tuned_models(cast)) < 2 else f"{model}, {name}"


def by_model(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Model and language in words, and their rows, in the table's order."""
    for (model, language), rows in table.groupby(["model", "language"], sort=False):
        yield f"{model} ({language})", rows


def rows_alike(table: pd.DataFrame, row: Row) -> pd.DataFrame:
    """The rows about the same model and language as a row of this or another table."""
    return table[(table["model"] == row["model"]) & (table["language"] == row["language"])]


def share(row: Row, name: str = "share") -> str:
    """A share in percent with its interval."""
    return estimated(row, name, "percent", after=" %")


def shown(row: Mapping, name: str, unit: str, sign: bool = False) -> str:
    """A value with its unit and interval."""
    return estimated(row, name, unit, sign, suffix(unit, sign))
