"""Where N is: the map of layers and roles as shares of the N effect, `tables/tracing.csv`.

A share is the sum of what exchanging the stream does over the sum of the N effects of the same
answers (`circuits.faithfulness`); an answer whose prompt has no token of a role takes no part in
that role's shares. A share near 1 says that all of what N does passes through there; shares of
different roles in one layer need not add up to 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.circuits.faithfulness import share_of_effect
from lengthlens.statistics import Bootstrap, mean_interval

DIRECTIONS = ("noising", "denoising")
SHARES = header("effect share± n_effect± n_samples n_topics level")  # what `shares` gives
COLUMNS = header("model language swap direction layer role", *SHARES)


def summarise_tracing(files: Files, bootstrap: Bootstrap) -> pd.DataFrame:
    """One row a model, language, swap, direction, traced layer and role that is ever filled."""
    return table_of(files, _rows, COLUMNS, bootstrap=bootstrap)


def _rows(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    for swap, direction in itertools.product(data["swap"].to_numpy().tolist(), DIRECTIONS):
        for row in stream_shares(data.sel(swap=swap), direction, bootstrap):
            yield {"swap": swap, "direction": direction} | row


def n_effect(data: xr.Dataset) -> np.ndarray:
    """The N effect of every answer: margin of the reached run minus that of the other. [logits]"""
    return (data["margin_reached"] - data["margin_other"]).to_numpy()


def stream_shares(data: xr.Dataset, direction: str, bootstrap: Bootstrap) -> Iterator[dict]:
    """What the stream into each layer carries at each role, of one swap."""
    values = data[f"{direction}_stream"].to_numpy().astype(float)
    effect = n_effect(data)
    for place, role in enumerate(data["role"].to_numpy().tolist()):
        part = values[:, :, place]
        layers = np.flatnonzero(np.isfinite(part).any(0))
        if not len(layers):
            continue
        found = shares(part[:, layers], effect, data["topic"].to_numpy(), bootstrap)
        for layer, row in zip(layers.tolist(), found, strict=True):
            yield {"layer": layer, "role": role} | row


def shares(
    part: Float[np.ndarray, "sample what"],
    effect: Float[np.ndarray, " sample"],
    topics: np.ndarray,
    bootstrap: Bootstrap,
) -> list[dict]:
    """The columns `effect`, `share` with its interval, `n_effect` with its own, and counts.

    Args:
        part: what is to be a share of the N effect; NaN answers take no part.
        effect: the N effect of every answer; topics: of every answer.
        bootstrap: of the intervals.
    """
    used = np.isfinite(part).all(1) & np.isfinite(effect)
    part, effect, topics = part[used], effect[used], topics[used]
    if not len(part):
        return []
    share = share_of_effect(part, effect, topics, bootstrap)
    total = mean_interval(effect, topics, bootstrap)
    shared = total.columns("n_effect") | total.basis
    return [
        {"effect": float(part[:, place].mean())} | share[place].columns("share") | shared
        for place in range(part.shape[1])
    ]
