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

from lengthlens.ablation.selection import component_name
from lengthlens.analysis.causes import named_values
from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.analysis.tracing import n_effect
from lengthlens.analysis.unpatched import COLUMNS as UNPATCHED
from lengthlens.analysis.unpatched import unpatched_share
from lengthlens.circuits.faithfulness import share_of_effect
from lengthlens.statistics import Bootstrap, mean_interval

DIRECTIONS = ("noising", "denoising")
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

    def rows(data: xr.Dataset) -> Iterator[dict]:
        places = (data[name].to_numpy().tolist() for name in ("swap", "positions"))
        for where in itertools.product(*places, DIRECTIONS):
            yield from _rows(data, *where, bootstrap)

    return table_of(files, rows, COLUMNS)


def _rows(
    data: xr.Dataset, swap: int, positions: str, direction: str, bootstrap: Bootstrap
) -> Iterator[dict]:
    values = component_patches(data, direction, swap, positions)
    measured = np.isfinite(values).any(axis=0)
    if not measured.any():
        return
    effect, topics = n_effect(data.sel(swap=swap)), data["topic"].to_numpy()
    share = share_of_effect(values[:, measured], effect, topics, bootstrap)
    used = np.isfinite(values[:, measured]).all(axis=1)
    total = mean_interval(effect[used], topics[used], bootstrap)
    atp = component_patches(data, "atp", swap, positions)[used]
    layers, heads = data.sizes["layer"], data.sizes["head"]
    sampled = np.append(data["patched_head"].to_numpy().ravel(), np.full(layers, 2))
    by_head = values[:, : layers * heads].reshape(-1, layers, heads)
    others = unpatched_share(data, by_head, effect, bootstrap)
    for column, place in enumerate(np.flatnonzero(measured).tolist()):
        yield place_labels(place, layers, heads) | {
            "swap": swap,
            "positions": positions,
            "direction": direction,
            "sampled": int(sampled[place]),
            "effect": float(values[used, place].mean()),
            **share[column].columns("share"),
            "atp": float(atp[:, place].mean()),
            **total.columns("n_effect"),
            **others,
            **total.basis,
        }


def carriers(patches: pd.DataFrame, first: int = 10) -> pd.DataFrame:
    """The components with the largest shares, by model and language: noising, all positions, +1."""
    keep = (patches["swap"] == 1) & (patches["positions"] == "all")
    rows = patches[keep & (patches["direction"] == "noising")]
    rows = rows.sort_values("effect", ascending=False, kind="stable")
    rows = rows.groupby(["model", "language"], sort=False).head(first)
    order = ["model", "language", "effect"]
    rows = rows.sort_values(order, ascending=[True, True, False], kind="stable")
    return rows.drop(columns=["swap", "positions", "direction"]).reset_index(drop=True)
