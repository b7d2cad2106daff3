"""What ablation does, against controls: `tables/ablation.csv` and the figure of dose and response.

For a measure with the mean M over samples, the effect of removing a chosen set C is compared with
removing random sets D of as many heads of the same layers:

    effect = M(C) - mean over D of M(D).

Its interval resamples topics and control sets together (percentile bootstrap): another choice of
topics, and of control sets, could have been made. Where all distinct sets were tried it is
somewhat too wide.

Measures: `exact` (share of answers with exactly N words that were not cut), `error` (words - N),
`end_margin` (logits; samples without a decision step are left out).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int, Shaped

from lengthlens.statistics import Interval, mean_interval, share_interval
from lengthlens.statistics.resampling import draw_counts

MEASURES = ("exact", "error", "end_margin")
COLUMNS = (
    "model",
    "language",
    "measure",
    "method",
    "mode",
    "k",
    "components",
    "n_samples",
    "n_topics",
    "n_controls",
    "none",
    "chosen",
    "chosen_low",
    "chosen_high",
    "control",
    "effect",
    "effect_low",
    "effect_high",
    "level",
)


@dataclass(frozen=True)
class Dose:
    """What removing one set of heads does to one measure.

    Attributes:
        k: heads removed.
        components: their names, "L3H5;L4H0".
        chosen: interval for the mean over samples without the chosen heads, clustered by topic.
        draws: the mean over samples of every control set.
        samples, control_samples: what the two are means of.
    """

    k: int
    components: str
    chosen: Interval
    draws: Float[np.ndarray, " draw"]
    samples: Float[np.ndarray, " sample"]
    control_samples: Float[np.ndarray, "draw sample"]

    @property
    def effect(self) -> float:
        """Chosen minus the mean of the draws; NaN without draws."""
        return float(self.chosen.estimate - self.draws.mean()) if len(self.draws) else np.nan


def measure_values(data: xr.Dataset, measure: str) -> Float[np.ndarray, "condition sample"]:
    """One number for every condition and sample; NaN where a sample has none."""
    if measure == "exact":
        return ((data["error"] == 0) & ~data["truncated"]).to_numpy().astype(float)
    return data[measure].transpose("condition", "sample").to_numpy().astype(float)


def interval_of(
    values: Float[np.ndarray, " sample"],
    topics: Shaped[np.ndarray, " sample"],
    measure: str,
    options: Mapping,
) -> Interval:
    """Wilson's interval for a share, else that of a mean; clustered by topic."""
    if measure == "exact":
        return share_interval(values, topics, options["level"])
    return mean_interval(values, topics, **options)


def dose_response(
    data: xr.Dataset, measure: str, method: str, mode: str, options: Mapping
) -> list[Dose]:
    """The chosen sets of one method and mode, by their size, with their controls.

    Args:
        data: an ablation file.
        measure: one of MEASURES.
        method, mode: of the chosen sets.
        options: level, resamples and seed of the intervals.
    """
    values, topics = measure_values(data, measure), data["topic"].to_numpy()
    ours = (data["method"] == method).to_numpy() & (data["mode"] == mode).to_numpy()
    control, sizes = data["control"].to_numpy().astype(bool), data["k"].to_numpy()
    doses = []
    for k in np.unique(sizes[ours & ~control]):
        place = int(np.flatnonzero(ours & ~control & (sizes == k))[0])
        controls = values[ours & control & (sizes == k)]
        chosen = interval_of(values[place], topics, measure, options)
        name = str(data["components"].to_numpy()[place])
        doses.append(Dose(int(k), name, chosen, row_means(controls), values[place], controls))
    return doses


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
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Limits of the effect under resampling of topics and of control sets; NaN without either.

    NaN too where nothing varies, for no width would claim certainty.
    """
    keep = np.isfinite(chosen) & np.isfinite(draws).all(axis=0)
    names, topic = np.unique(topics[keep], return_inverse=True)
    if len(names) < 2 or len(draws) < 2:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    by_topic = np.zeros((len(names), len(draws) + 2))  # chosen set, control sets, samples
    table = np.column_stack([chosen[keep], draws[:, keep].T, np.ones(int(keep.sum()))])
    np.add.at(by_topic, topic, table)
    counts = _draws(len(names), resamples, rng) @ by_topic
    means = counts[:, :-1] / counts[:, -1:]
    weights = _draws(len(draws), resamples, rng) / len(draws)
    effects = means[:, 0] - (means[:, 1:] * weights).sum(axis=1)
    low, high = np.quantile(effects, [(1 - level) / 2, (1 + level) / 2])
    if low == high:  # every answer alike: the bootstrap of a constant has no width
        return np.nan, np.nan
    return float(low), float(high)


def _draws(size: int, resamples: int, rng: np.random.Generator) -> Float[np.ndarray, "draw item"]:
    one_block: Int[np.ndarray, " item"] = np.zeros(size, dtype=int)
    return draw_counts(one_block, resamples, rng)


def summarise_ablation(
    ablations: Mapping[tuple[str, str], xr.Dataset],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """One row a model, language, method, mode, k and measure (docs/files.md).

    Args:
        ablations: ablation file of each (model, language).
        level: of the intervals; resamples, seed: of their bootstrap.
    """
    options = {"level": level, "resamples": resamples, "seed": seed}
    rows = []
    for (model, language), data in ablations.items():
        kinds = data[["method", "mode"]].to_dataframe()[["method", "mode"]].drop_duplicates()
        topics = data["topic"].to_numpy()
        for measure in MEASURES:
            none = row_means(measure_values(data, measure)[:1])[0]
            for method, mode in kinds[kinds["method"] != "none"].itertuples(index=False):
                for dose in dose_response(data, measure, method, mode, options):
                    low, high = effect_limits(dose.samples, dose.control_samples, topics, **options)
                    rows.append(
                        {
                            "model": model,
                            "language": language,
                            "measure": measure,
                            "method": method,
                            "mode": mode,
                            "k": dose.k,
                            "components": dose.components,
                            "n_samples": int(dose.chosen.n),
                            "n_topics": len(np.unique(topics)),
                            "n_controls": len(dose.draws),
                            "none": none,
                            "chosen": float(dose.chosen.estimate),
                            "chosen_low": float(dose.chosen.low),
                            "chosen_high": float(dose.chosen.high),
                            "control": dose.draws.mean() if len(dose.draws) else np.nan,
                            "effect": dose.effect,
                            "effect_low": low,
                            "effect_high": high,
                            "level": level,
                        }
                    )
    return pd.DataFrame(rows, columns=list(COLUMNS))
