"""How the tuned model counts, as five questions: the centre of the report's story.

Each answer is a few words that follow from intervals; the evidence has one line for each tuned
model and language in which control is shown, of which the page folds all but the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pandas as pd

from lengthlens.figures.numbers import estimated, number
from lengthlens.figures.scores import SCORE_NAMES
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import tuned_models
from lengthlens.figures.tracing import ROLE_NAMES
from lengthlens.reporting.answers import (
    Finding,
    Tables,
    counted,
    folded,
    rows_alike,
    tally,
    verdict,
    who,
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
    own = tables["tracing"]
    for name, rows in _cases(own[own["direction"] == "noising"], cast):
        n = f"{int(rows['n_samples'].max())} answers"
        if rows["share"].isna().all():
            evidence.append(f"{name}: {_NOTHING} ({n})")
            continue
        effect = estimated(rows.iloc[0], "n_effect", "logits", after=" logits")
        most = rows[rows["share_low"] > HALF]
        found = say_roles(rows, ", then ") or "no part of the text"
        evidence.append(
            f"{name}: asking for the next larger number lowers the end margin by {effect} once N "
            f"words are written. More than half of this effect of N travels through {found} "
            f"({n}{_traced_layers(rows)})"
        )
        first = most.groupby("role")["layer"].min().sort_values(kind="stable")
        way = [ROLE_NAMES[role] for role in first.index if role != "numeral"]
        routes.append(", then ".join(way))
    if not evidence:
        return None
    known = [route for route in routes if route]
    answer, css = "no way of the number is shown", "open"
    if known:
        [(way, count)] = Counter(known).most_common(1)
        answer = f"the number goes to {way}"
        answer += f" (in {count} of {len(evidence)} {counted(cast)})" * (count < len(evidence))
        css = "yes" if count == len(evidence) else "open"
    question = "How does the model know when to stop?"
    return Finding(question, answer, css, *folded(evidence))


def _traced_layers(rows: pd.DataFrame) -> str:
    """Which layers were traced, where some were left out."""
    layers = sorted(rows["layer"].unique().tolist())
    if layers == list(range(len(layers))):
        return ""
    return f"; {len(layers)} layers traced, {layers[0]} to {layers[-1]}"


def words_left(tables: Tables, cast: Cast) -> Finding | None:
    """Can words left be decoded from the stream beyond the text, and does steering by them work?"""
    table = tables["count_probes"]
    evidence, held, moved = [], [], []
    for name, rows in _cases(table[table["absent"] == ""], cast):
        told = f"{name}: {probed(rows)}"
        held.append(not decoded(rows).empty)
        own = rows_alike(tables["steering"], rows.iloc[0])
        if (own["absent"] == "").any():
            told += f"; {steered(own)}"
            moved.append(steers(own))
        evidence.append(told)
    if not evidence:
        return None
    answer, css = verdict(sum(held), 0, len(held), counted(cast))
    if moved:
        shown = "is shown to lengthen" if any(moved) else "is not shown to lengthen"
        answer += f"; steering by it {shown} answers"
        everywhere = len(moved) == len(held) and sum(moved) in (0, len(moved))
        answer += "" if everywhere else f" in {sum(moved)} of {len(moved)} tested"
    question = "Can one read from the stream how many words are left?"
    return Finding(question, answer, css, *folded(evidence))


def what_carries_n(tables: Tables, cast: Cast) -> Finding | None:
    """Which components, patched alone, carry most of the effect of N?"""
    evidence, firsts = [], []
    for name, rows in _cases(tables["carriers"], cast):
        shown = shown_carriers(rows)[:NAMED]
        first = rows.iloc[0]
        n = int(first["n_samples"])
        if rows["share"].isna().all():
            evidence.append(f"{name}: {_NOTHING} ({n} answers)")
            continue
        told = "patched in alone, components carry these shares of the effect of N: "
        told += component_shares(shown)
        if shown.empty:
            told = "no single component is shown to carry any of the effect of N"
        evidence.append(
            f"{name}: {told} ({n} answers; shares need not add up to 100 %)."
            + _smallest_circuit(tables, first)
            + unpatched_heads(first)
        )
        firsts.append(shown["component"].tolist())
    if not evidence:
        return None
    everywhere = [one for one in firsts[0] if all(one in own for own in firsts)] if firsts else []
    answer = ", ".join(everywhere) or "none is shown"
    css = "yes" if everywhere else "open"
    return Finding("Which components carry N?", answer, css, *folded(evidence))


def cwa_finds_them(tables: Tables, cast: Cast) -> Finding | None:
    """Do as many components by CWA as AtP's circuit has keep more than half of the effect of N?"""
    table = tables["patch_scores"]
    heads = table[(table["kind"] == "head") & (table["over"] == "within")]
    evidence, limits = [], []
    for name, rows in _cases(heads[heads["correlation"].notna()], cast):
        scores = rows.set_index("score").to_dict("index")
        if "cwa" not in scores:
            continue
        parts = []
        if alike := _as_many(tables, rows.iloc[0]):
            size, cwa, atp = alike
            limits.append((cwa["low"], cwa["high"]))
            parts.append(
                f"the top {size} components by CWA keep {kept(cwa)} of the effect of N, those by "
                f"AtP {kept(atp)} ({int(cwa['n_samples'])} answers)"
            )
        told = ", ".join(
            f"{SCORE_NAMES[score]} {estimated(scores[score], 'correlation', 'correlation')}"
            for score in _RANKERS
            if score in scores
        )
        parts.append(
            "rank correlation within layers of scores with patching effects of heads: "
            f"{told} ({int(scores['cwa']['n_components'])} heads)"
        )
        evidence.append(f"{name}: {'; '.join(parts)}")
    if not evidence:
        return None
    answer, css = verdict(*tally(limits, 0.5), counted(cast))
    return Finding(
        "Do as many components by CWA, the paper's measure, carry it too?",
        answer,
        css,
        *folded(evidence),
    )


