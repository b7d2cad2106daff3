"""The study's questions with the answers that a run gives: the findings of the summary.

Each function takes the run's tables and its cast and returns a `Finding`, or None if the run has
no data on the question. `sections` declares which section uses which question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from lengthlens.ablation.hypotheses import CONFIRMATORY
from lengthlens.figures.numbers import in_brackets, number
from lengthlens.figures.scores import OUTCOME_NAMES, SCORE_NAMES
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import span, tuned_models
from lengthlens.figures.tokenization import POOR
from lengthlens.reporting.answers import (
    Finding,
    Tables,
    answered,
    counted,
    rows_alike,
    shown,
    tally,
    who,
)
from lengthlens.reporting.causes import confirmatory_sentences, test_counts
from lengthlens.reporting.findings import method_words
from lengthlens.reporting.forced_findings import text_shares

_FEW = 0.1  # of the answers, from which on it is told that they are in another language


def keeps_to_n(tables: Tables, cast: Cast) -> Finding | None:
    """Do tuned models give exactly N words more often than untuned models?"""
    table = tables["behaviour"]
    whole = table[(table["n"] == "all") & (table["split"] == "all")]
    own = whole[whole["model"].isin(tuned_models(cast))]
    untuned = whole[~whole["model"].isin(tuned_models(cast))]
    if own.empty or untuned.empty:
        return None
    gaps, told = [], []
    for row in own.to_dict("records"):
        rivals = untuned[untuned["language"] == row["language"]]
        for rival in rivals.to_dict("records"):
            # Intervals that do not even touch: a stricter test than that of their difference.
            gaps.append(
                (row["exact_low"] - rival["exact_high"], row["exact_high"] - rival["exact_low"])
            )
            whose = "the untuned model" if len(rivals) == 1 else rival["model"]
            line = (
                f"{who(cast, row['model'], row['language'])}: {shown(row, 'exact', 'percent')} of "
                f"{row['n_samples']} answers have exactly N words, against {whose}'s "
                f"{shown(rival, 'exact', 'percent')} of {rival['n_samples']} (all prompts)"
                f"{_by_chance(tables, row)}{_elsewhere(row)}{_beyond(tables, row)}"
            )
            told.append((row["model"], line))
    question = "Do tuned models keep to N more often than untuned models?"
    several = untuned["model"].nunique() > 1
    over = counted(cast, *["untuned model"] * several)
    first = [line for model, line in told if model == told[0][0]]
    others = tuple(line for model, line in told if model != told[0][0])
    return replace(answered(question, gaps, first, over), further=others)


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
    found = rows_alike(tables["extrapolation"], row)
    found = found[found["probe"] == "extrapolation"]
    if found.empty:
        return ""
    last = found.iloc[-1].to_dict()
    return (
        f". Beyond the study's N, at N = {last['n']}, {shown(last, 'exact', 'percent')} of "
        f"{last['n_samples']} answers are exact, and the error is "
        f"{shown(last, 'error', 'words', True)}"
    )


def more_than_text(tables: Tables, cast: Cast) -> Finding | None:
    """How much of the difference in CWA do the texts alone explain?"""
    table = tables["same_text"]
    table = table[table["group"] == "late heads"]
    evidence, limits = [], []
    for names, own in table.groupby(["tuned", "untuned", "language"], sort=False):
        tuned, untuned, language = names
        rows, name = own.set_index("quantity"), who(cast, tuned, language)
        ends = [rows.loc[f"share_on_{text}"] for text in ("tuned", "untuned")]
        if pd.isna(ends[0]["value"]):
            evidence.append(f"{name}: no difference is shown, so there is nothing to explain")
            continue
        limits += [(float(end["value_low"]), float(end["value_high"])) for end in ends]
        evidence.append(
            f"{name}: of the late heads' difference, the texts alone explain "
            f"{text_shares(rows, tuned, untuned)} ({ends[0]['n_samples']} answers)"
        )
    if not evidence:
        return None
    question = "Do the texts, rather than the models, explain most of the difference in CWA?"
    return answered(question, limits, evidence, counted(cast, "text"), 0.5)


def scores_find_causes(tables: Tables, cast: Cast) -> Finding | None:
    """Within layers, does a score predict effects of heads better than their size does?"""
    table = tables["scores"]
    rows = table[
        (table["kind"] == "head") & (table["over"] == "within")
        & table["model"].isin(tuned_models(cast))
    ]  # fmt: skip
    rows = rows[rows["mode"].isin(rows["mode"].unique()[:1])]
    rows = rows[rows["score"].isin(("cwa", "end_contrast", "nswap")) & rows["correlation"].notna()]
    if rows.empty:
        return None
    evidence, limits = [], []
    for (score, outcome), own in rows.groupby(["score", "outcome"], sort=False):
        parts = []
        for row in own.to_dict("records"):
            limits.append((row["over_norm_low"], row["over_norm_high"]))
            name = who(cast, row["model"], row["language"])
            gain = shown(row, "over_norm", "correlation", True)
            corr = shown(row, "correlation", "correlation")
            parts.append(f"{name} {corr}, vs. norm {gain}")
        basis = f"{span(own['n_evaluate'], 'count')} answers of the evaluate half"
        evidence.append(
            f"{SCORE_NAMES[score]}, rank correlation within layers with the effect "
            f"{OUTCOME_NAMES[outcome]}: {'; '.join(parts)} ({basis})"
        )
    question = (
        "Within layers, do scores predict a head's effect on the decision better than the norm of "
        "its output does?"
    )
    return answered(question, limits, evidence, "cases")


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
    table = tables["repair"]
    single = table["minus"].eq("")  # not a difference of two languages
    rows = table[
        (table["term"] == "final_mlp") & table["contribution"].notna()
        & table["model"].isin(tuned_models(cast)) & single
    ]  # fmt: skip
    rows = rows[rows["mode"].isin(rows["mode"].unique()[:1])]
    late = rows["method"] == "late_heads"
    rows = rows[late if late.any() else rows["method"].isin(rows["method"].unique()[:1])]
    if rows.empty:
        return None
    last = rows.loc[rows.groupby(["model", "language"], sort=False)["k"].idxmax()]
    evidence, limits = [], []
    for row in last.to_dict("records"):
        limits.append((row["contribution_low"], row["contribution_high"]))
        ends = row["contribution_high"], row["contribution_low"]
        change = {"x": -row["contribution"], "x_low": -ends[0], "x_high": -ends[1]}
        evidence.append(
            f"{who(cast, row['model'], row['language'])}: the final MLP's contribution to the end "
            f"margin changes by {shown(change, 'x', 'logits', True)} when {_heads(row)} are "
            f"removed ({row['n_samples']} answers)"
        )
    question = (
        "Does the final MLP contribute less when heads that it reads are removed? (mediation; no "
        "test of self-repair)"
    )
    return answered(question, limits, evidence, counted(cast))


def without_final_mlp(tables: Tables, cast: Cast) -> Finding | None:
    """Do exact answers fall without the final MLP, and without the heads that scores rank first?"""
    table = tables["ablation"]
    rows = table[
        table["measure"].isin(("exact", "neutral_loglik")) & table["change"].notna()
        & table["model"].isin(tuned_models(cast))
        & (table["source_language"] == table["language"])
    ]  # fmt: skip
    rows = rows[rows["mode"].isin(rows["mode"].unique()[:1])]
    final_mlp = (rows["chosen_by"] == "position") & (rows["method"] == "final_mlp")
    neutral = rows[final_mlp & (rows["measure"] == "neutral_loglik")]
    neutral = neutral.set_index(["model", "language"]).to_dict("index")
    rows = rows[rows["measure"] == "exact"]
    evidence, limits = [], []
    for (model, language), own in rows.groupby(["model", "language"], sort=False):
        final = own[(own["chosen_by"] == "position") & (own["method"] == "final_mlp")]
        for row in final.to_dict("records"):
            limits.append((-row["change_high"], -row["change_low"]))
            first = own[(own["chosen_by"] == "top") & (own["k"] == 1)]
            heads = [
                f", by {shown(part.iloc[0].to_dict(), 'change', 'percent', True)} without {name} "
                f"(first by {', '.join(map(method_words, part['method']))})"
                for name, part in first.groupby("components", sort=False)
            ]
            evidence.append(
                f"{who(cast, model, language)}: exact answers change by "
                f"{shown(row, 'change', 'percent', True)} without the final MLP"
                f"{''.join(heads)} "
                f"({row['n_samples']} answers of the evaluate half){_on_neutral_text(neutral, row)}"
            )
    if not evidence:
        return None
    question = "Do exact answers fall without the final MLP?"
    return answered(question, limits, evidence, counted(cast))


def _on_neutral_text(found: Mapping[tuple[str, str], Mapping], row: Mapping) -> str:
    """What the removal does to text that has nothing to do with counting."""
    own = found.get((row["model"], row["language"]))
    if own is None:
        return ""
    change = shown(own, "change", "logits", True).replace(" logits", " nats")
    return f"; it changes the log-likelihood of neutral text by {change} per token"


def carries_over(tables: Tables, cast: Cast) -> Finding | None:
    """Do heads found in one language matter in another?"""
    table = tables["transfer"]
    rows = table[
        (table["measure"] == "end_margin") & (table["source_language"] != table["target_language"])
        & table["model"].isin(tuned_models(cast)) & table["effect"].notna()
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
            f"{where}: removing heads found in other languages lowers the end margin more than "
            f"removing random heads in {lower} of {known} cases of method and source, less in "
            f"{higher}; effects {_range(own)} ({span(own['n_samples'], 'count')} answers)"
        )
    question = "Do heads found in one language matter in another?"
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


def _heads(row: Mapping) -> str:
    if row["chosen_by"] == "position":
        return "all heads of the last quarter of layers"
    return f"the top {int(row['k'])} heads by {method_words(row['method'])}"


def words_or_tokens(tables: Tables, cast: Cast) -> Finding | None:
    """Are answers more exact if every word is one token?"""
    table = tables["tokenization"]
    own = table[
        table["model"].isin(tuned_models(cast)) & ~table["language"].isin(table["reference"])
    ]  # every word of a reference is one token anyway
    evidence, limits = [], []
    for (model, language), rows in own.groupby(["model", "language"], sort=False):
        measures = rows[rows["measure"].isin(("coverage", "degenerate"))].set_index("measure")
        if "coverage" not in measures.index:
            continue
        poor = max(1 - measures["value"]["coverage"], measures["value"]["degenerate"]) > POOR
        alone = rows["reference"].eq("")
        found = rows[(rows["measure"] == "exact") & (rows["quantity"] == "change") & alone]
        found = found[found["value"].notna()]
        for row in found.to_dict("records"):
            text = (
                f"{who(cast, model, language)}: {shown(row, 'value', 'percent', True)} of exact "
                f"answers when every token is one word ({row['n_samples']} answers"
            )
            text += "; not judged: the language is then poorer)" if poor else ")"
            if not poor:
                limits.append((row["value_low"], row["value_high"]))
            evidence.append(text)
    if not evidence:
        return None
    question = "Is it the tokenizer: are answers exact more often when every token is one word?"
    finding = answered(question, limits, evidence, counted(cast))
    return finding if limits else replace(finding, answer="not judged")


def extends(tables: Tables, cast: Cast) -> Finding | None:
    """Beyond the N of the study, does the model write more when asked for more?"""
    table = tables["extrapolation"]
    rows = table[(table["probe"] == "extrapolation") & table["model"].isin(tuned_models(cast))]
    evidence, limits = [], []
    for (model, language), own in rows.groupby(["model", "language"], sort=False):
        first, *_, last = [own.iloc[0].to_dict(), *own.to_dict("records")]
        if pd.isna(first["gain"]):
            continue
        limits.append((first["gain_low"], first["gain_high"]))
        evidence.append(
            f"{who(cast, model, language)}, N = {first['n']} to {last['n']}: answers grow by "
            f"{shown(first, 'gain', 'words')} per additional word requested "
            f"({own['n_samples'].sum()} answers)"
        )
    if not evidence:
        return None
    question = "Beyond the study's N, does the model write more when asked for more?"
    return answered(question, limits, evidence, counted(cast))


def harder_n(tables: Tables, cast: Cast) -> Finding | None:
    """Is some N harder than its neighbours?"""
    table = tables["dip"]
    rows = table[
        (table["against"] == "neighbours") & table["measure"].isin(("exact", "absolute_error"))
        & table["model"].isin(tuned_models(cast))
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
            f"({span(own['n_samples'], 'count')} answers each)"
        )
    said = f"yes in {worse} of {len(evidence)} {counted(cast)}" if worse else "not shown"
    return Finding(
        "Is any N harder than its neighbours? (exploratory)", said, "open", tuple(evidence)
    )


def _dip(row: Mapping) -> str:
    unit = "percent" if row["measure"] == "exact" else "words"
    limits = in_brackets(row["all_low"], row["all_high"], unit, True)
    what = "points of exact answers" if unit == "percent" else "words of |error|"
    return f"{number(row['value'], unit, True)} {what}, simultaneous interval {limits}"
