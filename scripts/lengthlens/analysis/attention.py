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
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.analysis.tables import Files, header
from lengthlens.analysis.tracing import SHARES, shares
from lengthlens.statistics import BESIDE, Bootstrap, mean_interval

_FALL = header("fall± n_decided")
_LOOKS = ("attention", "low", "high")
ATTENTION = header("model language component layer head role", *_LOOKS, "n_samples n_topics level")
KNOCKOUT = header("model language layer role", *_FALL, "swap", *SHARES)
HEADS = header("model language component role", *_LOOKS, *_FALL, "swap", *SHARES)


def summarise_attention(files: Files, bootstrap: Bootstrap) -> dict[str, pd.DataFrame]:
    """The three tables, by name."""
    attention, knockout, heads = [], [], []
    for (model, language), data in files.items():
        labels = {"model": model, "language": language}
        looks = list(_attention(data, bootstrap))
        attention += [labels | row for row in looks]
        knockout += [labels | row for row in _knockouts(data, "knockout", "layer", bootstrap)]
        by_place = {(row["component"], row["role"]): row for row in looks}
        for row in _knockouts(data, "knockout_heads", "knocked", bootstrap):
            row["component"] = row.pop("knocked")
            own = by_place.get((row["component"], row["role"]), {})
            heads.append(labels | {name: own.get(name, np.nan) for name in _LOOKS} | row)
    return {
        "attention": pd.DataFrame(attention, columns=list(ATTENTION)),
        "knockout": pd.DataFrame(knockout, columns=list(KNOCKOUT)),
        "circuit_heads": pd.DataFrame(heads, columns=list(HEADS)),
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
        found = mean_interval(part[used], topics[used], bootstrap)
        found = replace(  # a share is between 0 and 1
            found, low=np.clip(found.low, 0, 1), high=np.clip(found.high, 0, 1)
        )
        for row, head in enumerate(attending):
            for place, role in enumerate(data["role"].to_numpy().tolist()):
                yield {
                    "component": f"L{layer}H{head}",
                    "layer": layer,
                    "head": head,
                    "role": role,
                    **found[row, place].columns("attention", ends=BESIDE),
                    **found[row, place].counts,
                    "level": bootstrap.level,
                }


def _knockouts(data: xr.Dataset, name: str, by: str, bootstrap: Bootstrap) -> Iterator[dict]:
    """Rows of one kind of knockout, by role and swap; `by` is their dimension."""
    topics = data["topic"].to_numpy()
    for place, role in enumerate(data["role"].to_numpy().tolist()):
        own = data[name].isel(role=place).to_numpy()
        for index, key in enumerate(data[by].to_numpy().tolist()):
            fall = _fall(own[:, index], topics, bootstrap)
            for swap in data["swap"].to_numpy().tolist():
                chosen = data.sel(swap=swap)
                part = chosen[f"{name}_n"].isel({"role": place, by: index}).to_numpy()
                effect = chosen["n_effect"].to_numpy()
                for row in shares(part[:, None], effect, topics, bootstrap):
                    yield {by: key, "role": role, "swap": swap} | fall | row


def _fall(values: np.ndarray, topics: np.ndarray, bootstrap: Bootstrap) -> dict:
    """The mean fall of the margin under the own prompt, with its interval and number of answers."""
    used = np.isfinite(values)
    if not used.any():
        return dict.fromkeys(_FALL[:3], np.nan) | {"n_decided": 0}
    found = mean_interval(values[used], topics[used], bootstrap)
    return found.columns("fall") | {"n_decided": int(used.sum())}
