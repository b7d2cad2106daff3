"""Which component hands N to which, as tables.

| table | a row is |
|---|---|
| `paths` | a sender and a receiver: the share of the N effect that passes between them |
| `places` | a component and a part of the text: the share that it carries there |
| `compensation` | a way from the late heads to the decision |

Terms of `compensation`: `direct` (the late heads in the final residual only), `mediated` (in the
input of the final MLP only), `both`, `interaction` (both minus the other two), and `rest` (what
reaches the final MLP from everything but them). The MLP compensates for the late heads where
mediated < 0 < direct, each with its whole interval; `no` where one of the intervals excludes that.
What could not be measured is one row of `paths` or `compensation` with its reason in `absent`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.analysis.tracing import SHARES, n_effect, shares
from lengthlens.circuits.orders import LOGITS, split_receiver
from lengthlens.statistics import Bootstrap, Interval, mean_interval, side_of

_LABELS = ("model", "language", "swap")
_SWAP = 1
PATHS = header(*_LABELS, "sender receiver component", *SHARES, "absent")
PLACES = header(*_LABELS, "component layer place", *SHARES)
COMPENSATION = header(
    *_LABELS, "late_heads term effect_low effect_high", *SHARES, "compensates absent"
)
TERMS = ("direct", "mediated", "both", "interaction", "rest")


def summarise_paths(files: Files, bootstrap: Bootstrap) -> dict[str, pd.DataFrame]:
    """The three tables, by name."""
    made = {
        "paths": (_paths, PATHS),
        "places": (_places, PLACES),
        "compensation": (_compensation, COMPENSATION),
    }
    return {
        name: table_of(files, _rows, columns, name=name, make=make, bootstrap=bootstrap)
        for name, (make, columns) in made.items()
    }


def _rows(data: xr.Dataset, name: str, make: Callable, bootstrap: Bootstrap) -> Iterator[dict]:
    for swap in data["swap"].to_numpy().tolist():
        for row in make(data.sel(swap=swap), bootstrap):
            yield {"swap": swap} | row
    for table, reason in _absent(data):
        if table == name:
            yield {"swap": _SWAP, "absent": reason}


def _absent(data: xr.Dataset) -> Iterator[tuple[str, str]]:
    """What is missing: the table, and why."""
    why = data.attrs
    measured = np.isfinite(data["margin_reached"]).any()
    nothing = why["absent"] or ("" if measured else "no answer that was drawn has a legal swap")
    if reason := nothing or why["paths_absent"]:
        yield "paths", reason
    if not nothing and why["heads_absent"]:
        yield "paths", why["heads_absent"]
    if nothing:
        yield "compensation", nothing


def _paths(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    values, topics = data["path"].to_numpy(), data["topic"].to_numpy()
    effect = n_effect(data)
    receivers = data["receiver"].to_numpy().tolist()
    for row, sender in enumerate(data["sender"].to_numpy().tolist()):
        there = np.flatnonzero(np.isfinite(values[:, row]).any(0))
        found = shares(values[:, row, there], effect, topics, bootstrap) if len(there) else []
        for column, share in zip(there.tolist(), found, strict=False):
            receiver = receivers[column]
            component = LOGITS if receiver == LOGITS else split_receiver(receiver)[0]
            yield {"sender": sender, "receiver": receiver, "component": component} | share


def _places(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    values, topics = data["carried"].to_numpy(), data["topic"].to_numpy()
    effect = n_effect(data)
    for place, name in enumerate(data["place"].to_numpy().tolist()):
        found = shares(values[:, :, place], effect, topics, bootstrap) if values.shape[1] else []
        components = data["component"].to_numpy().tolist()
        for component, share in zip(components, found, strict=False):
            layer = int(component[1:].rstrip("M").partition("H")[0])
            yield {"component": component, "layer": layer, "place": name} | share


def _compensation(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    ways = {name: data["mediation"].sel(way=name).to_numpy() for name in data["way"].to_numpy()}
    direct, mediated, both = (ways[name] for name in ("residual", "mlp", "both"))
    values = np.stack([direct, mediated, both, both - direct - mediated, ways["rest"]], axis=1)
    topics, effect = data["topic"].to_numpy(), n_effect(data)
    intervals: dict[str, Interval] = {}
    rows = []
    for place, term in enumerate(TERMS):
        known = np.isfinite(values[:, place]) & np.isfinite(effect)
        if not known.any():
            continue
        intervals[term] = found = mean_interval(values[known, place], topics[known], bootstrap)
        (share,) = shares(values[:, place : place + 1], effect, topics, bootstrap)
        named = {"late_heads": data.attrs["late_heads"], "term": term}
        rows.append(named | share | found.columns("effect"))
    verdict = _compensates(intervals)
    yield from (row | {"compensates": verdict} for row in rows)


def _compensates(intervals: Mapping[str, Interval]) -> str:
    """`yes`, `no` or `open`; empty where a way does not exist (parallel blocks)."""
    if not {"direct", "mediated"} <= set(intervals):
        return ""
    direct, mediated = (
        side_of(float(own.low), float(own.high))
        for own in (intervals["direct"], intervals["mediated"])
    )
    if (direct, mediated) == (1, -1):
        return "yes"
    return "no" if mediated == 1 or direct == -1 else "open"
