"""The study's questions with the answers that a run gives: the findings of the summary.

A function takes the run's tables and its cast and gives a `Finding`, or None where the run has
nothing on it. Which section asks what is declared in `sections`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from lengthlens.figures.scores import SCORE_NAMES
from lengthlens.figures.style import Cast
from lengthlens.reporting.answers import (
    Finding,
    Tables,
    answered,
    instruct_models,
    shown,
    tally,
    who,
)
from lengthlens.reporting.causes import confirmatory_sentences
from lengthlens.reporting.findings import method_words
from lengthlens.reporting.numbers import in_brackets, number
from lengthlens.reporting.tokenization import POOR


def keeps_to_n(tables: Tables, cast: Cast) -> Finding | None:
    """Do instruct models give exactly N words more often than base models?"""
    table = tables["behaviour"]
    whole = table[(table["n"] == "all") & (table["split"] == "all")]
    own = whole[whole["model"].isin(instruct_models(cast))]
    base = whole[~whole["model"].isin(instruct_models(cast))]
    if own.empty or base.empty:
        return None
    evidence, gaps = [], []
    for row in own.to_dict("records"):
        rivals = base[base["language"] == row["language"]]
        for rival in rivals.to_dict("records"):
            # Intervals that do not even touch: a stricter test than that of their difference.
            gaps.append(
                (row["exact_low"] - rival["exact_high"], row["exact_high"] - rival["exact_low"])
            )
            evidence.append(
                f"{who(cast, row['model'], row['language'])}: {shown(row, 'exact', 'percent')} of "
                f"{row['n_samples']} answers have exactly N words, the base model's "
                f"{shown(rival, 'exact', 'percent')} of {rival['n_samples']}"
            )
    question = "Do instruct models keep to N more often than base models?"
    return answered(question, gaps, evidence, "languages")


def more_than_text(tables: Tables, cast: Cast) -> Finding | None:
    """How much of the difference in CWA do the texts alone make?"""
    table = tables["same_text"]
    rows = table[(table["group"] == "late heads") & (table["quantity"] == "share")]
    if rows.empty:
        return None
    evidence, limits = [], []
    for row in rows.to_dict("records"):
        name = who(cast, row["instruct"], row["language"])
        if pd.isna(row["value"]):
            evidence.append(f"{name}: no difference is shown that could be explained")
            continue
        limits.append((row["value_low"], row["value_high"]))
        evidence.append(
            f"{name}: {shown(row, 'value', 'percent')} of the difference in the late heads comes "
            f"with the texts alone ({row['n_samples']} answers)"
        )
    question = (
        "Does what was written, rather than who wrote it, make most of the difference in CWA?"
    )
    return answered(question, limits, evidence, "languages", 0.5)


def scores_find_causes(tables: Tables, cast: Cast) -> Finding | None:
    """Within a layer, does a score say which head matters?"""
    table = tables["scores"]
    rows = table[
        (table["kind"] == "head") & (table["outcome"] == "decision") & (table["over"] == "within")
        & table["model"].isin(instruct_models(cast))
    ]  # fmt: skip
    rows = rows[rows["mode"].isin(rows["mode"].unique()[:1])]
    rows = rows[rows["score"].isin(("cwa", "end_contrast", "nswap")) & rows["correlation"].notna()]
    if rows.empty:
        return None
    evidence, limits = [], []
    for score, own in rows.groupby("score", sort=False):
        parts = []
        for row in own.to_dict("records"):
            limits.append((row["correlation_low"], row["correlation_high"]))
            name = who(cast, row["model"], row["language"])
            parts.append(f"{name} {shown(row, 'correlation', 'correlation')}")
        basis = f"{_span(own, 'n_evaluate')} answers"
        evidence.append(
            f"{SCORE_NAMES[score]}, rank correlation within layers: {', '.join(parts)} ({basis})"
        )
    question = "Do scores tell which head of a layer matters for the decision?"
    return answered(question, limits, evidence, "cases")


def beyond_random(tables: Tables, cast: Cast) -> Finding | None:
    """The confirmatory tests: how many showed what was claimed."""
    table = tables["confirmatory"]
    if table.empty:
        return None
    made = table[table["verdict"] != "not tested"]
    shown_ = int((made["verdict"] == "shown").sum())
    said = f"shown in {shown_} of {len(made)} tests" if len(made) else "no test could be made"
    css = "yes" if len(made) and shown_ == len(made) else "open"
    return Finding(
        "Do the highest-ranked heads do more than random heads of their layers?",
        said,
        css,
        tuple(text for text in confirmatory_sentences(table) if not text.startswith("Not tested")),
    )


def steps_in(tables: Tables, cast: Cast) -> Finding | None:
    """Does the final MLP make up for removed heads?"""
    table = tables["repair"]
    single = table["minus"].isna() | table["minus"].eq("")  # not a difference of two languages
    rows = table[
        (table["term"] == "final_mlp") & table["share"].notna()
        & table["model"].isin(instruct_models(cast)) & single
    ]  # fmt: skip
    rows = rows[rows["mode"].isin(rows["mode"].unique()[:1])]
    late = rows["method"] == "late_heads"
    rows = rows[late if late.any() else rows["method"].isin(rows["method"].unique()[:1])]
    if rows.empty:
        return None
    last = rows.loc[rows.groupby(["model", "language"], sort=False)["k"].idxmax()]
    evidence, limits = [], []
    for row in last.to_dict("records"):
        # A share of the drop is what the MLP gives less; what it steps in with is the opposite.
        gain = {"x": -row["share"], "x_low": -row["share_high"], "x_high": -row["share_low"]}
        limits.append((gain["x_low"], gain["x_high"]))
        evidence.append(
            f"{who(cast, row['model'], row['language'])}: {shown(gain, 'x', 'logits', True)} of "
            f"end margin from the final MLP when {_heads(row)} are gone "
            f"({row['n_samples']} answers)"
        )
    question = "Does the final MLP step in when heads are removed?"
    return answered(question, limits, evidence, "languages")


def carries_over(tables: Tables, cast: Cast) -> Finding | None:
    """Do heads found in one language do it in another?"""
    table = tables["transfer"]
    rows = table[
        (table["measure"] == "end_margin") & (table["source_language"] != table["target_language"])
        & table["model"].isin(instruct_models(cast)) & table["effect"].notna()
    ]  # fmt: skip
    if rows.empty:
        return None
    # Removing heads that carry control lowers the margin: the effect changes its sign.
    limits = [
        (-row.effect_high, -row.effect_low)
        for row in rows.itertuples()
        if not pd.isna(row.effect_low)
    ]
    evidence = []
    for target, own in rows.groupby("target_language", sort=False):
        lower, higher, known = tally(
            (-row.effect_high, -row.effect_low) for row in own.itertuples()
        )
        untuned = " (never tuned)" if own["untuned"].astype(bool).any() else ""
        where = f"{cast.languages.get(target, target)}{untuned}"
        evidence.append(
            f"Removed in {where}, heads found elsewhere lower the end margin by more than random "
            f"heads in {lower} of {known} cases of method and source, by less in {higher}; "
            f"effects {_range(own)} ({_span(own, 'n_samples')} answers)"
        )
    question = "Do heads found in one language work in another?"
    return answered(question, limits, evidence, "cases")


def _range(rows: pd.DataFrame) -> str:
    """The smallest and the largest effect, each with its interval."""
    places = rows["effect"].idxmin(), rows["effect"].idxmax()
    least, most = (rows.loc[place].to_dict() for place in places)
    if least["effect"] == most["effect"]:
        return shown(least, "effect", "logits", True)
    return (
        f"from {shown(least, 'effect', 'logits', True)} to {shown(most, 'effect', 'logits', True)}"
    )


def _span(rows: pd.DataFrame, name: str) -> str:
    """The smallest and the largest of some counts; one number where they are equal."""
    few, many = rows[name].min(), rows[name].max()
    return str(few) if few == many else f"{few} to {many}"


def _heads(row: Mapping) -> str:
    if row["chosen_by"] == "position":
        return "all heads of the last quarter of layers"
    return f"the top {int(row['k'])} heads by {method_words(row['method'])}"


def words_or_tokens(tables: Tables, cast: Cast) -> Finding | None:
    """Does one word a token make answers more exact?"""
    table = tables["tokenization"]
    own = table[
        table["model"].isin(instruct_models(cast))
        & ~table["language"].isin(table["reference"].dropna())
    ]  # every word of a reference is one token anyway
    evidence, limits = [], []
    for (model, language), rows in own.groupby(["model", "language"], sort=False):
        measures = rows[rows["measure"].isin(("coverage", "degenerate"))].set_index("measure")
        if "coverage" not in measures.index:
            continue
        poor = max(1 - measures["value"]["coverage"], measures["value"]["degenerate"]) > POOR
        alone = rows["reference"].isna() | rows["reference"].eq("")
        found = rows[(rows["measure"] == "exact") & (rows["quantity"] == "change") & alone]
        found = found[found["value"].notna()]
        for row in found.to_dict("records"):
            text = (
                f"{who(cast, model, language)}: {shown(row, 'value', 'percent', True)} of exact "
                f"answers when every token is one word ({row['n_samples']} answers)"
            )
            if poor:
                text += ", but then it is another, poorer language: not counted"
            else:
                limits.append((row["value_low"], row["value_high"]))
            evidence.append(text)
    if not evidence:
        return None
    question = "Is it the tokenizer: do answers get more exact when every token is one word?"
    finding = answered(question, limits, evidence, "languages")
    return finding if limits else replace(finding, answer="cannot be told")


def extends(tables: Tables, cast: Cast) -> Finding | None:
    """Beyond the N of the study, does asking for more bring more?"""
    table = tables["extrapolation"]
    rows = table[(table["probe"] == "extrapolation") & table["model"].isin(instruct_models(cast))]
    evidence, limits = [], []
    for (model, language), own in rows.groupby(["model", "language"], sort=False):
        first, *_, last = [own.iloc[0].to_dict(), *own.to_dict("records")]
        if pd.isna(first["gain"]):
            continue
        limits.append((first["gain_low"], first["gain_high"]))
        evidence.append(
            f"{who(cast, model, language)}, N = {first['n']} to {last['n']}: "
            f"{shown(first, 'gain', 'words')} more for each word asked for more; at "
            f"N = {last['n']} the error is {shown(last, 'error', 'words', True)} "
            f"({own['n_samples'].sum()} answers)"
        )
    if not evidence:
        return None
    question = "Asked for more words than the study does, does the model write more?"
    return answered(question, limits, evidence, "languages")


def harder_n(tables: Tables, cast: Cast) -> Finding | None:
    """Is some N harder than its neighbours?"""
    table = tables["dip"]
    rows = table[
        (table["against"] == "neighbours") & table["measure"].isin(("exact", "absolute_error"))
        & table["model"].isin(instruct_models(cast))
    ]  # fmt: skip
    if rows.empty:
        return None
    evidence, worse = [], 0
    for (model, language), own in rows.groupby(["model", "language"], sort=False):
        bad = own[own["verdict"] == "worse"]
        worse += len(bad) > 0
        parts = [
            f"N = {row['n']} ({_dip(row)}; {row['n_samples']} answers)"
            for row in bad.to_dict("records")
        ]
        name = who(cast, model, language)
        evidence.append(
            f"{name}: {', '.join(parts)}"
            if parts
            else f"{name}: none is shown among {own['n'].nunique()} N "
            f"({_span(own, 'n_samples')} answers each)"
        )
    cases = rows.groupby(["model", "language"]).ngroups
    said = f"yes in {worse} of {cases} languages" if worse else "not shown"
    return Finding(
        "Is any N harder than its neighbours? (exploratory)", said, "open", tuple(evidence)
    )


def _dip(row: Mapping) -> str:
    unit = "percent" if row["measure"] == "exact" else "words"
    limits = in_brackets(row["all_low"], row["all_high"], unit, True)
    what = "points of exact answers" if unit == "percent" else "words of |error|"
    return f"{number(row['value'], unit, True)} {what}, limits for all N together {limits}"
