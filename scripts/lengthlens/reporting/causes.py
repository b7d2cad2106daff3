"""The causal tables in plain language: every sentence with its interval and n, and no further.

A sentence says that something is so only where its whole interval says so; else that the data do
not show it.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lengthlens.reporting.findings import method_words
from lengthlens.reporting.numbers import in_brackets, number

SHOWN_METHOD = "end_contrast"  # the score that looks at the decision itself; others are counted


def confirmatory_sentences(table: pd.DataFrame) -> list[str]:
    """How many of the tests show what they claim, then every test by itself."""
    if table.empty:
        return []
    made = table[table["verdict"] != "not tested"]
    shown = int((made["verdict"] == "shown").sum())
    untested = len(table) - len(made)
    first = f"Of {len(table)} confirmatory tests {shown} showed what was claimed"
    first += f", and {untested} could not be made." if untested else "."
    sentences = [first]
    for row in table.to_dict("records"):
        if row["verdict"] == "not tested":
            sentences.append(f"Not tested: “{row['claim']}” ({row['reason']}).")
            continue
        unit = "percent" if row["measure"] in ("exact", "early", "late", "truncated") else "logits"
        change = number(row["effect"], unit, sign=True)
        change += " points" if unit == "percent" else ""
        limits = in_brackets(row["effect_low"], row["effect_high"], unit, True)
        sentences.append(
            f"{'Shown' if row['verdict'] == 'shown' else 'Not shown'}: “{row['claim']}” "
            f"(difference {change} {limits}; corrected p = {row['p_holm']:.3g}; "
            f"{int(row['n_samples'])} answers, {int(row['n_controls'])} random sets of "
            f"{int(row['k'])} heads)."
        )
    return sentences


def transfer_sentences(table: pd.DataFrame) -> list[str]:
    """In how many combinations heads carry over: over all, then in each untuned language."""
    margins = table[(table["measure"] == "end_margin") & table["effect"].notna()]
    across = margins[margins["source_language"] != margins["target_language"]]
    if across.empty:
        return []
    lower, known = _carried(across)
    sentences = [
        f"Heads found in one language lowered the end margin of another by more than random heads "
        f"of the same layers in {lower} of {len(across)} combinations of model, method "
        f"and pair of languages (whole interval below zero; {known} have an interval)."
    ]
    untuned = across[across["untuned"].astype(bool)]
    for (model, target), rows in untuned.groupby(["model", "target_language"], sort=False):
        lower, known = _carried(rows)
        named = rows[rows["method"] == SHOWN_METHOD].to_dict("records")
        said = [
            f"those by {method_words(row['method'])} found in {row['source_language']} "
            f"{number(row['effect'], 'logits', sign=True)} logits "
            f"{in_brackets(row['effect_low'], row['effect_high'], 'logits', True)}"
            for row in named
        ]
        counts = f"{int(rows['n_samples'].min())} answers"
        sentences.append(
            f"In {target}, in which no model was tuned, this holds of {lower} of {len(rows)} sets "
            f"of heads found in other languages of {model}"
            + (f": {'; '.join(said)}" if said else "")
            + f" ({counts}, {int(rows['n_controls'].min())} random sets a set)."
        )
    return sentences


def _carried(rows: pd.DataFrame) -> tuple[int, int]:
    """How many effects lie wholly below zero, and how many have an interval."""
    return int((rows["effect_high"] < 0).sum()), int(rows["effect_low"].notna().sum())


def repair_sentences(table: pd.DataFrame) -> list[str]:
    """What the final MLP does without the late heads, by language and between languages.

    Then for how many sets found by scores the change differs between two languages.
    """
    final = table[(table["term"] == "final_mlp") & table["share"].notna()]
    between = final["minus"].fillna("") != ""
    late = final["method"] == "late_heads"
    sentences = [
        f"{row['model']}, {row['language']}, without the heads of the last quarter of layers: what "
        f"the final MLP gives to the end margin changes by "
        f"{_given(row, 'it gives less', 'it steps in', 'no change shown')}."
        for row in final[late & ~between].to_dict("records")
    ]
    sentences += [
        f"{row['model']}, this change in {row['language']} minus that in {row['minus']}: "
        f"{_given(row, 'less for ending', 'more for ending', 'no difference shown')}."
        for row in final[late & between].to_dict("records")
    ]
    top = final[between & (final["chosen_by"] == "top")]
    for (model, language, minus), rows in top.groupby(["model", "language", "minus"], sort=False):
        more, less = int((rows["share_high"] < 0).sum()), int((rows["share_low"] > 0).sum())
        sentences.append(
            f"{model}, {len(rows)} sets of heads ranked by scores: without them what the final MLP "
            f"gives changes more in favour of ending in {language} than in {minus} in {more}, less "
            f"in {less}, and no difference is shown in the others."
        )
    return sentences


def _given(row: Mapping, less: str, more: str, none: str) -> str:
    """What a component gives in place of what is gone: the opposite of its part in the loss."""
    low, high = -row["share_high"], -row["share_low"]
    said = reading(low, high, less, more).replace("no difference shown", none)
    size = number(-row["share"], "logits", sign=True)
    limits = in_brackets(low, high, "logits", True)
    return f"{size} logits {limits}, {said} ({int(row['n_samples'])} answers)"


def reading(low: float, high: float, below: str, above: str) -> str:
    """What an interval around zero's place says."""
    if pd.isna(low) or pd.isna(high):
        return "without an interval"
    if high < 0:
        return below
    return above if low > 0 else "no difference shown"
