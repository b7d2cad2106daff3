"""The causal tables in plain language: every sentence with its interval and n, and no further.

A sentence says that something is so only where its whole interval says so; else that the data do
not show it.
"""

from __future__ import annotations

import pandas as pd

from lengthlens.reporting.findings import method_words
from lengthlens.reporting.numbers import interval, number


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
        limits = interval(row["effect_low"], row["effect_high"], unit, True)
        sentences.append(
            f"{'Shown' if row['verdict'] == 'shown' else 'Not shown'}: “{row['claim']}” "
            f"(difference {change}, interval {limits}; corrected p = {row['p_holm']:.3g}; "
            f"{int(row['n_samples'])} answers, {int(row['n_controls'])} random sets of "
            f"{int(row['k'])} heads)."
        )
    return sentences


def transfer_sentences(table: pd.DataFrame) -> list[str]:
    """In how many pairs of languages heads carry over; the untuned languages one by one."""
    margins = table[table["measure"] == "end_margin"]
    across = margins[margins["source_language"] != margins["target_language"]]
    if across.empty:
        return []
    lower, known = across["effect_high"] < 0, across["effect_low"].notna()
    sentences = [
        f"Heads found in one language lowered the end margin of another by more than random heads "
        f"of the same layers in {int(lower.sum())} of {len(across)} combinations of model, method "
        f"and pair of languages (whole interval below zero; {int(known.sum())} have an interval)."
    ]
    for row in across[across["untuned"].astype(bool)].to_dict("records"):
        sentences.append(
            f"{row['model']}, {int(row['k'])} heads by {method_words(row['method'])} found in "
            f"{row['source_language']} and removed in {row['target_language']}, which was never "
            f"tuned: end margin {number(row['effect'], 'logits', sign=True)} logits against random "
            f"heads, interval {interval(row['effect_low'], row['effect_high'], 'logits', True)}, "
            f"{reading(row['effect_low'], row['effect_high'], 'lower', 'higher')} "
            f"({int(row['n_samples'])} answers, {int(row['n_controls'])} random sets)."
        )
    return sentences


def repair_sentences(table: pd.DataFrame) -> list[str]:
    """Whether the final MLP steps in more in one language than in another, then by language."""
    final = table[(table["term"] == "final_mlp") & table["share"].notna()]
    minus = final["minus"].fillna("")
    sentences = []
    for row in final[(minus != "") & (final["chosen_by"] == "top")].to_dict("records"):
        # A share of the drop is what the MLP gives less; what it steps in with is the opposite.
        low, high = -row["share_high"], -row["share_low"]
        said = reading(low, high, "less", "more")
        sentences.append(
            f"{row['model']}, top {int(row['k'])} heads by {method_words(row['method'])} removed: "
            f"the final MLP steps in with {number(-row['share'], 'logits', sign=True)} logits in "
            f"{row['language']} compared with {row['minus']}, interval "
            f"{interval(low, high, 'logits', True)}, {said} ({int(row['n_samples'])} answers)."
        )
    return sentences


def reading(low: float, high: float, below: str, above: str) -> str:
    """What an interval around zero's place says."""
    if pd.isna(low) or pd.isna(high):
        return "without an interval"
    if high < 0:
        return below
    return above if low > 0 else "no difference shown"
