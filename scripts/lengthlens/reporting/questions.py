"""The study's questions with the answers that a run gives: the findings of the summary.

Each function takes the run's tables and its cast and returns a `Finding`, or None if the run has
no data on the question. `sections` declares which section uses which question.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lengthlens.ablation.hypotheses import CONFIRMATORY
from lengthlens.analysis.tables import first_of, in_own_language, rows_of
from lengthlens.figures.numbers import Row, in_brackets, number
from lengthlens.figures.scores import OUTCOME_NAMES, SCORE_NAMES
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import span, tuned_models
from lengthlens.figures.tokenization import is_poor
from lengthlens.reporting.answers import (
    Finding,
    Tables,
    answered,
    counted,
    limits_of,
    n_answers,
    negated,
    rows_alike,
    shown,
    tally,
    tuned_cases,
    tuned_rows,
    who,
)
from lengthlens.reporting.causes import confirmatory_sentences, test_counts
from lengthlens.reporting.findings import method_words
from lengthlens.reporting.forced_findings import text_shares

_FEW = 0.1  # of the answers, from which on it is told that they are in another language


def keeps_to_n(tables: Tables, cast: Cast) -> Finding | None:
    """Do tuned models give exactly N words more often than untuned models?"""
    whole = rows_of(tables["behaviour"], n="all", split="all")
    tuned = whole["model"].isin(tuned_models(cast))
    untuned = whole[~tuned]
    models, cases = [], []
    for row in whole[tuned].to_dict("records"):
        rivals = rows_of(untuned, language=row["language"])
        for rival in rivals.to_dict("records"):
            # Intervals that do not even touch: a stricter test than that of their difference.
            gap = (row["exact_low"] - rival["exact_high"], row["exact_high"] - rival["exact_low"])
            whose = "the untuned model" if len(rivals) == 1 else rival["model"]
            line = (
                f"{who(cast, row['model'], row['language'])}: {shown(row, 'exact', 'percent')} of "
                f"{n_answers(row)} have exactly N words, against {whose}'s "
                f"{shown(rival, 'exact', 'percent')} of {rival['n_samples']} (all prompts)"
                f"{_by_chance(tables, row)}{_elsewhere(row)}{_beyond(tables, row)}"
            )
            models.append(row["model"])
            cases.append((line, [gap]))
    question = "Do tuned models keep to N more often than untuned models?"
    over = counted(cast, *["untuned model"] * (untuned["model"].nunique() > 1))
    return answered(question, cases, over, at_once=models.count(models[0]) if models else None)


def _by_chance(tables: Tables, row: Mapping) -> str:
    """What the same answers would reach if each belonged to another N."""
    if "control" not in tables:
        return ""
    return "".join(
        f"; by chance (N permuted) it would be {number(chance, 'percent')} %"
        for chance in rows_alike(tables["control"], row)["chance"].dropna()
    )


def _elsewhere(row: Mapping) -> str:
    """The share of all answers that are in another language, if that is more than a few."""
    if not row["other_language"] > _FEW:
        return ""
    return f". Of all answers {number(row['other_language'], 'percent')} % are in another language"


def _beyond(tables: Tables, row: Mapping) -> str:
    """What becomes of the answers at the largest N beyond the study's."""
    if "extrapolation" not in tables:
        return ""
    found = rows_of(rows_alike(tables["extrapolation"], row), probe="extrapolation")
    return "".join(
        f". Beyond the study's N, at N = {last['n']}, {shown(last, 'exact', 'percent')} of "
        f"{n_answers(last)} are exact, and the error is {shown(last, 'error', 'words', True)}"
        for last in found.tail(1).to_dict("records")
    )


def more_than_text(tables: Tables, cast: Cast) -> Finding | None:
    """How much of the difference in CWA do the texts alone explain?"""
    table = rows_of(tables["same_text"], group="late heads")
    cases = []
    for names, own in table.groupby(["tuned", "untuned", "language"], sort=False):
        tuned, untuned, language = names
        rows, name = own.set_index("quantity"), who(cast, tuned, language)
        ends = rows.loc[["share_on_tuned", "share_on_untuned"]].to_dict("records")
        if pd.isna(ends[0]["value"]):
            cases.append((f"{name}: no difference is shown, so there is nothing to explain", []))
            continue
        told = (
            f"{name}: of the late heads' difference, the texts alone explain "
            f"{text_shares(rows, tuned, untuned)} ({n_answers(ends[0])})"
        )
        cases.append((told, [limits_of(end, "value") for end in ends]))
    question = "Do the texts, rather than the models, explain most of the difference in CWA?"
    return answered(question, cases, counted(cast, "text"), 0.5)


