"""Sentences about the count in the residual stream, within the tables' intervals."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd

from lengthlens.figures.numbers import Row, estimated, number
from lengthlens.reporting.answers import by_model, listed, n_answers, share, shown, undone

_FOUND = 0.05  # explained of words left, from which on a layer is named
_HALF = 0.5

# Of tables/count_probes.csv and tables/steering.csv the story tells what was found.
say_unprobed = partial(undone, what="words left were not probed: ")
say_unsteered = partial(undone, what="answers were not steered: ")


def decoded(rows: pd.DataFrame) -> pd.DataFrame:
    """The layers from which a probe decodes words left beyond the text and any permuted N."""
    return rows[rows["beyond_low"] > rows["control_high"].clip(lower=_FOUND)]


def probed(rows: pd.DataFrame) -> str:
    """From which layer on the words left can be decoded from the stream.

    Args:
        rows: of tables/count_probes.csv, of one model and language.
    """
    n = f"{n_answers(rows)} on other topics, each under every N"
    found = decoded(rows)
    if found.empty:
        return (
            f"in no layer is a probe shown to decode more than {number(_FOUND, 'percent')} % of "
            f"words left beyond what the text reveals ({n})"
        )
    # NOTE the best one of the select topics: the best of what is told would be told too well.
    first, best = found.iloc[0], found.loc[found["select"].idxmax()]
    return (
        f"a probe decodes words left from the stream first {_where(first)} and best "
        f"{_where(best)}: {share(best, 'beyond')} of the variance left "
        "unexplained by words so far, position and template; with N permuted, at most "
        f"{number(best['control_high'], 'percent')} % "
        f"({n}; a stream that holds N is enough for this)"
    )


def steers(rows: pd.DataFrame) -> bool:
    """Whether steering lengthens answers more than along any direction fitted on permuted N."""
    row = rows.iloc[0]
    return bool(row["slope_low"] > max(row["null_slope_high"], 0))


def steered(rows: pd.DataFrame) -> str:
    """How much longer an answer becomes when the stream is shifted by one word.

    Args:
        rows: of tables/steering.csv, of one model and language.
    """
    row = rows.iloc[0]
    return (
        f"steering the stream entering layer {int(row['layer'])} along words left changes the "
        f"answer by {shown(row, 'slope', 'words', True)} per word of shift; along "
        "directions fitted on permuted N, by "
        f"{number(row['null_slope_low'], 'words', sign=True)} to "
        f"{number(row['null_slope_high'], 'words', sign=True)} ({int(row['n_samples'])} "
        f"prompts, {int(row['n_draws'])} directions)"
    )


@listed
def say_neurons(table: pd.DataFrame) -> Iterator[str]:
    """The smallest number of neurons that carry half of what the final MLP carries
    (tables/neurons.csv).
    """
    for who, rows in by_model(table):
        yield from undone(rows, "neurons were not exchanged: ") or [f"{who}: {_exchanged(rows)}."]


def _exchanged(rows: pd.DataFrame) -> str:
    rows = rows.sort_values("k")
    whole = rows.iloc[-1]
    if not whole["share_low"] > 0:
        return f"the final MLP is not shown to carry any of the effect of N ({n_answers(whole)})"
    some = rows[rows["share_low"] > _HALF * whole["share"]].iloc[:1]
    told = "no measured subset is shown to carry half of that"
    for row in some.to_dict("records"):
        told = f"the top {int(row['k'])} of {int(row['n_neurons'])} carry {share(row)}"
        if row["n_draws"]:
            told += f", as many random ones {number(row['random'], 'percent')} %"
    return (
        f"the neurons of the final MLP together carry {share(whole)} of the effect of N; {told} "
        f"({n_answers(whole)})"
    )


@listed
def say_depth(table: pd.DataFrame) -> Iterator[str]:
    """What the last layer adds to the end margin, on own answers (tables/depth.csv)."""
    for who, rows in by_model(table[table["text"] == table["model"]]):
        rows = rows.sort_values("place")
        last, before = rows.iloc[-1], rows.iloc[-3]
        yield (
            f"{who}: at its own decisions the end margin is {_margin(last)} logits; "
            f"without the last layer's contribution, {_margin(before)} ({n_answers(last)}; "
            "partial sums at the final norm's scale)."
        )


def _where(row: pd.Series) -> str:
    return "before the final norm" if row["depth"] >= 1 else f"entering layer {int(row['layer'])}"


def _margin(row: Row) -> str:
    return estimated(row, "margin", "logits", sign=True)
