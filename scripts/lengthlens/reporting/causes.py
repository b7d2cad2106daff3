"""The causal tables in plain language: every sentence has its interval and n.

A sentence states an effect only if the whole interval supports it. Otherwise it says that the data
do not show the effect.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lengthlens.ablation.hypotheses import CONFIRMATORY
from lengthlens.analysis.confirmatory import NO_DATA, POSITIVE
from lengthlens.analysis.outcomes import SHARES
from lengthlens.figures.numbers import estimated, in_brackets, number, suffix
from lengthlens.reporting.findings import method_words

_MODES = {"zero": "set to zero", "mean": "to their mean", "resample": "to those of another N"}
# What a component gives after a removal, beside what it gave: mediation and self-repair in one sum.
LESS = "a loss, as it no longer reads from them: mediation"
MORE = "a gain, though it no longer reads from them: self-repair"
SHOWN_METHOD = "end_contrast"  # the score that looks at the decision itself; others are counted


def test_counts(table: pd.DataFrame) -> list[tuple[str, int, int, int]]:
    """Each family's name, and how many tests it has, have a p-value, and favour the claim."""
    families = table[table["family"] != ""]
    return [
        (name, len(own), int(own["p"].notna().sum()), int(own["verdict"].isin(POSITIVE).sum()))
        for name, own in families.groupby("family", sort=False)
    ]


def confirmatory_sentences(table: pd.DataFrame) -> list[str]:
    """The result of each family of tests, then of every test by itself.

    Exploratory tests are never said to show anything.
    """
    if table.empty:
        return []
    sentences = []
    for name, number_of, made, positive in test_counts(table):
        said = "showed" if name.startswith(CONFIRMATORY) else "suggested"
        first = f"{positive} of {number_of} {name} {said} what was claimed"
        untested = number_of - made
        sentences.append(first + (f"; {untested} could not be run." if untested else "."))
    confirmatory = table[table["status"] == CONFIRMATORY]
    if len(confirmatory) and (confirmatory["verdict"] == NO_DATA).all():
        sentences.append(
            f"No test of this run is confirmatory: the {len(confirmatory)} preregistered tests "
            "concern models that it does not include."
        )
    present = table[table["family"] != ""]
    several = present["family"].map(_of).nunique() > 1
    return sentences + [_test_sentence(row, several) for row in present.to_dict("records")]


def _of(family: str) -> str:
    """The model that a family of tests is about."""
    return family.partition(" of ")[2]


def _test_sentence(row: Mapping, several: bool) -> str:
    """The result of a test, with the model's name if there are several."""
    verdict = f"{row['verdict'][0].upper()}{row['verdict'][1:]}"
    of = f", {_of(row['family'])}" if several else ""
    claim = f"{verdict} ({row['status']}{of}): “{row['claim']}”"
    if pd.isna(row["p"]):
        return f"{claim} ({row['reason']})."
    if row["test"] == "permutation":
        found = f"rank correlation within layers {estimated(row, 'value', 'correlation', True)}"
        if not pd.isna(row["over_norm"]):
            gain = estimated(row, "over_norm", "correlation", True)
            found += f", relative to the output norm {gain}"
        basis = f"{int(row['n_components'])} heads"
    else:
        unit = "percent" if row["effect_name"] in SHARES else "logits"
        found = f"difference {estimated(row, 'value', unit, True, suffix(unit, difference=True))}"
        found += _in_other_modes(row, unit)
        basis = f"{int(row['n_draws'])} other sets of {int(row['k'])} heads"
    return (
        f"{claim} ({found}; p = {row['p']:.3g}, Holm-corrected {row['p_holm']:.3g}; "
        f"{int(row['n_samples'])} answers, {basis})."
    )


def _in_other_modes(row: Mapping, unit: str) -> str:
    """What the same heads do in the modes other than the test's."""
    told = [
        f"{words} {estimated(row, f'effect_{mode}', unit, True)}"
        for mode, words in _MODES.items()
        if not pd.isna(row.get(f"effect_{mode}"))
    ]
    return f"; against other random heads {', '.join(told)}" if told else ""


