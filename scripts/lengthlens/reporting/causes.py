"""The causal tables in plain language: every sentence has its interval and n.

A sentence states an effect only if the whole interval supports it. Otherwise it says that the data
do not show the effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from lengthlens.ablation.hypotheses import CONFIRMATORY
from lengthlens.analysis.confirmatory import NO_DATA, POSITIVE
from lengthlens.analysis.outcomes import SHARES
from lengthlens.analysis.tables import rows_of
from lengthlens.figures.numbers import estimated
from lengthlens.reporting.answers import limits_of, listed, n_answers, negated, reading, shown
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


@listed
def confirmatory_sentences(table: pd.DataFrame) -> Iterator[str]:
    """The result of each family of tests, then of every test by itself.

    Exploratory tests are never said to show anything.
    """
    for name, number_of, made, positive in test_counts(table):
        said = "showed" if name.startswith(CONFIRMATORY) else "suggested"
        untested = f"; {number_of - made} could not be run" * (number_of > made)
        yield f"{positive} of {number_of} {name} {said} what was claimed{untested}."
    confirmatory = rows_of(table, status=CONFIRMATORY)
    if len(confirmatory) and (confirmatory["verdict"] == NO_DATA).all():
        yield (
            f"No test of this run is confirmatory: the {len(confirmatory)} preregistered tests "
            "concern models that it does not include."
        )
    present = table[table["family"] != ""]
    several = present["family"].map(_of).nunique() > 1
    for row in present.to_dict("records"):
        yield _test_sentence(row, several)


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
        found = f"difference {shown(row, 'value', unit, True)}{_in_other_modes(row, unit)}"
        basis = f"{int(row['n_draws'])} other sets of {int(row['k'])} heads"
    return (
        f"{claim} ({found}; p = {row['p']:.3g}, Holm-corrected {row['p_holm']:.3g}; "
        f"{n_answers(row)}, {basis})."
    )


def _in_other_modes(row: Mapping, unit: str) -> str:
    """What the same heads do in the modes other than the test's."""
    told = [
        f"{words} {estimated(row, f'effect_{mode}', unit, True)}"
        for mode, words in _MODES.items()
        if not pd.isna(row.get(f"effect_{mode}"))
    ]
    return f"; against other random heads {', '.join(told)}" if told else ""


@listed
def transfer_sentences(table: pd.DataFrame) -> Iterator[str]:
    """In how many combinations heads transfer: in total, then in each untuned language."""
    margins = rows_of(table, measure="end_margin")
    across = margins[margins["source_language"] != margins["target_language"]]
    across = across[across["effect"].notna()]
    if across.empty:
        return
    yield (
        "Removing heads found in one language lowered the end margin in another more than random "
        f"heads of the same layers did on average in {_lowered(across)} combinations of "
        "model, method and pair of languages (whole interval below zero; "
        f"{across['effect_low'].count()} have an interval)."
    )
    untuned = across[across["untuned"].astype(bool)]
    for (model, target), rows in untuned.groupby(["model", "target_language"], sort=False):
        said = "; ".join(
            f"by {method_words(row['method'])} from {row['source_language']} "
            + shown(row, "effect", "logits", True)
            for row in rows_of(rows, method=SHOWN_METHOD).to_dict("records")
        )
        yield (
            f"In {target}, on which no model was tuned, {_lowered(rows)} sets of {model}'s heads "
            f"from other languages did so{f': {said}' if said else ''} "
            f"({int(rows['n_samples'].min())} answers, {int(rows['n_controls'].min())} random "
            "sets per set)."
        )


def _lowered(rows: pd.DataFrame) -> str:
    """How many effects lie entirely below zero."""
    return f"{(rows['effect_high'] < 0).sum()} of {len(rows)}"


@listed
def repair_sentences(table: pd.DataFrame) -> Iterator[str]:
    """What the final MLP contributes without the late heads, by language and between languages.

    The MLP also loses its input from these heads, so a loss is mediation and does not test
    self-repair. A further sentence says for how many sets found by scores the change differs
    between two languages.
    """
    final = rows_of(table[table["contribution"].notna()], term="final_mlp")
    between = final[final["minus"] != ""]
    for row in rows_of(final, method="late_heads", minus="").to_dict("records"):
        yield (
            f"{row['model']} ({row['language']}), without the heads of the last quarter of layers: "
            "the final MLP's contribution to the end margin changes by "
            f"{_given(row, LESS, MORE, 'no change shown')}."
        )
    for row in rows_of(between, method="late_heads").to_dict("records"):
        yield (
            f"{row['model']}, this change in {row['language']} minus {row['minus']}: "
            f"{_given(row, 'less for ending', 'more for ending', 'no difference shown')}."
        )
    top = rows_of(between, chosen_by="top")
    for (model, language, minus), rows in top.groupby(["model", "language", "minus"], sort=False):
        yield (
            f"{model}, {len(rows)} sets of heads ranked by scores: removing them shifts the final "
            f"MLP's contribution further towards ending in {language} than in {minus} for "
            f"{(rows['contribution_high'] < 0).sum()}, less far for "
            f"{(rows['contribution_low'] > 0).sum()}; no difference is shown for the others."
        )


def _given(row: Mapping, less: str, more: str, neither: str) -> str:
    """What a component contributes instead: the opposite of its part in the loss."""
    given = negated(row, "contribution")
    said = reading(limits_of(given, "contribution"), more, less, neither, "without an interval")
    return f"{shown(given, 'contribution', 'logits', True)}, {said} ({n_answers(row)})"
