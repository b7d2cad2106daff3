"""Sentences about where N is and which heads read it, within the tables' intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from lengthlens.analysis.tables import rows_of
from lengthlens.figures.numbers import Row, in_brackets, number
from lengthlens.figures.tracing import ROLE_NAMES, ROLES
from lengthlens.reporting.answers import by_model, listed, n_answers, share

HALF, _SOME = 0.5, 0.05  # of the effect of N
_SWAP = 1


@listed
def say_places(table: pd.DataFrame) -> Iterator[str]:
    """Where less than half of the effect of N passes: the story tells where more does
    (tables/tracing.csv).
    """
    own = rows_of(table, swap=_SWAP, direction="noising")
    for who, rows in by_model(own[own["share"].notna()]):
        some = _layers_by_role(rows[rows["share_low"].between(_SOME, HALF, inclusive="right")])
        some = some or "no other part of the text"
        yield (
            f"{who}: more than 5 % of the effect of N, but not shown to be more than half, travels "
            f"through {some} ({n_answers(rows)}, noising)."
        )


@listed
def say_heads(table: pd.DataFrame) -> Iterator[str]:
    """What the heads of the circuit attend to, and what is lost if they are kept from it.

    A head is named if more than half of its attention lies on one part of the text, with the
    whole interval.

    Args:
        table: tables/circuit_heads.csv.
    """
    for who, rows in by_model(rows_of(table, swap=_SWAP)):
        heads = rows["component"][rows["attention"].notna()].nunique()
        told = [
            f"to {ROLE_NAMES[role]}: {', '.join(map(_one_head, part.to_dict('records')))}"
            for role, part in rows[rows["low"] > HALF].groupby("role", sort=False)
        ]
        which = "these direct" if told else "none is shown to direct"
        said = f", {'; '.join(told)}" if told else ""
        yield (
            f"{who}: of the circuit's {heads} heads, {which} more than half of their attention to "
            f"one part of the text when the model decides{said} "
            f"({int(rows['n_decided'].max())} answers)."
        )


@listed
def say_knockouts(table: pd.DataFrame) -> Iterator[str]:
    """In which layers the last token reads N, and from where (tables/knockout.csv)."""
    own = table[table["role"].isin(list(ROLES))]
    for who, rows in by_model(rows_of(own, swap=_SWAP)):
        if rows["share"].isna().all():
            continue
        lost = rows[rows["share_low"] > _SOME].sort_values("share", ascending=False, kind="stable")
        told = "; ".join(
            f"layer {row['layer']} to {ROLE_NAMES[row['role']]} {share(row)}"
            for row in lost.head(4).to_dict("records")
        )
        said = f"removes these shares of the effect of N: {told}"
        said = said if told else "is not shown to remove more than 5 % of the effect of N"
        yield (
            f"{who}: blocking the last token's attention to one part of the text in one layer "
            f"{said} ({n_answers(rows)}; shares need not add up to 100 %)."
        )


def say_roles(rows: pd.DataFrame, between: str = ", ") -> str:
    """The parts of the text with more than half of the effect of N, by their first layers."""
    return _layers_by_role(rows[rows["share_low"] > HALF], between)


def _one_head(row: Row) -> str:
    """How much a head attends to that part; what is lost without it, only if that is above 5 %."""
    told = f"{row['component']} {number(row['attention'], 'percent')} % "
    told += in_brackets(row["low"], row["high"], "percent")
    if row["share_low"] > _SOME:
        told += f" (blocking this removes {share(row)} of the effect of N)"
    return told


def _layers_by_role(rows: pd.DataFrame, between: str = ", ") -> str:
    """The layers of every role, such as "the number (layer 0), the final mark (layers 1-3)"."""
    layers = {role: np.unique(rows["layer"][rows["role"] == role]) for role in ROLES}
    found = sorted((role for role in ROLES if len(layers[role])), key=lambda role: layers[role][0])
    return between.join(f"{ROLE_NAMES[role]} ({_ranges(layers[role])})" for role in found)


def _ranges(layers: np.ndarray) -> str:
    """1, 2, 3, 5 -> "layers 1-3, 5" with a true dash."""
    runs = np.split(layers, np.flatnonzero(np.diff(layers) > 1) + 1)
    told = (f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
    return f"layer{'s' * (len(layers) > 1)} {', '.join(told)}"
