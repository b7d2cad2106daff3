"""Sentences about what tuning changed; they claim no more than the tables' intervals."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from lengthlens.analysis.transplants import OUTSIDE
from lengthlens.figures.numbers import estimated
from lengthlens.figures.style import Cast
from lengthlens.models.depth import LATE, layers_between
from lengthlens.reporting.answers import Finding, Tables, answered, counted, folded, shown, who

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
    """Which parts suffice and which are necessary, by pair, language and measure.

    Args:
        table: tables/transplants.csv.
    """
    own = table[table["measure"].isin(list(_MEASURES)) & ~table["control"].astype(bool)]
    own = own[(own["what"] != "none") & (own["scale"] == 1)]
    own = own[(own["what"] != "all") | (own["layers"] != "")]
    sentences = []
    for names, rows in own.groupby(["tuned", "language", "into", "measure"], sort=False):
        tuned, language, into, measure = names
        who = f"{tuned} ({language}), {_MEASURES[measure]}"
        if rows["share"].isna().all():
            sentences.append(f"{who}: {NO_GAIN}.")
            continue
        verdict, words, none = _SAID[into]
        found = rows[rows["verdict"] == verdict].sort_values("share", ascending=False)
        told = "; ".join(_part(row) for row in found.head(_NAMED).to_dict("records"))
        broken = int((rows["verdict"] == OUTSIDE).sum())
        half = "more than half of the gain from tuning"
        said = f"{words} {half}: {told}" if told else f"{none} {half}"
        sentences.append(
            f"{who}: {said} ({int(rows['n_samples'].max())} prompts; not judged, because neutral "
            f"text leaves the range of both models: {broken} of {len(rows)} parts)."
        )
    return list(dict.fromkeys(sentences))  # without a gain it is the same both ways


def _part(row: dict) -> str:
    components = str(row["components"]) if isinstance(row["components"], str) else ""
    kind = "" if row["what"] == "all" else str(row["what"])
    part = " ".join(filter(None, (kind, _layers(row["layers"]), components)))
    return f"{part} {estimated(row, 'share', 'percent', after=' %')}"


def _layers(places: str) -> str:
    """ "4-5" as "layers 4-5", "5-5" as "layer 5"."""
    first, _, last = places.partition("-")
    return f"layer {first}" if first and first == last else f"layers {places}" * bool(places)


def say_changes(table: pd.DataFrame) -> list[str]:
    """Whether the size of the change in weights predicts where N is carried.

    Args:
        table: tables/weight_change.csv.
    """
    sentences = []
    names = {"head": "heads", "mlp": "MLPs"}
    for (tuned, language, kind), rows in table.groupby(["tuned", "language", "kind"], sort=False):
        row = rows.iloc[0]
        if pd.isna(row["rank_correlation"]):
            continue
        sentences.append(
            f"{tuned} ({language}): across {int(row['n_components'])} {names[kind]}, the change of "
            "weights and the share of the effect of N have a rank correlation of "
            f"{estimated(row, 'rank_correlation', 'correlation')}."
        )
    return sentences


def say_series(table: pd.DataFrame) -> list[str]:
    """Exact answers and the effect of N at the first and the last step of a series.

    Args:
        table: tables/series.csv.
    """
    sentences = []
    units = {"exact": ("exact answers", "percent"), "n_effect": ("the effect of N", "logits")}
    own = table[table["quantity"].isin(list(units))]
    for names, rows in own.groupby(["series", "language", "quantity"], sort=False):
        name, unit = units[names[2]]
        ends = rows.sort_values("step").iloc[[0, -1]].to_dict("records")
        first, last = (f"step {row['step']} {shown(row, 'value', unit)}" for row in ends)
        sentences.append(f"{names[0]} ({names[1]}), {name}: {first}; {last}.")
    return sentences


def late_layers_suffice(tables: Tables, cast: Cast) -> Finding | None:
    """Do the tuned weights of the last quarter of layers recover most of the counting?"""
    question = "Do the tuned weights of the last quarter of layers suffice for counting?"
    return _late(tables["transplants"], cast, "untuned", question, "tuned {} recover")


def late_layers_necessary(tables: Tables, cast: Cast) -> Finding | None:
    """Is most of the counting lost without them?"""
    question = "Are the tuned weights of the last quarter of layers necessary for counting?"
    return _late(tables["transplants"], cast, "tuned", question, "untuned {} remove")


def _late(table: pd.DataFrame, cast: Cast, into: str, question: str, words: str) -> Finding | None:
    own = table[
        table["measure"].isin(list(_MEASURES)) & (table["into"] == into) & (table["what"] == "all")
    ]
    evidence, limits = [], []
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
        evidence.append(f"{who(cast, tuned, language)}: {part} {told}")
        limits += [
            (float(row["share_low"]), float(row["share_high"]))
            for row in found
            if row["neutral_within"] and not pd.isna(row["share"])
        ]
    if not evidence:
        return None
    finding = answered(question, limits, evidence, counted(cast, "measure"), 0.5)
    first, others = folded(evidence)
    finding = replace(finding, evidence=first, further=others)
    return finding if limits else replace(finding, answer="not judged")


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