def what_final_mlp_does(tables: Tables, cast: Cast) -> Finding | None:
    """What share of the effect of N does the final MLP carry, and does it pass on the heads'?"""
    patches = tables["patches"]
    patches = patches[
        (patches["kind"] == "mlp") & (patches["positions"] == "all")
        & (patches["direction"] == "noising")
    ]  # fmt: skip
    evidence, limits, shares = [], [], []
    for name, rows in _cases(patches, cast):
        row = rows.loc[rows["layer"].idxmax()]
        if pd.isna(row["share"]):
            continue
        limits.append((float(row["share_low"]), float(row["share_high"])))
        shares = sorted([*shares, float(row["share"])])
        evidence.append(
            f"{name}: {row['component']} carries {estimated(row, 'share', 'percent', after=' %')} "
            f"of the effect of N ({int(row['n_samples'])} answers)"
            + _passed_on(tables["compensation"], row)
        )
    if not evidence:
        return None
    above, _, known = tally(limits)
    ends = dict.fromkeys((shares[0], shares[-1]))
    told = " to ".join(f"{number(share, 'percent')}" for share in ends)
    answer = f"it carries {told} % of the effect of N" if above else "not shown"
    answer += f", shown in {above} of {known} {counted(cast)}" * (0 < above < known)
    css = "yes" if above == known else "open"
    return Finding("What does the final MLP do?", answer, css, *folded(evidence))


def _cases(table: pd.DataFrame, cast: Cast) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each tuned model and language in words, with its rows of the swap to the next larger N."""
    own = table[table["model"].isin(tuned_models(cast))]
    if "swap" in own:
        own = own[own["swap"] == _SWAP]
    order = {model: place for place, model in enumerate(cast.tunings)}
    own = own.sort_values("model", key=lambda names: names.map(order), kind="stable")
    for (model, language), rows in own.groupby(["model", "language"], sort=False):
        yield who(cast, model, language), rows


def _own_circuits(tables: Tables, row: pd.Series) -> dict[str, dict]:
    """The smallest faithful circuit of every score that has one, chosen in the same language."""
    table = rows_alike(tables["circuits"], row)
    own = table[(table["source_language"] == table["language"]) & table["k"].notna()]
    return own.set_index("method").to_dict("index")


def _smallest_circuit(tables: Tables, row: pd.Series) -> str:
    """How many components keep most of the effect of N."""
    found = _own_circuits(tables, row).get("atp")
    if found is None:
        return ""
    return (
        f" The top {int(found['k'])} of {int(found['n_components'])} components by AtP together "
        f"keep {kept(found)} of the effect ({int(found['n_samples'])} answers)."
    )


def _as_many(tables: Tables, row: pd.Series) -> tuple[int, dict, dict] | None:
    """The size of AtP's smallest circuit, and what so many components by CWA and by AtP keep."""
    found = _own_circuits(tables, row).get("atp")
    if found is None:
        return None
    table = rows_alike(tables["faithfulness"], row)
    rows = table[
        (table["source_language"] == table["language"]) & (table["k"] == found["k"])
        & (table["n_orders"] == 0)
    ].set_index("method").to_dict("index")  # fmt: skip
    if not {"atp", "cwa"} <= set(rows):
        return None
    return int(found["k"]), rows["cwa"], rows["atp"]


def _passed_on(table: pd.DataFrame, row: pd.Series) -> str:
    """What the late heads give directly and through the final MLP."""
    own = rows_alike(table, row)
    terms = own[own["swap"] == _SWAP].set_index("term").to_dict("index")
    if not {"direct", "mediated"} <= set(terms):
        return ""
    direct, mediated = (
        estimated(terms[name], "effect", "logits", True, " logits")
        for name in ("direct", "mediated")
    )
    said = {
        "yes": "it compensates for them",
        "no": "it does not compensate for them",
        "open": "whether it compensates for them is undecided",
    }[terms["direct"]["compensates"]]
    if terms["mediated"]["effect_low"] > 0:
        said = "it passes on their effect and does not compensate for it"
    return (
        f". The heads of the last quarter of layers contribute {direct} directly and {mediated} "
        f"through it ({int(terms['direct']['n_samples'])} answers): {said}"
    )
