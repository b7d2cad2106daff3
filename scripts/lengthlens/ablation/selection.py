"""Ranking components by what they do on the `select` prompts.

Five methods, each a mean over samples of the split (docs/method.md):

- `cwa`: cumulative weighted attribution of the produced token, per step (each sample's sum divided
  by its number of steps, so that long answers do not weigh more);
- `end_contrast`: share of the end margin at the decision step minus its mean at earlier boundary
  steps, over the samples in which both exist;
- `nswap`: what changes in the share of the end margin when only the number asked for does, mean
  over N - 1 and N + 1;
- `effect`: measured, no attribution: the end margin at the decision step minus that without the
  component (the first of the configured modes);
- `norm`: mean norm over the answer's steps of what the component adds to the residual stream: its
  size alone, which any other score should beat.
- `atp`: attribution patching, what taking the component from the run with the next larger number
  would do to the end margin, to first order, at all positions; tuned models only.

Heads and MLPs are ranked apart; rank 1 is the largest signed score.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float

from lengthlens.errors import LengthlensError

METHODS = ("cwa", "end_contrast", "nswap", "effect", "norm", "atp")
KINDS = ("head", "mlp")
COLUMNS = ("component", "kind", "layer", "head", "method", "score", "rank")


def component_name(layer: int, head: int | None = None) -> str:
    """`L3H5` for a head, `L3M` for an MLP."""
    return f"L{layer}M" if head is None else f"L{layer}H{head}"


def with_forced(
    attribution: xr.Dataset, forced: xr.Dataset, patching: xr.Dataset | None = None
) -> xr.Dataset:
    """The scores of the methods from all files, which hold the same samples.

    Without `patching` AtP is NaN, as where a model has no gradients.

    Raises:
        LengthlensError: they do not.
    """
    _check_same(attribution, forced, "forced")
    scores = [f"{name}_{kind}" for name in ("nswap", "effect") for kind in KINDS]
    data = attribution.assign({name: forced[name] for name in scores})
    if patching is None:
        return data.assign({f"atp_{kind}": data[f"nswap_{kind}"][0] * np.nan for kind in KINDS})
    _check_same(attribution, patching, "patching")
    chosen = patching.sel(positions="all", swap=1)
    return data.assign({f"atp_{kind}": chosen[f"atp_{kind}"].variable for kind in KINDS})


def _check_same(attribution: xr.Dataset, other: xr.Dataset, kind: str) -> None:
    names = [attribution["sample_id"].to_numpy(), other["sample_id"].to_numpy()]
    if not np.array_equal(*names):
        raise LengthlensError(
            f"the attribution and the {kind} file hold {len(names[0])} and {len(names[1])} samples "
            f"that are not the same; delete the {kind} file and run again"
        )


def sample_scores(
    data: xr.Dataset, method: str, kind: str
) -> Float[np.ndarray, "sample layer *head"]:
    """One score a sample and component; NaN where a sample has none.

    Args:
        data: an attribution file, `with_forced` for the methods beyond `end_contrast`.
        method: one of METHODS.
        kind: `head` or `mlp`.
    """
    if method not in METHODS:
        raise LengthlensError(f"unknown selection method {method!r}; known: {', '.join(METHODS)}")
    scores = data[f"{method}_{kind}"]
    if method == "cwa":
        scores = scores.sel(target="token") / data["n_steps"]
    elif method == "nswap":
        scores = scores.mean("swap")
    elif method == "effect":
        scores = scores.isel(mode=0)
    return scores.to_numpy()


def select_components(data: xr.Dataset, methods: tuple[str, ...] = METHODS) -> pd.DataFrame:
    """Rank all heads and MLPs by each method on the `select` split.

    Returns:
        One row a component and method, with the columns `COLUMNS`; `head` is empty for MLPs.
        Components that a layer lacks have none.
        Where no sample of the split has a score (no answer reached its decision step, say), score
        and rank are empty.
    """
    chosen = data.isel(sample=np.flatnonzero(data["split"].to_numpy() == "select"))
    tables = []
    for method in methods:
        for kind in KINDS:
            there = present(data, kind)
            scores = sample_scores(chosen, method, kind)[:, there]
            defined = np.isfinite(scores).all(1)
            score = scores[defined].mean(0) if defined.any() else np.full(there.sum(), np.nan)
            places = np.argwhere(there)
            heads = places[:, 1] if kind == "head" else [pd.NA] * len(places)
            table = pd.DataFrame(
                {
                    "component": [component_name(*place) for place in places.tolist()],
                    "kind": kind,
                    "layer": places[:, 0],
                    "head": pd.array(heads, dtype="Int64"),
                    "method": method,
                    "score": score,
                }
            )
            table = table.sort_values("score", ascending=False, kind="stable")
            ranks = table["score"].rank(ascending=False, method="first")
            tables.append(table.assign(rank=ranks.astype("Int64")))
    return pd.concat(tables, ignore_index=True)


def present(data: xr.Dataset, kind: str) -> Bool[np.ndarray, "layer ..."]:
    """Which heads or MLPs a model has: an attribution file holds NaN for those that it lacks."""
    scores = data[f"cwa_{kind}"].sel(target="token")
    return scores.notnull().any("sample").transpose("layer", ...).to_numpy()
