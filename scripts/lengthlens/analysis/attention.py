"""What looks at which part of the text, as tables.

| table | a row is |
|---|---|
| `attention` | a head and a role: its mean attention at the decision step |
| `knockout` | a layer and a role: what is lost when all heads of the layer are kept from it |
| `circuit_heads` | a head of the circuit (or all of them) and a role: both of this |

Knockouts are given as the fall of the end margin under the own prompt, in logits, and as a share of
the N effect, which is empty where the mean N effect is not above 0 with its whole interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.analysis.tracing import SHARES, shares
from lengthlens.statistics import BESIDE, Bootstrap, mean_interval

_FALL = header("fall± n_decided")
_LOOKS = ("attention", "low", "high")
ATTENTION = header("model language component layer head role", *_LOOKS, "n_samples n_topics level")
KNOCKOUT = header("model language layer role", *_FALL, "swap", *SHARES)
HEADS = header("model language component role", *_LOOKS, *_FALL, "swap", *SHARES)


def summarise_attention(files: Files, bootstrap: Bootstrap) -> dict[str, pd.DataFrame]:
    """The three tables, by name."""
    looks = {key: list(_attention(data, bootstrap)) for key, data in files.items()}
    by_layer = {"name": "knockout", "by": "layer"}
    return {
        "attention": table_of(looks, list, ATTENTION),
        "knockout": table_of(files, _knockouts, KNOCKOUT, bootstrap=bootstrap, **by_layer),
        "circuit_heads": table_of(files, _heads, HEADS, looks, bootstrap=bootstrap),
    }


def _attention(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    values, topics = data["attention"].to_numpy(), data["topic"].to_numpy()
    for layer in range(data.sizes["layer"]):
        # NOTE no weights are NaN, and so are those of heads that the layer lacks.
        known = np.isfinite(values[:, layer]).all(2)
        attending = np.flatnonzero(known.any(0)).tolist()
        used = known[:, attending].all(1)
        if not attending or not used.any():
            continue
        part = values[:, layer, attending]
        found = mean_interval(part[used], topics[used], bootstrap).clipped()
        for row, head in enumerate(attending):
            for place, role in enumerate(data["role"].to_numpy().tolist()):
                yield {
                    "component": f"L{layer}H{head}",
                    "layer": layer,
                    "head": head,
                    "role": role,
                    **found[row, place].columns("attention", ends=BESIDE),
                    **found[row, place].basis,
                }


def _heads(data: xr.Dataset, looks: list[dict], bootstrap: Bootstrap) -> Iterator[dict]:
    """Knockouts of the circuit's heads, beside what they look at."""
    by_place = {(row["component"], row["role"]): row for row in looks}
    for row in _knockouts(data, "knockout_heads", "component", bootstrap):
        own = by_place.get((row["component"], row["role"]), {})
        yield {name: own.get(name, np.nan) for name in _LOOKS} | row


def _knockouts(data: xr.Dataset, name: str, by: str, bootstrap: Bootstrap) -> Iterator[dict]:
    """Rows of one kind of knockout, by role and swap; `by` is the column of what is knocked out."""
    topics, dim = data["topic"].to_numpy(), {"component": "knocked"}.get(by, by)
    for place, role in enumerate(data["role"].to_numpy().tolist()):
        own = data[name].isel(role=place).to_numpy()
        for index, key in enumerate(data[dim].to_numpy().tolist()):
            fall = mean_interval(own[:, index], topics, bootstrap)
            under_own = fall.columns("fall") | {"n_decided": int(fall.n)}
            for swap in data["swap"].to_numpy().tolist():
                chosen = data.sel(swap=swap)
                part = chosen[f"{name}_n"].isel({"role": place, dim: index}).to_numpy()
                effect = chosen["n_effect"].to_numpy()
                for row in shares(part[:, None], effect, topics, bootstrap):
                    yield {by: key, "role": role, "swap": swap} | under_own | row
