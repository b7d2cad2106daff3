"""Sentences of the report that say only what claims.csv and tables/ablation.csv contain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lengthlens.ablation.hypotheses import CONFIRMATORY
from lengthlens.analysis.outcomes import SHARES
from lengthlens.analysis.tables import in_own_language, rows_of
from lengthlens.claims.themes import THEMES
from lengthlens.claims.verdicts import NO_DATA
from lengthlens.figures.numbers import MINUS, interval, number, suffix
from lengthlens.figures.style import METHOD_NAMES
from lengthlens.statistics import side_of

VERDICT_CLASSES = {
    "supported": "yes",
    "not supported": "no",
    "undecided": "open",
    "undecided (censored)": "open",
    NO_DATA: "none",
}
METHOD_WORDS = METHOD_NAMES | {
    "late_heads": "last quarter, all heads",
    "early_heads": "first quarter, all heads",
    "final_mlp": "final MLP",
    "late_heads_and_final_mlp": "last quarter, all heads and final MLP",
}
MEASURE_WORDS = {
    "exact": "exact answers",
    "early": "answers too short",
    "late": "answers too long",
    "truncated": "cut answers",
    "error": "word-count error",
    "absolute_error": "size of the error",
    "end_margin": "end margin",
    "neutral_loglik": "log-likelihood of neutral text per token",
}
MEASURE_UNITS = dict.fromkeys(SHARES, "percent") | {
    "error": "words",
    "absolute_error": "words",
    "end_margin": "logits",
    "neutral_loglik": "logits",
}
# The unit of a claim: how its numbers are written, and what follows them.
CLAIM_UNITS = {
    "words": ("words", suffix("words")),
    "share": ("percent", suffix("percent")),
    "share difference": ("percent", suffix("percent", difference=True)),
    "logits": ("logits", suffix("logits")),
    "correlation": ("correlation", suffix("correlation")),
    "words per token": ("words", " words per additional token per word"),
    "R²": ("correlation", " of what the text leaves unexplained"),
    "words per word": ("words", " words per word of shift"),
    "share per token": ("percent", " points per additional token per word"),
}
MODE_WORDS = {"zero": "", "mean": ", mean", "resample": ", resampled"}


def method_words(method: str) -> str:
    """A method, or a set by position, as people call it."""
    return METHOD_WORDS.get(method, method.replace("_", " "))


@dataclass(frozen=True)
class Claim:
    """A row of the table of claims, in words."""

    id: str
    text: str
    origin: str
    paper: str
    value: str
    interval: str
    level: str
    n: str
    statistic: str
    condition: str
    verdict: str
    css: str
    reason: str
    truncated: str
    preregistered: bool


def describe_claims(claims: pd.DataFrame) -> list[Claim]:
    """The rows of claims.csv, in their order, as text; the ids of several pairs are numbered."""
    place = (claims.groupby("id").cumcount() + 1).astype(str)
    ids = claims["id"].mask(claims["id"].duplicated(keep=False), claims["id"] + "-" + place)
    return [_claim(row) for row in claims.assign(id=ids).to_dict("records")]


def _claim(row: Mapping) -> Claim:
    unit, after = CLAIM_UNITS[row["unit"]]
    counted = "components" if row["unit"] == "correlation" else "answers"
    known, sign = pd.notna(row["value"]), row["unit"] != "share"
    paper = re.sub(r"(?<!\w)-(?=\d)", MINUS, row["paper_says"])
    if not paper and pd.notna(row["paper"]):
        paper = number(row["paper"], unit, sign=True) + after
    return Claim(
        id=row["id"],
        text=row["claim"],
        origin=row["origin"],
        paper=paper,
        value=number(row["value"], unit, sign) + (after if known else ""),
        interval=interval(row["low"], row["high"], unit, sign),
        level=f"{100 * row['level']:.0f}\u202f%",
        n=f"{row['n']} {counted}, {row['n_topics']} topics" if row["n"] else "none",
        statistic=row["statistic"],
        condition=_condition(row, unit, after),
        verdict=row["verdict"],
        css=VERDICT_CLASSES.get(row["verdict"], "open"),
        reason=row["reason"],
        truncated=f"{100 * row['truncated']:.0f}\u202f%" if row.get("truncated", 0) > 0 else "",
        preregistered=row["status"] == CONFIRMATORY,
    )


def _condition(row: Mapping, unit: str, after: str) -> str:
    null = number(row["null"], unit) + after
    if row["direction"] == "near":
        return f"within {number(row['margin'], unit)} of {null}"
    return f"{row['direction']} {null}"


def count_verdicts(claims: pd.DataFrame) -> list[tuple[str, str, int]]:
    """(verdict, its CSS class, how many claims have it), of those that occur."""
    counts = claims["verdict"].value_counts()
    return [
        (name, css, int(counts[name])) for name, css in VERDICT_CLASSES.items() if name in counts
    ]


@dataclass(frozen=True)
class ClaimGroup:
    """Claims of one theme, with how many got each verdict."""

    title: str
    claims: Sequence[Claim]
    verdicts: Sequence[tuple[str, str, int]]


def group_claims(claims: pd.DataFrame) -> list[ClaimGroup]:
    """The claims that a run has data for by theme, in the order of `THEMES`."""
    described = pd.Series(describe_claims(claims), index=claims.index, dtype=object)
    judged = claims[claims["verdict"] != NO_DATA]
    return [
        ClaimGroup(title, described[own.index].tolist(), count_verdicts(own))
        for theme, title in THEMES.items()
        if len(own := judged[judged["theme"] == theme])
    ]


@dataclass(frozen=True)
class Effect:
    """What removing a chosen set does to exact answers, against random heads."""

    model: str
    language: str
    chosen: str
    effect: str
    interval: str
    basis: str
    verdict: str
    css: str


def describe_effects(
    effects: pd.DataFrame, tunings: Mapping[str, str], names: Mapping[str, str]
) -> list[Effect]:
    """What the largest set that has controls does to exact answers, by method, model and language.

    Where no set has any, the largest is named with no interval.

    Args:
        effects: tables/ablation.csv.
        tunings: model -> tuning; only tuned models, which keep to a count, are described.
        names: language code -> name.
    """
    own = in_own_language(effects)
    kept = rows_of(own[own["model"].map(tunings) == "tuned"], measure="exact", chosen_by="top")
    groups = kept.groupby(["model", "language", "method", "mode"], sort=False)
    return [_effect(_largest(part), names) for _, part in groups]


def _largest(part: pd.DataFrame) -> pd.Series:
    """The row of the largest k that has an interval; without one, of the largest k."""
    known = part[part["effect_low"].notna()]
    rows = known if len(known) else part
    return rows.loc[rows["k"].idxmax()]


def _effect(row: pd.Series, names: Mapping[str, str]) -> Effect:
    low, high = row["effect_low"], row["effect_high"]
    verdict, css = {
        1: ("hurts less than the average random set", "yes"),
        -1: ("hurts more than the average random set", "no"),
        0: ("no difference shown", "open"),
    }[side_of(low, high)]
    if pd.isna(low):
        verdict, css = "no interval", "none"
    heads = f"{row['k']} heads" if row["k"] > 1 else "1 head"
    return Effect(
        model=row["model"],
        language=names[row["language"]],
        chosen=f"{heads} by {method_words(row['method'])}{MODE_WORDS[row['mode']]}",
        effect=number(row["effect"], "percent", sign=True)
        + " points" * bool(pd.notna(row["effect"])),
        interval=interval(low, high, "percent", True),
        basis=f"{row['n_samples']} answers, {row['n_controls']} random sets",
        verdict=verdict,
        css=css,
    )
