"""How the tuned model counts, as five questions: the centre of the report's story.

Each answer is a few words that follow from intervals; the evidence has one line for each tuned
model and language in which control is shown, of which the page folds all but the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from lengthlens.analysis.tables import in_own_language, rows_of
from lengthlens.figures.numbers import Row, estimated, number
from lengthlens.figures.scores import SCORE_NAMES
from lengthlens.figures.style import Cast
from lengthlens.figures.tracing import ROLE_NAMES
from lengthlens.reporting.answers import (
    Finding,
    Tables,
    answered,
    counted,
    limits_of,
    n_answers,
    rows_alike,
    share,
    shown,
    tally,
    tuned_cases,
    verdict,
)
from lengthlens.reporting.count import decoded, probed, steered, steers
from lengthlens.reporting.mechanism import (
    NAMED,
    component_shares,
    kept,
    shown_carriers,
    unpatched_heads,
)
from lengthlens.reporting.traces import HALF, say_roles

_SWAP = 1  # to the next larger number
_NOTHING = "no effect of N is shown"
_RANKERS = ("cwa", "nswap", "atp")


def when_to_stop(tables: Tables, cast: Cast) -> Finding | None:
    """By which parts of the text does the number reach the decision?"""
    evidence, routes = [], []
    for name, rows in _cases(rows_of(tables["tracing"], direction="noising"), cast):
        n = n_answers(rows)
        if rows["share"].isna().all():
            evidence.append(f"{name}: {_NOTHING} ({n})")
            continue
        effect = shown(rows.iloc[0], "n_effect", "logits")
        found = say_roles(rows, ", then ") or "no part of the text"
        evidence.append(
            f"{name}: asking for the next larger number lowers the end margin by {effect} once N "
            f"words are written. More than half of this effect of N travels through {found} "
            f"({n}{_traced_layers(rows)})"
        )
        most = rows[rows["share_low"] > HALF]
        first = most.groupby("role")["layer"].min().sort_values(kind="stable")
        routes.append(
            ", then ".join(
                ROLE_NAMES[role] for role in first.index.drop("numeral", errors="ignore")
            )
        )
    answer, css = "no way of the number is shown", "open"
    for way, count in Counter(filter(None, routes)).most_common(1):
        everywhere = count == len(evidence)
        answer = f"the number goes to {way}"
        answer += "" if everywhere else f" (in {count} of {len(evidence)} {counted(cast)})"
        css = "yes" if everywhere else "open"
    return _folded("How does the model know when to stop?", answer, css, evidence)


def _folded(question: str, answer: str, css: str, evidence: Sequence[str]) -> Finding | None:
    """A finding of which the page shows the first line of evidence at once; None without any."""
    return (
        Finding(question, answer, css, tuple(evidence[:1]), tuple(evidence[1:]))
        if evidence
        else None
    )


def _traced_layers(rows: pd.DataFrame) -> str:
    """Which layers were traced, where some were left out."""
    layers = sorted(rows["layer"].unique().tolist())
    if layers == list(range(len(layers))):
        return ""
    return f"; {len(layers)} layers traced, {layers[0]} to {layers[-1]}"


def words_left(tables: Tables, cast: Cast) -> Finding | None:
    """Can words left be decoded from the stream beyond the text, and does steering by them work?"""
    evidence, held, moved = [], [], []
    for name, rows in _cases(rows_of(tables["count_probes"], absent=""), cast):
        told = f"{name}: {probed(rows)}"
        held.append(not decoded(rows).empty)
        own = rows_alike(tables["steering"], rows.iloc[0])
        if (own["absent"] == "").any():
            told += f"; {steered(own)}"
            moved.append(steers(own))
        evidence.append(told)
    answer, css = verdict(sum(held), 0, len(held), counted(cast))
    if moved:
        is_shown = "is shown" if any(moved) else "is not shown"
        answer += f"; steering by it {is_shown} to lengthen answers"
        everywhere = len(moved) == len(held) and sum(moved) in (0, len(moved))
        answer += "" if everywhere else f" in {sum(moved)} of {len(moved)} tested"
    return _folded("Can one read from the stream how many words are left?", answer, css, evidence)


def what_carries_n(tables: Tables, cast: Cast) -> Finding | None:
    """Which components, patched alone, carry most of the effect of N?"""
    evidence, firsts = [], []
    for name, rows in _cases(tables["carriers"], cast):
        first = rows.iloc[0]
        n = n_answers(first)
        if rows["share"].isna().all():
            evidence.append(f"{name}: {_NOTHING} ({n})")
            continue
        most = shown_carriers(rows)[:NAMED]
        told = "patched in alone, components carry these shares of the effect of N: "
        told += component_shares(most)
        if most.empty:
            told = "no single component is shown to carry any of the effect of N"
        evidence.append(
            f"{name}: {told} ({n}; shares need not add up to 100 %)."
            + _smallest_circuit(tables, first)
            + unpatched_heads(first)
        )
        firsts.append(most["component"].tolist())
    everywhere = [one for one in firsts[0] if all(one in own for own in firsts)] if firsts else []
    answer = ", ".join(everywhere) or "none is shown"
    return _folded("Which components carry N?", answer, "yes" if everywhere else "open", evidence)


def cwa_finds_them(tables: Tables, cast: Cast) -> Finding | None:
    """Do as many components by CWA as AtP's circuit has keep more than half of the effect of N?"""
    heads = rows_of(tables["patch_scores"], kind="head", over="within")
    cases = []
    for name, rows in _cases(heads[heads["correlation"].notna()], cast):
        scores = rows.set_index("score").to_dict("index")
        if "cwa" not in scores:
            continue
        told, limits = _as_many(tables, rows.iloc[0])
        ranked = ", ".join(
            f"{SCORE_NAMES[score]} {estimated(scores[score], 'correlation', 'correlation')}"
            for score in _RANKERS
            if score in scores
        )
        told = (
            f"{name}: {told}rank correlation within layers of scores with patching effects of "
            f"heads: {ranked} ({int(scores['cwa']['n_components'])} heads)"
        )
        cases.append((told, limits))
    question = "Do as many components by CWA, the paper's measure, carry it too?"
    return answered(question, cases, counted(cast), 0.5, at_once=1)