def transfer_sentences(table: pd.DataFrame) -> list[str]:
    """In how many combinations heads transfer: in total, then in each untuned language."""
    margins = table[(table["measure"] == "end_margin") & table["effect"].notna()]
    across = margins[margins["source_language"] != margins["target_language"]]
    if across.empty:
        return []
    lower, known = _carried(across)
    sentences = [
        "Removing heads found in one language lowered the end margin in another more than random "
        f"heads of the same layers did on average in {lower} of {len(across)} combinations of "
        f"model, method and pair of languages (whole interval below zero; {known} have an "
        "interval)."
    ]
    untuned = across[across["untuned"].astype(bool)]
    for (model, target), rows in untuned.groupby(["model", "target_language"], sort=False):
        lower, known = _carried(rows)
        named = rows[rows["method"] == SHOWN_METHOD].to_dict("records")
        said = [
            f"by {method_words(row['method'])} from {row['source_language']} "
            + estimated(row, "effect", "logits", True, " logits")
            for row in named
        ]
        counts = f"{int(rows['n_samples'].min())} answers"
        sentences.append(
            f"In {target}, on which no model was tuned, {lower} of {len(rows)} sets of {model}'s "
            "heads from other languages did so"
            + (f": {'; '.join(said)}" if said else "")
            + f" ({counts}, {int(rows['n_controls'].min())} random sets per set)."
        )
    return sentences


def _carried(rows: pd.DataFrame) -> tuple[int, int]:
    """How many effects lie entirely below zero, and how many have an interval."""
    return int((rows["effect_high"] < 0).sum()), int(rows["effect_low"].notna().sum())


def repair_sentences(table: pd.DataFrame) -> list[str]:
    """What the final MLP contributes without the late heads, by language and between languages.

    The MLP also loses its input from these heads, so a loss is mediation and does not test
    self-repair. A further sentence says for how many sets found by scores the change differs
    between two languages.
    """
    final = table[(table["term"] == "final_mlp") & table["contribution"].notna()]
    between = final["minus"] != ""
    late = final["method"] == "late_heads"
    sentences = [
        f"{row['model']} ({row['language']}), without the heads of the last quarter of layers: the "
        f"final MLP's contribution to the end margin changes by "
        f"{_given(row, LESS, MORE, 'no change shown')}."
        for row in final[late & ~between].to_dict("records")
    ]
    sentences += [
        f"{row['model']}, this change in {row['language']} minus {row['minus']}: "
        f"{_given(row, 'less for ending', 'more for ending', 'no difference shown')}."
        for row in final[late & between].to_dict("records")
    ]
    top = final[between & (final["chosen_by"] == "top")]
    for (model, language, minus), rows in top.groupby(["model", "language", "minus"], sort=False):
        more, less = (
            int((rows["contribution_high"] < 0).sum()),
            int((rows["contribution_low"] > 0).sum()),
        )
        sentences.append(
            f"{model}, {len(rows)} sets of heads ranked by scores: removing them shifts the final "
            f"MLP's contribution further towards ending in {language} than in {minus} for {more}, "
            f"less far for {less}; no difference is shown for the others."
        )
    return sentences


def _given(row: Mapping, less: str, more: str, none: str) -> str:
    """What a component contributes instead: the opposite of its part in the loss."""
    low, high = -row["contribution_high"], -row["contribution_low"]
    said = reading(low, high, less, more).replace("no difference shown", none)
    size = number(-row["contribution"], "logits", sign=True)
    limits = in_brackets(low, high, "logits", True)
    return f"{size} logits {limits}, {said} ({int(row['n_samples'])} answers)"


def reading(low: float, high: float, below: str, above: str) -> str:
    """What an interval says, by its position relative to zero."""
    if pd.isna(low) or pd.isna(high):
        return "without an interval"
    if high < 0:
        return below
    return above if low > 0 else "no difference shown"
