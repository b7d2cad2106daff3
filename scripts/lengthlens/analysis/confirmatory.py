"""The confirmatory family: few tests, named beforehand, with p-values that can be relied on.

Each test asks whether a chosen set of heads lies to the claimed side of random sets of as many
heads of the same layers. Under the null hypothesis, that the score which ranked the heads knows
nothing beyond their layer, the chosen set is one more random set, and its rank is uniform:
p = (1 + #{controls at least as extreme}) / (1 + #controls), one-sided. The ranking is made on the
select topics and the test on the evaluate topics. The size k is the smallest, up to the largest
configured one, with at least 99 distinct controls (`sweep.size_to_test`); from fewer there is no
p-value.

Holm's correction keeps the chance of any false positive in a family (a pair of models: one base and
one instruct) at the level. A test that could not be made enters it with p = 1, which can only make
the others harder to pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.ablation.hypotheses import Hypothesis
from lengthlens.analysis.effects import answered, effect_limits, interval_of, row_means
from lengthlens.analysis.outcomes import measure_clusters, measure_values
from lengthlens.statistics import holm, permutation_p
from lengthlens.statistics.permutation import FEWEST_DRAWS

COLUMNS = (
    "id",
    "claim",
    "model",
    "language",
    "method",
    "mode",
    "k",
    "components",
    "measure",
    "direction",
    "n_samples",
    "n_topics",
    "n_controls",
    "n_possible",
    "chosen",
    "control",
    "effect",
    "effect_low",
    "effect_high",
    "p",
    "p_holm",
    "verdict",
    "reason",
    "level",
)


def confirm(
    hypotheses: Sequence[Hypothesis],
    models: Mapping[str, str],
    ablations: Mapping[tuple[str, str], xr.Dataset],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Make all tests for a pair of models.

    Args:
        hypotheses: the family.
        models: variant -> name of the pair's model.
        ablations: ablation file of each (model, language).
        level: 1 - level is the family-wise error rate; resamples, seed: of the effects' intervals.

    Returns:
        One row a test, columns `COLUMNS`; `p` is NaN and `reason` says why where it was not made.
    """
    rows = []
    for hypothesis in hypotheses:
        row = {name: getattr(hypothesis, name) for name in ("id", "claim", "language", "method")}
        row |= {"measure": hypothesis.measure, "direction": hypothesis.direction, "level": level}
        row |= {"model": models.get(hypothesis.variant, ""), "p": np.nan, "reason": ""}
        data = ablations.get((row["model"], hypothesis.language))
        if data is None:
            what = f"no {hypothesis.variant} model with prompts in {hypothesis.language}"
            rows.append(row | {"reason": f"the run has {what}"})
            continue
        options = {"level": level, "resamples": resamples, "seed": seed}
        rows.append(row | _made(hypothesis, data, options))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    if len(table):
        table["p_holm"] = holm(table["p"].fillna(1.0).to_numpy(dtype=float))
        table["verdict"] = [
            "not tested" if np.isnan(row.p) else "shown" if row.p_holm <= 1 - level else "not shown"
            for row in table.itertuples()
        ]
    return table


def _made(hypothesis: Hypothesis, data: xr.Dataset, options: Mapping) -> dict:
    mine = (data["test"] == hypothesis.id).to_numpy()
    control = data["control"].to_numpy().astype(bool)
    if not mine.any():
        return {
            "reason": f"no k leaves {FEWEST_DRAWS} distinct random sets of heads of the "
            "same layers beside the highest-ranked ones"
        }
    place = int(np.flatnonzero(mine & ~control)[0])
    values = measure_values(data, hypothesis.measure)
    clusters = measure_clusters(data, hypothesis.measure)
    chosen = interval_of(values[place], clusters, hypothesis.measure, options)
    controls = answered(values[mine & control])
    draws = row_means(controls)
    p = float(permutation_p(float(chosen.estimate), draws, hypothesis.direction))
    low, high = effect_limits(values[place], controls, clusters, **options)
    mean = draws.mean() if len(draws) else np.nan
    too_few = f"{len(draws)} random sets; a p-value needs {FEWEST_DRAWS}"
    return {
        "mode": str(data["mode"].to_numpy()[place]),
        "k": int(data["k"].to_numpy()[place]),
        "components": str(data["components"].to_numpy()[place]),
        "n_samples": int(chosen.n),
        "n_topics": int(chosen.n_clusters),
        "n_controls": len(draws),
        "n_possible": float(data["n_possible"].to_numpy()[place]),
        "chosen": float(chosen.estimate),
        "control": mean,
        "effect": float(chosen.estimate) - mean,
        "effect_low": low,
        "effect_high": high,
        "p": p,
        "reason": "" if np.isfinite(p) else too_few,
    }
