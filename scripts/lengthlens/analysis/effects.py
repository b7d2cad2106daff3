"""What ablation does, against nothing and against controls: `tables/ablation.csv`.

For a measure with the mean M over samples, two numbers tell what removing a chosen set C does:

    change = M(C) - M(nothing removed), paired by sample,
    effect = M(C) - mean over D of M(D), D random sets of as many *other* heads of the same layers.

The interval of the change is clustered by topic. That of the effect resamples topics and control
sets together (percentile bootstrap): another choice of topics, and of control sets, could have been
made. Where all distinct sets were tried it is somewhat too wide. It says how far C is from the
*average* random set, and nothing of how many random sets are as far: that is a test (`set_tests`),
whose controls are of another pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped

from lengthlens.analysis.outcomes import MEASURES, SHARES, measure_clusters, measure_values
from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.statistics import (
    DEFAULT,
    Bootstrap,
    Estimate,
    Interval,
    mean_interval,
    share_interval,
)
from lengthlens.statistics.resampling import draw_counts

GROUP = ("source_language", "chosen_by", "method", "mode", "k")
COLUMNS = header(
    "model language",
    *GROUP,
    "kind components measure n_samples n_topics n_controls n_possible none chosen± change± "
    "control effect± level",
)


@dataclass(frozen=True)
class ChosenSet:
    """A chosen set of an ablation file: its labels (`GROUP`), its condition and its controls'."""

    labels: Mapping
    place: int
    controls: Int[np.ndarray, " control"]


@dataclass(frozen=True)
class Dose:
    """What removing one set of components does to one measure.

    Attributes:
        k: components removed.
        chosen: interval for the mean over samples without the chosen ones, clustered by topic.
        draws: the mean over samples of every control set.
    """

    k: int
    chosen: Interval
    draws: Float[np.ndarray, " draw"]


def chosen_sets(data: xr.Dataset, pool: str = "disjoint") -> list[ChosenSet]:
    """The chosen sets of an ablation file with their controls of a pool, in its order.

    Args:
        data: an ablation or a repair file.
        pool: `disjoint`, those of effect sizes, with the sets that have no controls; or `all`,
            those of tests.
    """
    columns = [*GROUP, "control", "pool"]
    table = data[columns].to_dataframe()[columns].reset_index(drop=True)
    table = table[(table["chosen_by"] != "") & ((table["pool"] == "all") == (pool == "all"))]
    found = []
    for labels, part in table.groupby(list(GROUP), sort=False):
        control = part["control"].to_numpy().astype(bool)
        rows = part.index.to_numpy()
        labels = dict(zip(GROUP, labels, strict=True))
        found.append(ChosenSet(labels, int(rows[~control][0]), rows[control]))
    return found


def interval_of(
    values: Float[np.ndarray, "sample ..."],
    clusters: Shaped[np.ndarray, " sample"],
    measure: str,
    bootstrap: Bootstrap,
) -> Interval:
    """Wilson's interval for a share, else that of a mean; clustered by topic."""
    if measure in SHARES:
        return share_interval(values, clusters, bootstrap.level)
    return mean_interval(values, clusters, bootstrap)


def dose_response(
    data: xr.Dataset, measure: str, method: str, mode: str, bootstrap: Bootstrap, language: str = ""
) -> list[Dose]:
    """The top-ranked sets of one method and mode, by their size, with their controls.

    Args:
        data: an ablation file.
        measure: one of MEASURES.
        method, mode: of the chosen sets.
        bootstrap: of the intervals.
        language: in which the sets were chosen; by default that of the file's own prompts.
    """
    values, clusters = measure_values(data, measure), measure_clusters(data, measure)
    source = language or own_language(data)
    doses = []
    for found in chosen_sets(data):
        wanted = (source, "top", method, mode)
        if tuple(found.labels[name] for name in GROUP[:4]) != wanted:
            continue
        chosen = interval_of(values[found.place], clusters, measure, bootstrap)
        draws = row_means(answered(values[found.controls]))
        doses.append(Dose(int(found.labels["k"]), chosen, draws))
    return sorted(doses, key=lambda dose: dose.k)


