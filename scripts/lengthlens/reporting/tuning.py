"""Sentences about what tuning changed; they claim no more than the tables' intervals."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from lengthlens.analysis.tables import rows_of
from lengthlens.analysis.transplants import OUTSIDE
from lengthlens.figures.numbers import estimated
from lengthlens.figures.style import Cast
from lengthlens.models.depth import LATE, layers_between
from lengthlens.reporting.answers import (
    Finding,
    Tables,
    answered,
    counted,
    limits_of,
    listed,
    share,
    shown,
    who,
)

_MEASURES = {"exact": "exact answers", "n_effect": "the effect of N"}
_SAID = {
    "untuned": ("suffices", "each of these parts suffices for", "no part is shown to suffice for"),
    "tuned": (
        "necessary",
        "each of these parts is necessary for",
        "no part is shown to be necessary for",
    ),
}
_NAMED = 6
NO_GAIN = "no gain from tuning is shown"


def say_transplants(table: pd.DataFrame) -> list[str]:
    """Which parts suffice and which are necessary, by pair, language and measure
    (tables/transplants.csv).
    """
    own = table[table["measure"].isin(list(_MEASURES)) & ~table["control"].astype(bool)]
    own = own[(own["what"] != "none") & (own["scale"] == 1)]
    own = own[(own["what"] != "all") | (own["layers"] != "")]
    groups = own.groupby(["tuned", "language", "into", "measure"], sort=False)
    told = [
        f"{tuned} ({language}), {_MEASURES[measure]}: {_judged(rows, into)}."
        for (tuned, language, into, measure), rows in groups
    ]
    return list(dict.fromkeys(told))  # without a gain it is the same both ways


def _judged(rows: pd.DataFrame, into: str) -> str:
    """Which parts suffice or are necessary, and how many break the model."""
    if rows["share"].isna().all():
        return NO_GAIN
    verdict, words, none = _SAID[into]
    found = rows_of(rows, verdict=verdict).sort_values("share", ascending=False)
    told = "; ".join(_part(row) for row in found.head(_NAMED).to_dict("records"))
    half = "more than half of the gain from tuning"
    said = f"{words} {half}: {told}" if told else f"{none} {half}"
    return (
        f"{said} ({int(rows['n_samples'].max())} prompts; not judged, because neutral text leaves "
        f"the range of both models: {(rows['verdict'] == OUTSIDE).sum()} of {len(rows)} parts)"
    )


def _part(row: dict) -> str:
    components = str(row["components"]) if isinstance(row["components"], str) else ""
    kind = "" if row["what"] == "all" else str(row["what"])
    part = " ".join(filter(None, (kind, _layers(row["layers"]), components)))
    return f"{part} {share(row)}"


def _layers(places: str) -> str:
    """ "4-5" as "layers 4-5", "5-5" as "layer 5"."""
    first, _, last = places.partition("-")
    return f"layer {first}" if first and first == last else f"layers {places}" * bool(places)


@listed
def say_changes(table: pd.DataFrame) -> Iterator[str]:
    """Whether the size of the change in weights predicts where N is carried
    (tables/weight_change.csv).
    """
    names = {"head": "heads", "mlp": "MLPs"}
    for (tuned, language, kind), rows in table.groupby(["tuned", "language", "kind"], sort=False):
        row = rows.iloc[0]
        if pd.isna(row["rank_correlation"]):
            continue
        yield (
            f"{tuned} ({language}): across {int(row['n_components'])} {names[kind]}, the change of "
            "weights and the share of the effect of N have a rank correlation of "
            f"{estimated(row, 'rank_correlation', 'correlation')}."
        )


@listed
def say_series(table: pd.DataFrame) -> Iterator[str]:
    """Exact answers and the effect of N at the first and the last step of a series
    (tables/series.csv).
    """
    units = {"exact": "percent", "n_effect": "logits"}
    own = table[table["quantity"].isin(list(units))]
    groups = own.groupby(["series", "language", "quantity"], sort=False)
    for (series, language, quantity), rows in groups:
        ends = rows.sort_values("step").iloc[[0, -1]].to_dict("records")
        told = (f"step {row['step']} {shown(row, 'value', units[quantity])}" for row in ends)
        yield f"{series} ({language}), {_MEASURES[quantity]}: {'; '.join(told)}."


def late_layers_suffice(tables: Tables, cast: Cast) -> Finding | None:
    """Do the tuned weights of the last quarter of layers recover most of the counting?"""
    question = "Do the tuned weights of the last quarter of layers suffice for counting?"
    return _late(tables["transplants"], cast, "untuned", question, "tuned {} recover")


def late_layers_necessary(tables: Tables, cast: Cast) -> Finding | None:
    """Is most of the counting lost without them?"""
    question = "Are the tuned weights of the last quarter of layers necessary for counting?"
    return _late(tables["transplants"], cast, "tuned", question, "untuned {} remove")


def _late(table: pd.DataFrame, cast: Cast, into: str, question: str, words: str) -> Finding | None:
    own = rows_of(table[table["measure"].isin(list(_MEASURES))], into=into, what="all")
    cases = []
    for (tuned, language), rows in own.groupby(["tuned", "language"], sort=False):
        ends = rows["layers"].astype(str).str.extract(r"^(\d+)-(\d+)$").dropna().astype(int)
        if ends.empty:
            continue
        n_layers = int(ends[1].max()) + 1
        late = [f"{first}-{n_layers - 1}" for first in layers_between(n_layers, *LATE)[:1]]
        found = rows[rows["layers"].isin(late)].to_dict("records")
        if not found:
            continue
        told = " and ".join(_brought(row) for row in found)
        part = words.format(f"weights in {_layers(late[0])}")
        limits = [
            limits_of(row, "share")
            for row in found
            if row["neutral_within"] and not pd.isna(row["share"])
        ]
        cases.append((f"{who(cast, tuned, language)}: {part} {told}", limits))
    over = counted(cast, "measure")
    return answered(question, cases, over, 0.5, at_once=1, unjudged="not judged")


def _brought(row: dict) -> str:
    """A share of the gain from tuning, or the reason why it is not judged."""
    of = _MEASURES[row["measure"]]
    if pd.isna(row["share"]):
        return f"no share of {of}, because {NO_GAIN}"
    outside = "" if row["neutral_within"] else "; not judged: neutral text is outside the range"
    return (
        f"{shown(row, 'share', 'percent')} of the gain in {of} "
        f"({row['n_samples']} prompts{outside})"
    )
