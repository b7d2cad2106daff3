"""Sentences about the tables of forced answers; they claim no more than the tables' intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from lengthlens.figures.numbers import estimated, number
from lengthlens.figures.scores import OUTCOME_NAMES, SCORE_NAMES
from lengthlens.reporting.answers import share
from lengthlens.statistics import side_of

RIVALS = (("end_contrast", "decision"), ("end_contrast", "contrast"), ("nswap", "decision"))


def say_scores(table: pd.DataFrame) -> list[str]:
    """Which scores predict the effects of heads within layers; tuned models first.

    A score predicts them where its rank correlation with the measured effects exceeds that of the
    output norm, and the whole interval of the difference says so.

    The effect is read at the decision step. The end contrast is a difference to earlier steps, so
    that it is compared with such a difference of the effect too.

    Args:
        table: tables/scores.csv.
    """
    heads = table[table["kind"] == "head"]
    heads = heads[heads["mode"].isin(heads["mode"].unique()[:1])]
    heads = heads.sort_values("tuning", key=lambda names: names != "tuned", kind="stable")
    sentences = []
    for (model, language), own in heads.groupby(["model", "language"], sort=False):
        rows = own.set_index(["outcome", "over", "score"]).sort_index()
        who = f"{model} ({language})"
        at_decision = rows.loc["decision"]
        sentences += [_finds(who, at_decision, score) for score in ("cwa", "end_contrast", "nswap")]
        sentences += [_rivals(who, rows.loc[outcome], score, outcome) for score, outcome in RIVALS]
    return [sentence for sentence in sentences if sentence]


def _finds(who: str, rows: pd.DataFrame, score: str) -> str:
    """A score against the output norm, within layers."""
    name, effect = _named(score), "the effect of removing a head"
    starts = {
        1: f"{name} predicts {effect} better than the output norm does",
        -1: f"{name} predicts {effect} worse than the output norm does",
        0: f"{name} is not shown to predict {effect} better than the output norm",
    }
    return _compared(who, rows.loc["within"], (score, "norm"), "within layers", starts)


def _rivals(who: str, rows: pd.DataFrame, score: str, outcome: str) -> str:
    """A score against CWA, over all heads, for one outcome."""
    name, effect = _named(score), f"measured effect {OUTCOME_NAMES[outcome]}"
    starts = {
        1: f"{name} correlates more with the {effect} than CWA does",
        -1: f"{name} correlates less with the {effect} than CWA does",
        0: f"whether {name} or CWA correlates more with the {effect} is undecided",
    }
    return _compared(who, rows.loc["all"], (score, "cwa"), "over all", starts)


def _compared(
    who: str, rows: pd.DataFrame, scores: tuple[str, str], where: str, starts: Mapping[int, str]
) -> str:
    """A score against another, by the sign of their difference; "" where there are no effects."""
    (row, other), gap = (rows.loc[score] for score in scores), f"over_{scores[1]}"
    if math.isnan(row[gap]):
        return ""
    start = starts[side_of(row[f"{gap}_low"], row[f"{gap}_high"])]
    values = " against ".join(number(each["correlation"], "words") for each in (row, other))
    return (  # two digits, as words have
        f"{who}: {start} (rank correlation {where} {values}, difference "
        f"{estimated(row, gap, 'words', True)}; {row['n_components']} heads; {row['n_select']} and "
        f"{row['n_evaluate']} answers)."
    )


def _named(score: str) -> str:
    return SCORE_NAMES[score] if score == "cwa" else f"the {SCORE_NAMES[score]}"


def say_same_text(table: pd.DataFrame) -> list[str]:
    """What is left of the difference between the models on equal text, group by group.

    Args:
        table: tables/same_text.csv.
    """
    sentences = []
    for names, own in table.groupby(["group", "tuned", "untuned", "language"], sort=False):
        group, tuned, untuned, language = names
        rows = own.set_index("quantity")
        observed = rows.loc["observed"]
        if math.isnan(observed["value"]):
            continue
        whose = f"the {group}" if group.startswith("final") else group
        start = (
            f"{tuned} minus {untuned} ({language}): CWA of {whose} differs by {_logits(observed)} "
            f"logits per step ({observed['n_samples']} answers)"
        )
        left = " and ".join(
            f"{_logits(rows.loc[name])} on {writer}'s"
            for name, writer in (("on_tuned", tuned), ("on_untuned", untuned))
        )
        if math.isnan(rows.loc["share", "value"]):
            said = "no difference is shown, so there is nothing to explain"
        else:
            said = f"the texts alone explain {text_shares(rows, tuned, untuned)}"
        between = rows.loc["interaction"]
        sentences.append(
            f"{start}; {said}. On the same text, it differs by {left} answers "
            f"({_apart(between)}: {_logits(between)})."
        )
    return sentences


def text_shares(rows: pd.DataFrame, tuned: str, untuned: str) -> str:
    """What the texts alone explain: on either text, then the mean of both.

    Args:
        rows: of tables/same_text.csv, of one pair, language and group, by quantity.
    """
    ends = [
        f"{share(rows.loc[f'share_on_{text}'], 'value')} on {writer}'s text"
        for text, writer in (("tuned", tuned), ("untuned", untuned))
    ]
    return f"{ends[0]} and {ends[1]} (mean {share(rows.loc['share'], 'value')})"


def _apart(between: pd.Series) -> str:
    """Whether the two texts differ in what they leave, as far as the interval says so."""
    if side_of(between["value_low"], between["value_high"]):
        return "interaction of model and text"
    return "no interaction of model and text shown"


def _logits(row: pd.Series) -> str:
    return estimated(row, "value", "logits", True)
