"""Do components that were found in one language carry control in another? `tables/transfer.csv`.

The heads that a method ranks highest in a *source* language are removed while the model answers in
a *target* language, beside random heads of the same layers. On the diagonal the two languages are
the same. Targets that are `untuned` never took part in the tuning of the model.

`tables/profiles.csv`: do the rankings agree in the first place? Spearman's correlation of the
scores of all heads between two languages, over all layers and within them (scores ranked within
each layer). A correlation of profiles has no valid interval (docs/statistics.md), so beside it
stands what chance gives: the central range when heads are permuted within their layers.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import stats

from lengthlens.analysis.effects import COLUMNS as EFFECT_COLUMNS
from lengthlens.analysis.tables import header
from lengthlens.statistics import DEFAULT, Bootstrap

MEASURES = ("exact", "absolute_error", "end_margin")
COLUMNS = header(
    "model source_language target_language untuned",
    *EFFECT_COLUMNS[EFFECT_COLUMNS.index("method") :],
)
PROFILE_COLUMNS = header(
    "model method first second untuned n_heads correlation chance_low chance_high within_layers "
    "within_low within_high level",
)


def summarise_transfer(effects: pd.DataFrame, untuned: Sequence[str]) -> pd.DataFrame:
    """The rows of tables/ablation.csv that make a source × target matrix, columns `COLUMNS`."""
    top = effects[(effects["chosen_by"] == "top") & effects["measure"].isin(MEASURES)]
    across = top[top["source_language"] != top["language"]]
    keys = ["model", "method", "mode", "k"]
    sizes = across[keys].drop_duplicates()
    table = top.merge(sizes, on=keys).rename(columns={"language": "target_language"})
    table["untuned"] = table["target_language"].isin(list(untuned))
    order = ["model", "method", "k", "measure", "source_language", "target_language"]
    return table.sort_values(order, kind="stable", ignore_index=True)[list(COLUMNS)]


def correlate_profiles(
    selections: Mapping[tuple[str, str], pd.DataFrame],
    untuned: Sequence[str],
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Correlation of every two languages' scores of heads, columns `PROFILE_COLUMNS`."""
    rows = []
    for model in dict.fromkeys(name for name, _ in selections):
        languages = [language for name, language in selections if name == model]
        for first, second in itertools.combinations(languages, 2):
            one, other = (_heads(selections[model, language]) for language in (first, second))
            both = one.join(other, how="inner", suffixes=("_first", "_second"))
            for method in dict.fromkeys(both.index.get_level_values("method")):
                part = both.loc[method].dropna()
                if len(part) < 3:
                    continue
                layers = part.index.get_level_values("layer").to_numpy()
                a, b = (part[f"score_{side}"].to_numpy() for side in ("first", "second"))
                orders = _orders(tuple(layers.tolist()), bootstrap)
                row = {"model": model, "method": method, "first": first, "second": second}
                row |= {"untuned": bool({first, second} & set(untuned)), "level": bootstrap.level}
                row["n_heads"] = len(part)
                names = ("correlation", "chance_low", "chance_high")
                row |= dict(zip(names, _against_chance(a, b, orders, bootstrap), strict=True))
                ranked = [_within(values, layers) for values in (a, b)]
                names = ("within_layers", "within_low", "within_high")
                row |= dict(zip(names, _against_chance(*ranked, orders, bootstrap), strict=True))
                rows.append(row)
    return pd.DataFrame(rows, columns=list(PROFILE_COLUMNS))


def _heads(selection: pd.DataFrame) -> pd.DataFrame:
    heads = selection[selection["kind"] == "head"]
    return heads.set_index(["method", "layer", "head"])[["score"]]


@functools.lru_cache(maxsize=1)
def _orders(layers: tuple[int, ...], bootstrap: Bootstrap) -> Int[np.ndarray, "draw head"]:
    """Random orders of the heads in which each stays in its layer; not to be changed."""
    rng = bootstrap.rng()
    orders = np.tile(np.arange(len(layers)), (bootstrap.resamples, 1))
    members = [np.flatnonzero(np.equal(layers, layer)) for layer in np.unique(layers)]
    for order in orders:
        for places in members:
            order[places] = rng.permutation(places)
    return orders


def _within(scores: Float[np.ndarray, " head"], layers: Int[np.ndarray, " head"]) -> np.ndarray:
    """Ranks within each layer, centred, so that layers no longer differ."""
    ranks = np.empty(len(scores))
    for layer in np.unique(layers):
        places = layers == layer
        ranks[places] = stats.rankdata(scores[places]) - (places.sum() + 1) / 2
    return ranks


def _against_chance(
    a: Float[np.ndarray, " head"],
    b: Float[np.ndarray, " head"],
    orders: Int[np.ndarray, "draw head"],
    bootstrap: Bootstrap,
) -> tuple[float, float, float]:
    """Spearman's correlation, and its central range under the permutations of b."""
    x, y = (stats.rankdata(values) for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    if scale == 0:
        return np.nan, np.nan, np.nan
    low, high = np.quantile(y[orders] @ x / scale, bootstrap.tails)
    return float(x @ y / scale), float(low), float(high)