def scores_find_causes(tables: Tables, cast: Cast) -> Finding | None:
    """Within layers, does a score predict effects of heads better than their size does?"""
    rows = rows_of(tuned_rows(tables["scores"], cast), kind="head", over="within")
    rows = first_of(rows, "mode")
    rows = rows[rows["score"].isin(("cwa", "end_contrast", "nswap")) & rows["correlation"].notna()]
    cases = []
    for (score, outcome), own in rows.groupby(["score", "outcome"], sort=False):
        records = own.to_dict("records")
        parts = [
            f"{who(cast, row['model'], row['language'])} {shown(row, 'correlation', 'correlation')}"
            f", vs. norm {shown(row, 'over_norm', 'correlation', True)}"
            for row in records
        ]
        told = (
            f"{SCORE_NAMES[score]}, rank correlation within layers with the effect "
            f"{OUTCOME_NAMES[outcome]}: {'; '.join(parts)} "
            f"({span(own['n_evaluate'], 'count')} answers of the evaluate half)"
        )
        cases.append((told, [limits_of(row, "over_norm") for row in records]))
    question = (
        "Within layers, do scores predict a head's effect on the decision better than the norm of "
        "its output does?"
    )
    return answered(question, cases, "cases")


def beyond_random(tables: Tables, cast: Cast) -> Finding | None:
    """How many tests of each family support the claim."""
    counts = test_counts(tables["confirmatory"])
    if not counts:
        return None
    made = [family for family in counts if family[2]]
    said = "; ".join(
        f"{positive} of {tested} {' '.join(name.split()[:2])} tests"
        for name, _, tested, positive in made
    )
    confirmed = [
        tested == positive for name, _, tested, positive in made if name.startswith(CONFIRMATORY)
    ]
    return Finding(
        "Do scores find heads that matter, beyond chance within layers?",
        said or "no test could be run",
        "yes" if confirmed and all(confirmed) else "open",
        tuple(
            text
            for text in confirmatory_sentences(tables["confirmatory"])
            if not text.startswith(("Not tested", "No data"))
        ),
    )


def passes_on(tables: Tables, cast: Cast) -> Finding | None:
    """Does the final MLP contribute less without heads whose output it reads?"""
    # Without `minus`: not a difference of two languages.
    rows = rows_of(tuned_rows(tables["repair"], cast), term="final_mlp", minus="")
    rows = first_of(rows[rows["contribution"].notna()], "mode")
    late = rows_of(rows, method="late_heads")
    rows = first_of(rows, "method") if late.empty else late
    cases = []
    for name, own in tuned_cases(rows, cast):
        row = own.loc[own["k"].idxmax()]
        change = shown(negated(row, "contribution"), "contribution", "logits", True)
        told = (
            f"{name}: the final MLP's contribution to the end margin changes by {change} when "
            f"{_heads(row)} are removed ({n_answers(row)})"
        )
        cases.append((told, [limits_of(row, "contribution")]))
    question = (
        "Does the final MLP contribute less when heads that it reads are removed? (mediation; no "
        "test of self-repair)"
    )
    return answered(question, cases, counted(cast))


def without_final_mlp(tables: Tables, cast: Cast) -> Finding | None:
    """Do exact answers fall without the final MLP, and without the heads that scores rank first?"""
    rows = in_own_language(tuned_rows(tables["ablation"], cast))
    rows = rows[rows["measure"].isin(("exact", "neutral_loglik")) & rows["change"].notna()]
    rows = first_of(rows, "mode")
    final = rows_of(rows, chosen_by="position", method="final_mlp")
    cases = []
    for row in rows_of(final, measure="exact").to_dict("records"):
        first = rows_of(rows_alike(rows, row), measure="exact", chosen_by="top", k=1)
        heads = [
            f", by {shown(part.iloc[0], 'change', 'percent', True)} without {name} "
            f"(first by {', '.join(map(method_words, part['method']))})"
            for name, part in first.groupby("components", sort=False)
        ]
        neutral = rows_of(rows_alike(final, row), measure="neutral_loglik")
        told = (
            f"{who(cast, row['model'], row['language'])}: exact answers change by "
            f"{shown(row, 'change', 'percent', True)} without the final MLP{''.join(heads)} "
            f"({n_answers(row)} of the evaluate half){_on_neutral_text(neutral)}"
        )
        cases.append((told, [limits_of(negated(row, "change"), "change")]))
    return answered("Do exact answers fall without the final MLP?", cases, counted(cast))


def _on_neutral_text(rows: pd.DataFrame) -> str:
    """What the removal does to text that has nothing to do with counting."""
    changes = [shown(row, "change", "logits", True) for row in rows.to_dict("records")]
    return "".join(
        f"; it changes the log-likelihood of neutral text by {change.replace(' logits', ' nats')} "
        "per token"
        for change in changes
    )


