"""Where N is under prompts with and without a final mark, and an early or a late number, as tables.

| table | a row is |
|---|---|
| `contrasts` | a kind of template, a layer and a role: its share of the N effect, by noising |
| `contrast_circuits` | a kind, or `all`: what the smallest circuit keeps, and exact answers |

Where nothing was traced, one row of `contrasts` has the reason in `absent`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.analysis.tracing import SHARES, n_effect, shares, stream_shares
from lengthlens.language.languages import KINDS
from lengthlens.statistics import Bootstrap, mean_interval

ALL = "all"
_SWAP = 1
_EFFECT = header("n_effect± n_samples n_topics level")
_LABELS = ("model", "language", "swap", "kind")
CONTRASTS = header(*_LABELS, "layer role", *SHARES, "absent")
CIRCUITS = header(*_LABELS, "n_answers exact± k faithfulness low high", *_EFFECT)


def summarise_contrasts(files: Files, bootstrap: Bootstrap) -> dict[str, pd.DataFrame]:
    """The two tables, by name."""
    return {
        "contrasts": table_of(files, _streams, CONTRASTS, bootstrap=bootstrap),
        "contrast_circuits": table_of(files, _circuits, CIRCUITS, bootstrap=bootstrap),
    }


def _streams(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    if reason := data.attrs["absent"]:
        yield {"swap": _SWAP, "kind": ALL, "absent": reason}
    for labels, chosen in _by_kind(data, KINDS):
        for row in stream_shares(chosen, "noising", bootstrap):
            yield labels | row


def _circuits(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    for labels, chosen in _by_kind(data, (*KINDS, ALL)):
        for row in _kept(chosen, bootstrap):
            yield labels | row


def _by_kind(data: xr.Dataset, kinds: Iterable[str]) -> Iterator[tuple[dict, xr.Dataset]]:
    """The answers under each kind of template, with the columns that name them."""
    own = data["kind"].to_numpy()
    for swap, kind in itertools.product(data["swap"].to_numpy().tolist(), kinds):
        chosen = data.sel(swap=swap).isel(sample=(own == kind) | (kind == ALL))
        yield {"swap": swap, "kind": kind}, chosen


def _kept(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    """What the circuit keeps of the N effect; nothing where no swap was measured."""
    effect, topics = n_effect(data), data["topic"].to_numpy()
    if not np.isfinite(effect).any():
        return
    members = [name for name in str(data.attrs["components"]).split(";") if name]
    right = (data["error"] == 0) & ~data["truncated"].astype(bool)
    exact = mean_interval(right.to_numpy().astype(float), topics, bootstrap).clipped()
    row = {
        "n_answers": data.sizes["sample"],
        **exact.columns("exact"),
        "k": len(members) or np.nan,
    }
    kept = (data["kept"] - data["margin_other"]).to_numpy() if members else effect
    (share,) = shares(kept[:, None], effect, topics, bootstrap)
    for name, column in (("faithfulness", "share"), ("low", "share_low"), ("high", "share_high")):
        row[name] = share[column] if members else np.nan
    yield row | {name: share[name] for name in _EFFECT}
