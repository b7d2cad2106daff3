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
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Int
from scipy import stats

from lengthlens.analysis.effects import COLUMNS as EFFECT_COLUMNS
from lengthlens.analysis.tables import header, language_pairs
from lengthlens.statistics import DEFAULT, Bootstrap, Estimate

MEASURES = ("exact", "absolute_error", "end_margin")
COLUMNS = header(
    "model source_language target_language untuned",
    *EFFECT_COLUMNS[EFFECT_COLUMNS.index("method") :],
)
CHANCE, WITHIN = ("{}", "chance_low", "chance_high"), ("{}", "within_low", "within_high")
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
    for model, first, second in language_pairs(selections):
        both = [_heads(selections[model, language]) for language in (first, second)]
        scores = pd.concat(both, axis=1, join="inner", keys=("first", "second")).dropna()
        about = {"model": model, "first": first, "second": second, "level": bootstrap.level}
        about["untuned"] = not {first, second}.isdisjoint(untuned)
        for method, part in scores.groupby("method", sort=False):
            if len(part) < 3:
                continue
            orders = _orders(tuple(part.index.get_level_values("layer")), bootstrap)
            within = part.groupby("layer").rank()
            within -= within.groupby("layer").transform("mean")  # so that layers no longer differ
            rows.append(
                about
                | {"method": method, "n_heads": len(part)}
                | _against_chance(part, orders, bootstrap).columns("correlation", ends=CHANCE)
                | _against_chance(within, orders, bootstrap).columns("within_layers", ends=WITHIN)
            )
    return pd.DataFrame(rows, columns=list(PROFILE_COLUMNS))


def _heads(selection: pd.DataFrame) -> pd.Series:
    heads = selection[selection["kind"] == "head"]
    return heads.set_index(["method", "layer", "head"])["score"]


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


def _against_chance(
    scores: pd.DataFrame, orders: Int[np.ndarray, "draw head"], bootstrap: Bootstrap
) -> Estimate:
    """Spearman's correlation of two columns, and its central range when the second is permuted."""
    x, y = (stats.rankdata(scores[side]) for side in scores)
    x, y = x - x.mean(), y - y.mean()
    scale = np.sqrt((x @ x) * (y @ y))
    if scale == 0:
        return Estimate(*np.full(3, np.nan))
    low, high = np.quantile(y[orders] @ x / scale, bootstrap.tails)
    return Estimate(*map(np.asarray, (x @ y / scale, low, high)))