def what_final_mlp_does(tables: Tables, cast: Cast) -> Finding | None:
    """What share of the effect of N does the final MLP carry, and does it pass on the heads'?"""
    patches = rows_of(tables["patches"], kind="mlp", positions="all", direction="noising")
    evidence, limits, shares = [], [], []
    for name, rows in _cases(patches, cast):
        row = rows.loc[rows["layer"].idxmax()]
        if pd.isna(row["share"]):
            continue
        limits.append(limits_of(row, "share"))
        shares.append(row["share"])
        evidence.append(
            f"{name}: {row['component']} carries {share(row)} of the effect of N "
            f"({n_answers(row)}){_passed_on(tables['compensation'], row)}"
        )
    if not evidence:
        return None
    above, _, known = tally(limits)
    ends = dict.fromkeys((min(shares), max(shares)))
    told = " to ".join(number(end, "percent") for end in ends)
    answer = f"it carries {told} % of the effect of N" if above else "not shown"
    answer += f", shown in {above} of {known} {counted(cast)}" * (0 < above < known)
    css = "yes" if above == known else "open"
    return _folded("What does the final MLP do?", answer, css, evidence)


def _cases(table: pd.DataFrame, cast: Cast) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each tuned model and language in words, with its rows of the swap to the next larger N."""
    own = rows_of(table, swap=_SWAP) if "swap" in table else table
    order = {model: place for place, model in enumerate(cast.tunings)}
    own = own.sort_values("model", key=lambda names: names.map(order), kind="stable")
    return tuned_cases(own, cast)


def _atp_circuit(tables: Tables, row: Row) -> pd.DataFrame:
    """The smallest faithful circuit by AtP, chosen in the same language: one row, or none."""
    table = rows_of(in_own_language(rows_alike(tables["circuits"], row)), method="atp")
    return table[table["k"].notna()]


def _smallest_circuit(tables: Tables, row: Row) -> str:
    """How many components keep most of the effect of N."""
    return "".join(
        f" The top {int(found['k'])} of {int(found['n_components'])} components by AtP together "
        f"keep {kept(found)} of the effect ({n_answers(found)})."
        for found in _atp_circuit(tables, row).to_dict("records")
    )


def _as_many(tables: Tables, row: Row) -> tuple[str, list[tuple[float, float]]]:
    """What as many components as AtP's smallest circuit has keep, by CWA and AtP; CWA's limits."""
    table = rows_of(in_own_language(rows_alike(tables["faithfulness"], row)), n_orders=0)
    for k in _atp_circuit(tables, row)["k"]:
        sets = rows_of(table, k=k).set_index("method").to_dict("index")
        if {"atp", "cwa"} <= set(sets):
            cwa = sets["cwa"]
            told = (
                f"the top {int(k)} components by CWA keep {kept(cwa)} of the effect of N, those by "
                f"AtP {kept(sets['atp'])} ({n_answers(cwa)}); "
            )
            return told, [(cwa["low"], cwa["high"])]
    return "", []


def _passed_on(table: pd.DataFrame, row: Row) -> str:
    """What the late heads give directly and through the final MLP."""
    terms = rows_of(rows_alike(table, row), swap=_SWAP).set_index("term").to_dict("index")
    if not {"direct", "mediated"} <= set(terms):
        return ""
    direct, mediated = terms["direct"], terms["mediated"]
    said = {
        "yes": "it compensates for them",
        "no": "it does not compensate for them",
        "open": "whether it compensates for them is undecided",
    }[direct["compensates"]]
    if mediated["effect_low"] > 0:
        said = "it passes on their effect and does not compensate for it"
    return (
        ". The heads of the last quarter of layers contribute "
        f"{shown(direct, 'effect', 'logits', True)} directly and "
        f"{shown(mediated, 'effect', 'logits', True)} through it ({n_answers(direct)}): {said}"
    )
