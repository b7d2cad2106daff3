"""Sentences about paths, compensation and contrasting prompts, within the tables' intervals."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from lengthlens.analysis.tables import rows_of
from lengthlens.circuits.orders import EMBEDDING, LOGITS
from lengthlens.reporting.answers import by_model, listed, n_answers, share, shown, undone
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


@listed
def say_paths(table: pd.DataFrame) -> Iterator[str]:
    """The paths that carry most, by model and language (tables/paths.csv)."""
    yield from undone(table)
    for who, own in by_model(rows_of(table, swap=_SWAP, absent="")):
        n = n_answers(own)
        if own["share"].isna().all():
            yield f"{who}: no effect of N is shown, so no path is named ({n})."
            continue
        most = own[own["share_low"] > _SOME].sort_values("share", ascending=False, kind="stable")
        told = "; ".join(
            f"{_spelled(row)} {share(row)}" for row in most.head(_NAMED).to_dict("records")
        )
        said = f"single paths carry these shares of the effect of N: {told}"
        said = said if told else "no single path is shown to carry more than 5 % of the effect of N"
        yield (
            f"{who}: {said} ({n}; consecutive paths carry the same effect, so shares do not add "
            "up)."
        )


@listed
def say_compensation(table: pd.DataFrame) -> Iterator[str]:
    """What the story leaves out of the final MLP's compensation, by model and language
    (tables/compensation.csv).
    """
    yield from undone(table)
    for who, own in by_model(rows_of(table, swap=_SWAP, absent="")):
        terms = own.set_index("term").to_dict("index")
        if not {"direct", "mediated"} <= set(terms):
            yield (
                f"{who}: the final MLP does not read the late heads (parallel blocks), so it "
                "cannot compensate for them."
            )
            continue
        rest = terms["rest"]
        yield (
            f"{who}: through the final MLP, all that it reads beside the heads of the last quarter "
            f"of layers contributes {shown(rest, 'effect', 'logits', True)} to the effect of N "
            f"({n_answers(rest)})."
        )


@listed
def say_contrasts(table: pd.DataFrame) -> Iterator[str]:
    """Where N is under each kind of template, by model and language (tables/contrasts.csv)."""
    yield from undone(table)
    for who, own in by_model(rows_of(table, swap=_SWAP, absent="")):
        parts = []
        for kind, name in _KINDS.items():
            rows = rows_of(own, kind=kind)
            if rows.empty:
                parts.append(f"{name}: no answer could be traced")
                continue
            unknown = rows["share"].isna().all()
            found = "no effect of N is shown" if unknown else say_roles(rows) or "none shown"
            parts.append(f"{name}: {found} ({n_answers(rows)})")
        yield (
            f"{who}, parts of the text that carry more than half of the effect of N, by template: "
            f"{'; '.join(parts)}."
        )


@listed
def say_new_templates(table: pd.DataFrame) -> Iterator[str]:
    """What the smallest circuit keeps on templates that it was not ranked on
    (tables/contrast_circuits.csv).
    """
    for who, own in by_model(rows_of(table, swap=_SWAP)):
        parts = []
        for row in own[own["kind"] != "all"].to_dict("records"):
            if pd.isna(row["k"]):
                said = "there is no circuit to test"
            elif pd.isna(row["faithfulness"]):
                said = f"no effect of N is shown ({n_answers(row)})"
            else:
                said = (
                    f"the circuit of {int(row['k'])} components keeps {kept(row)} of the effect "
                    f"of N ({n_answers(row)})"
                )
            parts.append(
                f"{_KINDS[row['kind']]}: {share(row, 'exact')} of {row['n_answers']} answers are "
                f"exact, and {said}"
            )
        yield f"{who}, new templates and topics: {'; '.join(parts)}."


def _spelled(row: dict) -> str:
    sender = "the number's embedding" if row["sender"] == EMBEDDING else row["sender"]
    if row["receiver"] == LOGITS:
        return f"{sender} directly to the logits"
    part = _INPUTS.get(row["receiver"].partition(".")[2])
    return f"{sender} to {row['component']}" + (f" ({part})" if part else "")