def carries_over(tables: Tables, cast: Cast) -> Finding | None:
    """Do heads found in one language matter in another?"""
    rows = rows_of(tuned_rows(tables["transfer"], cast), measure="end_margin")
    rows = rows[(rows["source_language"] != rows["target_language"]) & rows["effect"].notna()]
    cases = []
    for target, own in rows.groupby("target_language", sort=False):
        # Removing heads that carry control lowers the margin: the effect changes its sign.
        limits = [limits_of(negated(row, "effect"), "effect") for row in own.to_dict("records")]
        lower, higher, known = tally(limits)
        untuned = " (never tuned)" if own["untuned"].astype(bool).any() else ""
        told = (
            f"{cast.languages.get(target, target)}{untuned}: removing heads found in other "
            "languages lowers the end margin more than removing random heads in "
            f"{lower} of {known} cases of method and source, less in {higher}; effects "
            f"{_range(own)} ({span(own['n_samples'], 'count')} answers)"
        )
        cases.append((told, limits))
    return answered("Do heads found in one language matter in another?", cases, "cases")


def _range(rows: pd.DataFrame) -> str:
    """The smallest and the largest effect, each with its interval."""
    least, most = (rows.loc[place] for place in (rows["effect"].idxmin(), rows["effect"].idxmax()))
    first = shown(least, "effect", "logits", True)
    if least["effect"] == most["effect"]:
        return first
    return f"from {first} to {shown(most, 'effect', 'logits', True)}"


def _heads(row: Row) -> str:
    if row["chosen_by"] == "position":
        return "all heads of the last quarter of layers"
    return f"the top {int(row['k'])} heads by {method_words(row['method'])}"


def words_or_tokens(tables: Tables, cast: Cast) -> Finding | None:
    """Are answers more exact if every word is one token?"""
    table = tables["tokenization"]
    own = table[~table["language"].isin(table["reference"])]  # there, every word is one token
    cases = []
    for name, rows in tuned_cases(own, cast):
        if "coverage" not in set(rows["measure"]):
            continue
        poor = is_poor(rows)
        found = rows_of(rows, measure="exact", quantity="change", reference="")
        for row in found[found["value"].notna()].to_dict("records"):
            not_judged = "; not judged: the language is then poorer" * poor
            told = (
                f"{name}: {shown(row, 'value', 'percent', True)} of exact answers when every token "
                f"is one word ({n_answers(row)}{not_judged})"
            )
            cases.append((told, [] if poor else [limits_of(row, "value")]))
    question = "Is it the tokenizer: are answers exact more often when every token is one word?"
    return answered(question, cases, counted(cast), unjudged="not judged")


def extends(tables: Tables, cast: Cast) -> Finding | None:
    """Beyond the N of the study, does the model write more when asked for more?"""
    cases = []
    for name, own in tuned_cases(rows_of(tables["extrapolation"], probe="extrapolation"), cast):
        first, last = own.iloc[0], own.iloc[-1]
        if pd.isna(first["gain"]):
            continue
        told = (
            f"{name}, N = {first['n']} to {last['n']}: answers grow by "
            f"{shown(first, 'gain', 'words')} per additional word requested "
            f"({own['n_samples'].sum()} answers)"
        )
        cases.append((told, [limits_of(first, "gain")]))
    question = "Beyond the study's N, does the model write more when asked for more?"
    return answered(question, cases, counted(cast))


def harder_n(tables: Tables, cast: Cast) -> Finding | None:
    """Is some N harder than its neighbours?"""
    rows = rows_of(tables["dip"], against="neighbours")
    rows = rows[rows["measure"].isin(("exact", "absolute_error"))]
    evidence, worse = [], 0
    for name, own in tuned_cases(rows, cast):
        bad = rows_of(own, verdict="worse")
        worse += not bad.empty
        told = ", ".join(
            f"N = {row['n']} ({_dip(row)}; {n_answers(row)})" for row in bad.to_dict("records")
        )
        none = (
            f"none is shown among {own['n'].nunique()} N "
            f"({span(own['n_samples'], 'count')} answers each)"
        )
        evidence.append(f"{name}: {told or none}")
    if not evidence:
        return None
    said = f"yes in {worse} of {len(evidence)} {counted(cast)}" if worse else "not shown"
    return Finding(
        "Is any N harder than its neighbours? (exploratory)", said, "open", tuple(evidence)
    )


def _dip(row: Mapping) -> str:
    unit = "percent" if row["measure"] == "exact" else "words"
    limits = in_brackets(row["all_low"], row["all_high"], unit, True)
    what = "points of exact answers" if unit == "percent" else "words of |error|"
    return f"{number(row['value'], unit, True)} {what}, simultaneous interval {limits}"
