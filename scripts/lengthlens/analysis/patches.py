"""Single components: how much of the effect of N each carries, as `tables/patches.csv`.

A share is the sum of a component's patches over the sum of the N effects of the same answers; it is
NaN where the mean N effect is not above 0 with its whole interval (`circuits.faithfulness`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from lengthlens.ablation.selection import component_name
from lengthlens.analysis.causes import named_values
from lengthlens.analysis.tables import Files, header, rows_of, table_of
from lengthlens.analysis.tracing import DIRECTIONS, n_effect, shares
from lengthlens.analysis.unpatched import COLUMNS as UNPATCHED
from lengthlens.analysis.unpatched import unpatched_share
from lengthlens.statistics import Bootstrap

COLUMNS = header(
    "model language swap positions direction component kind layer head sampled effect share± atp "
    "n_effect±",
    *UNPATCHED,
    "n_samples n_topics level",
)


def component_patches(data: xr.Dataset, name: str, swap: int, positions: str) -> np.ndarray:
    """`noising`, `denoising` or `atp` of every answer and component: heads, then MLPs."""
    chosen = data.sel(swap=swap, positions=positions)
    return named_values(chosen, name).astype(float)


def place_labels(place: int, layers: int, heads: int) -> dict:
    """The columns that name a component, by its place: all heads, layer by layer, then MLPs."""
    if place >= layers * heads:
        layer = place - layers * heads
        return {"component": component_name(layer), "kind": "mlp", "layer": layer, "head": None}
    layer, head = divmod(place, heads)
    return {"component": component_name(layer, head), "kind": "head", "layer": layer, "head": head}


def summarise_patches(files: Files, bootstrap: Bootstrap) -> pd.DataFrame:
    """One row a model, language, swap, positions, direction and patched component."""
    return table_of(files, _rows, COLUMNS, bootstrap=bootstrap)


def _rows(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    labels = (data[name].to_numpy().tolist() for name in ("swap", "positions"))
    for swap, positions, direction in itertools.product(*labels, DIRECTIONS):
        named = {"swap": swap, "positions": positions, "direction": direction}
        values = component_patches(data, direction, swap, positions)
        for row in _shares(data.sel(swap=swap), values, positions, bootstrap):
            yield named | row


def _shares(
    data: xr.Dataset,
    values: Float[np.ndarray, "sample component"],
    positions: str,
    bootstrap: Bootstrap,
) -> Iterator[dict]:
    """The patched components, of one swap."""
    places = np.flatnonzero(np.isfinite(values).any(axis=0))
    if not len(places):
        return
    effect, topics, patched = n_effect(data), data["topic"].to_numpy(), values[:, places]
    atp = named_values(data.sel(positions=positions), "atp")[np.isfinite(patched).all(axis=1)]
    layers, heads = data.sizes["layer"], data.sizes["head"]
    sampled = np.append(data["patched_head"].to_numpy().ravel(), np.full(layers, 2))
    by_head = values[:, : layers * heads].reshape(-1, layers, heads)
    others = unpatched_share(data, by_head, effect, bootstrap)
    found = shares(patched, effect, topics, bootstrap)
    for place, share in zip(places.tolist(), found, strict=True):
        yield (
            place_labels(place, layers, heads)
            | share
            | others
            | {
                "sampled": int(sampled[place]),
                "atp": float(atp[:, place].astype(float).mean()),
            }
        )


def carriers(patches: pd.DataFrame, first: int = 10) -> pd.DataFrame:
    """The components with the largest shares, by model and language: noising, all positions, +1."""
    rows = rows_of(patches, swap=1, positions="all", direction="noising")
    order = ["model", "language", "effect"]
    rows = rows.sort_values(order, ascending=[True, True, False], kind="stable")
    rows = rows.groupby(["model", "language"], sort=False).head(first)
    return rows.drop(columns=["swap", "positions", "direction"]).reset_index(drop=True)
