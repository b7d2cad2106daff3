"""Sentences about the tables of forced answers; they claim no more than the tables' intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from lengthlens.analysis.tables import first_of, rows_of
from lengthlens.figures.numbers import estimated, number
from lengthlens.figures.scores import OUTCOME_NAMES, SCORE_NAMES
from lengthlens.reporting.answers import (
    by_model,
    limits_of,
    listed,
    n_answers,
    reading,
    share,
)
from lengthlens.statistics import side_of

FOUND = ("cwa", "end_contrast", "nswap")
RIVALS = (("end_contrast", "decision"), ("end_contrast", "contrast"), ("nswap", "decision"))
# What a score is compared with: over which heads, how they are called, and what is said where its
# correlation with their effects is larger, smaller, or neither.
_AGAINST = {
    "norm": (
        "within",
        "within layers",
        "{} predicts the effect of removing a head better than the output norm does",
        "{} predicts the effect of removing a head worse than the output norm does",
        "{} is not shown to predict the effect of removing a head better than the output norm",
    ),
    "cwa": (
        "all",
        "over all",
        "{} correlates more with the measured effect {} than CWA does",
        "{} correlates less with the measured effect {} than CWA does",
        "whether {} or CWA correlates more with the measured effect {} is undecided",
    ),
}


@listed
def say_scores(table: pd.DataFrame) -> Iterator[str]:
    """Which scores predict the effects of heads within layers; tuned models first.

    A score predicts them where its rank correlation with the measured effects exceeds that of the
    output norm, and the whole interval of the difference says so.

    The effect is read at the decision step. The end contrast is a difference to earlier steps, so
    that it is compared with such a difference of the effect too.

    Args:
        table: tables/scores.csv.
    """
    heads = first_of(rows_of(table, kind="head"), "mode")
    heads = heads.sort_values("tuning", key=lambda names: names != "tuned", kind="stable")
    compared = [(score, "norm", "decision") for score in FOUND]
    compared += [(score, "cwa", outcome) for score, outcome in RIVALS]
    for who, own in by_model(heads):
        rows = own.set_index(["outcome", "over", "score"]).sort_index()
        for score, rival, outcome in compared:
            over, where, *said = _AGAINST[rival]
            row, other = rows.loc[(outcome, over, score)], rows.loc[(outcome, over, rival)]
            gap = f"over_{rival}"
            if math.isnan(row[gap]):
                continue  # there are no effects
            name = SCORE_NAMES[score] if score == "cwa" else f"the {SCORE_NAMES[score]}"
            start = reading(limits_of(row, gap), *said, unknown=said[2])
            values = " against ".join(number(each["correlation"], "words") for each in (row, other))
            yield (  # two digits, as words have
                f"{who}: {start.format(name, OUTCOME_NAMES[outcome])} (rank correlation {where} "
                f"{values}, difference {estimated(row, gap, 'words', True)}; "
                f"{row['n_components']} heads; {row['n_select']} and {row['n_evaluate']} answers)."
            )


@listed
def say_same_text(table: pd.DataFrame) -> Iterator[str]:
    """What is left of the difference between the models on equal text, group by group
    (tables/same_text.csv).
    """
    groups = table.groupby(["group", "tuned", "untuned", "language"], sort=False)
    for (group, tuned, untuned, language), own in groups:
        rows = own.set_index("quantity")
        observed = rows.loc["observed"]
        if math.isnan(observed["value"]):
            continue
        whose = f"the {group}" if group.startswith("final") else group
        start = (
            f"{tuned} minus {untuned} ({language}): CWA of {whose} differs by {_logits(observed)} "
            f"logits per step ({n_answers(observed)})"
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
        apart = "interaction of model and text"
        if not side_of(*limits_of(between, "value")):
            apart = f"no {apart} shown"
        yield (
            f"{start}; {said}. On the same text, it differs by {left} answers "
            f"({apart}: {_logits(between)})."
        )


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


def _logits(row: pd.Series) -> str:
    return estimated(row, "value", "logits", True)
