"""The summary's picture: exact answers with no heads removed, chosen heads, or random heads.

There is a row per method for every k (number of removed heads) and language. It shows the share of
exact answers without the heads that the method ranks highest, and without as many random heads of
the same layers. The reader of the page can choose k. The numbers are those of tables/ablation.csv.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lengthlens.figures.numbers import estimated, interval, number, suffix
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import tuned_models
from lengthlens.reporting.answers import who
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
    own = effects[
        (effects["measure"] == "exact") & (effects["chosen_by"] == "top")
        & (effects["kind"] == "head") & effects["chosen"].notna()
        & (effects["source_language"] == effects["language"])
        & effects["model"].isin(tuned_models(cast))
    ]  # fmt: skip
    own = own[own["mode"].isin(own["mode"].unique()[:1])]
    if own.empty:
        return None
    whole = behaviour[(behaviour["n"] == "all") & (behaviour["split"] == "evaluate")]
    doses = {
        int(k): tuple(
            (who(cast, model, language), _rows(rows, whole, model, language))
            for (model, language), rows in part.groupby(["model", "language"], sort=False)
        )
        for k, part in own.groupby("k")
    }
    return Lead(doses, min(doses))


def _rows(effects: pd.DataFrame, whole: pd.DataFrame, model: str, language: str) -> tuple[Row, ...]:
    found = whole[(whole["model"] == model) & (whole["language"] == language)]
    rows = [
        Row(
            "nothing removed",
            "tuned",
            _mark(row, "exact"),
            basis=f"{row['n_samples']} answers, evaluate half",
        )
        for row in found.to_dict("records")
    ]
    for row in effects.to_dict("records"):
        tried = row["n_controls"] > 0 and not pd.isna(row["control"])
        rival = {"control": row["control"], "control_low": float("nan")}
        rival["control_high"] = float("nan")
        rows.append(
            Row(
                label=f"top {int(row['k'])} by {method_words(row['method'])}",
                css=str(row["method"]).replace("_", "-"),
                mark=_mark(row, "chosen"),
                rival=_mark(rival, "control") if tried else None,
                effect=estimated(row, "effect", "percent", True, " points") if tried else "",
                basis=f"{row['n_samples']} answers, {int(row['n_controls'])} random sets",
            )
        )
    return tuple(rows)


def _mark(row: Mapping, name: str) -> Mark:
    value, low, high = (100 * row[f"{name}{end}"] for end in ("", "_low", "_high"))
    limits = interval(low / 100, high / 100, "percent")
    known = not (pd.isna(low) or pd.isna(high))
    text = f"{number(value / 100, 'percent')}{suffix('percent')}"
    return Mark(
        round(value, 1),
        round(low if known else value, 1),
        round(high if known else value, 1),
        f"{text} {limits}" if known else text,
    )