def own_language(data: xr.Dataset) -> str:
    """The language of an ablation file's prompts."""
    return str(data["source_language"].to_numpy()[0])  # of the condition `none`


def answered(values: Float[np.ndarray, "row sample"]) -> Float[np.ndarray, "kept sample"]:
    """The rows that have any value."""
    return values[np.isfinite(values).any(axis=1)]


def row_means(values: Float[np.ndarray, "row sample"]) -> Float[np.ndarray, " row"]:
    """Means over the samples that have a value; NaN for a row without any."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(sums, count, out=np.full(len(values), np.nan), where=count > 0)


def effect_limits(
    chosen: Float[np.ndarray, " sample"],
    draws: Float[np.ndarray, "draw sample"],
    topics: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap = DEFAULT,
) -> tuple[float, float]:
    """Limits of the effect under resampling of topics and of control sets; NaN without either.

    NaN too where nothing varies, for no width would claim certainty.
    """
    keep: Bool[np.ndarray, " sample"] = np.isfinite(chosen) & np.isfinite(draws).all(axis=0)
    names, topic = np.unique(topics[keep], return_inverse=True)
    if len(names) < 2 or len(draws) < 2:
        return np.nan, np.nan
    by_topic = np.zeros((len(names), len(draws) + 2))  # chosen set, control sets, samples
    table = np.column_stack([chosen[keep], draws[:, keep].T, np.ones(int(keep.sum()))])
    np.add.at(by_topic, topic, table)
    counts = _draws(len(names), bootstrap.resamples, bootstrap.seed) @ by_topic
    weights = _draws(len(draws), bootstrap.resamples, bootstrap.seed + 1) / len(draws)
    means = counts[:, 0] - np.einsum("rd,rd->r", counts[:, 1:-1], weights)
    low, high = np.quantile(means / counts[:, -1], bootstrap.tails)
    if low == high:  # every answer alike: the bootstrap of a constant has no width
        return np.nan, np.nan
    return float(low), float(high)


@lru_cache(maxsize=64)
def _draws(size: int, resamples: int, seed: int) -> Float[np.ndarray, "draw item"]:
    """Multinomial counts; the same for all measures and sets of equal size, drawn once."""
    return draw_counts(size, resamples, np.random.default_rng([seed, size]))


def against_controls(
    chosen: float,
    values: Float[np.ndarray, "condition sample"],
    found: ChosenSet,
    clusters: Shaped[np.ndarray, " sample"],
    bootstrap: Bootstrap,
) -> tuple[Float[np.ndarray, " draw"], float, Estimate]:
    """Means of the control sets, the mean of these, and the effect: `chosen` minus that."""
    controls = answered(values[found.controls])
    draws = row_means(controls)
    control = draws.mean() if len(draws) else np.nan
    limits = effect_limits(values[found.place], controls, clusters, bootstrap)
    return draws, control, Estimate(*map(np.asarray, (chosen - control, *limits)))


def summarise_ablation(ablations: Files, bootstrap: Bootstrap = DEFAULT) -> pd.DataFrame:
    """One row a model, language, chosen set and measure (docs/files.md)."""
    return table_of(ablations, _rows, COLUMNS, bootstrap=bootstrap)


def _rows(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    sets = chosen_sets(data)
    for measure in MEASURES if sets else ():
        values, clusters = measure_values(data, measure), measure_clusters(data, measure)
        chosen = values[[found.place for found in sets]]
        mean = interval_of(chosen.T, clusters, measure, bootstrap)
        change = mean_interval((chosen - values[0]).T, clusters, bootstrap)
        none = row_means(values[:1])[0]
        for column, found in enumerate(sets):
            estimate = float(mean.estimate[column])
            draws, control, effect = against_controls(estimate, values, found, clusters, bootstrap)
            yield found.labels | {
                "kind": str(data["kind"].to_numpy()[found.place]),
                "components": str(data["components"].to_numpy()[found.place]),
                "measure": measure,
                **mean[column].basis,
                "n_controls": len(draws),
                "n_possible": float(data["n_possible"].to_numpy()[found.place]),
                "none": none,
                **mean[column].columns("chosen"),
                **change[column].columns("change"),
                "control": control,
                **effect.columns("effect"),
            }
