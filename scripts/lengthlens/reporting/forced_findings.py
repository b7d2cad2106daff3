"""What the tables of the forced answers say, in sentences: never beyond their intervals."""

from __future__ import annotations

import math

import pandas as pd

from lengthlens.figures.scores import SCORE_NAMES
from lengthlens.reporting.numbers import in_brackets, number


def say_scores(table: pd.DataFrame) -> list[str]:
    """Which score ranks heads by what they do; instruct models first.

    Args:
        table: tables/scores.csv.
    """
    heads = table[(table["kind"] == "head") & (table["outcome"] == "decision")]
    heads = heads[heads["mode"].isin(heads["mode"].unique()[:1])]
    heads = heads.sort_values("variant", key=lambda names: names != "instruct", kind="stable")
    sentences = []
    for (model, language), own in heads.groupby(["model", "language"], sort=False):
        rows = own.set_index(["over", "score"])
        who = f"In {model} ({language})"
        sentences += [_rivals(who, rows, score) for score in ("end_contrast", "nswap")]
        sentences.append(_within(who, rows.loc["within", "cwa"]))
    return [sentence for sentence in sentences if sentence]


def _rivals(who: str, rows: pd.DataFrame, score: str) -> str:
    """A score against CWA, over all heads; nothing where there are no effects."""
    row, cwa = rows.loc["all", score], rows.loc["all", "cwa"]
    if math.isnan(row["over_cwa"]):
        return ""
    low, high = row["over_cwa_low"], row["over_cwa_high"]
    name = SCORE_NAMES[score]
    if low > 0:
        start = f"the {name} ranks heads closer to their measured effect than CWA does"
    elif high < 0:
        start = f"the {name} ranks heads less by their measured effect than CWA does"
    else:
        start = f"whether the {name} or CWA ranks heads closer to their measured effect is open"
    values = f"{_plain(row['correlation'])} against {_plain(cwa['correlation'])}"
    gap = f"{_plain(row['over_cwa'], True)} {in_brackets(low, high, 'words', True)}"
    basis = f"{row['n_components']} heads; {row['n_select']} and {row['n_evaluate']} answers"
    return f"{who}, {start}: rank correlation {values}, difference {gap} ({basis})."


def _within(who: str, row: pd.Series) -> str:
    """Whether CWA tells the heads of one layer apart."""
    if math.isnan(row["correlation"]):
        return ""
    low, high = row["correlation_low"], row["correlation_high"]
    if low > 0:
        start = "CWA ranks the heads of a layer by their measured effect"
    elif high < 0:
        start = "CWA ranks the heads of a layer against their measured effect"
    else:
        start = "it is open whether CWA says which head of a layer matters"
    value = f"{_plain(row['correlation'])} {_limits(low, high)}"
    return f"{who}, {start}: rank correlation within layers {value} ({row['n_evaluate']} answers)."


def say_same_text(table: pd.DataFrame) -> list[str]:
    """What is left of the difference between the models on equal text, group by group.

    Args:
        table: tables/same_text.csv.
    """
    sentences = []
    for names, own in table.groupby(["group", "instruct", "base", "language"], sort=False):
        group, instruct, base, language = names
        rows = own.set_index("quantity")
        observed, share = rows.loc["observed"], rows.loc["share"]
        if math.isnan(observed["value"]):
            continue
        whose = f"the {group}" if group.startswith("final") else group
        start = (
            f"Between {instruct} and {base} ({language}), CWA differs by {_logits(observed)} "
            f"logits a step in {whose} ({observed['n_samples']} answers)"
        )
        left = " and ".join(
            f"{_logits(rows.loc[name])} on {writer}'s"
            for name, writer in (("on_instruct", instruct), ("on_base", base))
        )
        if math.isnan(share["value"]):
            said = "which may be nothing, so that there is nothing to explain"
        else:
            limits = in_brackets(share["value_low"], share["value_high"], "percent")
            percent = number(share["value"], "percent")
            said = f"of which the texts alone explain {percent} % {limits}"
        sentences.append(f"{start}, {said}; on the same text it differs by {left} answers.")
    return sentences


def _logits(row: pd.Series) -> str:
    limits = in_brackets(row["value_low"], row["value_high"], "logits", True)
    return f"{number(row['value'], 'logits', True)} {limits}"


def _plain(value: float, sign: bool = False) -> str:
    return number(value, "words", sign)  # two digits, as words have


def _limits(low: float, high: float) -> str:
    return in_brackets(low, high, "words")
