"""Sentences about paths, compensation and contrasting prompts, within the tables' intervals."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from lengthlens.circuits.orders import EMBEDDING, LOGITS
from lengthlens.figures.numbers import estimated
from lengthlens.reporting.answers import by_model, share
from lengthlens.reporting.mechanism import kept
from lengthlens.reporting.traces import say_roles

_SWAP = 1
_SOME, _NAMED = 0.05, 5  # of the effect of N; paths in a sentence
_INPUTS = {"q": "query", "k": "key", "v": "value"}
_KINDS = {
    "early-mark": "number early, with a final mark",
    "early-bare": "number early, without one",
    "late-mark": "number late, with a final mark",
    "late-bare": "number late, without one",
}


def say_paths(table: pd.DataFrame) -> list[str]:
    """The paths that carry most, by model and language.

    Args:
        table: tables/paths.csv.
    """
    sentences = _missing(table)
    for who, own in _pairs(table):
        n = f"{int(own['n_samples'].max())} answers"
        if own["share"].isna().all():
            sentences.append(f"{who}: no effect of N is shown, so no path is named ({n}).")
            continue
        most = own[own["share_low"] > _SOME].sort_values("share", ascending=False, kind="stable")
        told = "; ".join(
            f"{_spelled(row)} {share(row)}" for row in most.head(_NAMED).to_dict("records")
        )
        said = f"single paths carry these shares of the effect of N: {told}"
        said = said if told else "no single path is shown to carry more than 5 % of the effect of N"
        sentences.append(
            f"{who}: {said} ({n}; consecutive paths carry the same effect, so shares do not add "
            "up)."
        )
    return sentences


def say_compensation(table: pd.DataFrame) -> list[str]:
    """What the story leaves out of the final MLP's compensation, by model and language.

    Args:
        table: tables/compensation.csv.
    """
    sentences = _missing(table)
    for who, own in _pairs(table):
        terms = own.set_index("term").to_dict("index")
        if not {"direct", "mediated"} <= set(terms):
            sentences.append(
                f"{who}: the final MLP does not read the late heads (parallel blocks), so it "
                "cannot compensate for them."
            )
            continue
        rest = estimated(terms["rest"], "effect", "logits", True, " logits")
        sentences.append(
            f"{who}: through the final MLP, all that it reads beside the heads of the last quarter "
            f"of layers contributes {rest} to the effect of N ({int(terms['rest']['n_samples'])} "
            "answers)."
        )
    return sentences


def say_contrasts(table: pd.DataFrame) -> list[str]:
    """Where N is under each kind of template, by model and language.

    Args:
        table: tables/contrasts.csv.
    """
    sentences = _missing(table)
    for who, own in _pairs(table):
        parts = []
        for kind, name in _KINDS.items():
            rows = own[own["kind"] == kind]
            if rows.empty:
                parts.append(f"{name}: no answer could be traced")
                continue
            n = f"{int(rows['n_samples'].max())} answers"
            if rows["share"].isna().all():
                parts.append(f"{name}: no effect of N is shown ({n})")
                continue
            parts.append(f"{name}: {say_roles(rows) or 'none shown'} ({n})")
        sentences.append(
            f"{who}, parts of the text that carry more than half of the effect of N, by template: "
            f"{'; '.join(parts)}."
        )
    return sentences


def say_new_templates(table: pd.DataFrame) -> list[str]:
    """What the smallest circuit keeps on templates that it was not ranked on.

    Args:
        table: tables/contrast_circuits.csv.
    """
    sentences = []
    for who, own in _pairs(table):
        parts = []
        for row in own[own["kind"] != "all"].to_dict("records"):
            exact = share(row, "exact")
            said = f"{_KINDS[row['kind']]}: {exact} of {row['n_answers']} answers are exact, "
            if pd.isna(row["k"]):
                said += "and there is no circuit to test"
            elif pd.isna(row["faithfulness"]):
                said += f"and no effect of N is shown ({int(row['n_samples'])} answers)"
            else:
                said += f"and the circuit of {int(row['k'])} components keeps {kept(row)} of the "
                said += f"effect of N ({int(row['n_samples'])} answers)"
            parts.append(said)
        sentences.append(f"{who}, new templates and topics: {'; '.join(parts)}.")
    return sentences


def _missing(table: pd.DataFrame) -> list[str]:
    """Why something could not be measured, by model and language."""
    rows = table[_says_missing(table)].to_dict("records")
    return [f"{row['model']} ({row['language']}): {row['absent']}." for row in rows]


def _says_missing(table: pd.DataFrame) -> pd.Series:
    if "absent" not in table:
        return pd.Series(False, index=table.index)
    return table["absent"] != ""


def _pairs(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The model and language, with their rows for the swap to the next larger number."""
    yield from by_model(table[(table["swap"] == _SWAP) & ~_says_missing(table)])


def _spelled(row: dict) -> str:
    sender = "the number's embedding" if row["sender"] == EMBEDDING else row["sender"]
    if row["receiver"] == LOGITS:
        return f"{sender} directly to the logits"
    part = _INPUTS.get(row["receiver"].partition(".")[2])
    return f"{sender} to {row['component']}" + (f" ({part})" if part else "")
