"""The secondary test: does a chosen set of heads do more than random sets of the same layers?

Null: the heads of a layer are exchangeable, so that the chosen set is one more random set. Its rank
among sets drawn from *all* layer-matched ones (pool `all`) is then uniform:
p = (1 + #{controls at least as extreme}) / (1 + #controls), one-sided. Where all distinct sets were
tried p is exact, and 19 others are enough; of drawn sets it takes 99. The heads are ranked on the
`select` topics and removed on the `evaluate` topics; k is fixed in claims.yaml.

The test is made in the first mode. Beside it stands what the same heads do in every mode, as in
`tables/ablation.csv`: against random sets of *other* heads, for the sizes `ablation.further_k`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from lengthlens.ablation.hypotheses import Hypothesis
from lengthlens.analysis.effects import (
    against_controls,
    chosen_sets,
    interval_of,
    row_means,
)
from lengthlens.analysis.outcomes import measure_clusters, measure_values
from lengthlens.statistics import Bootstrap, permutation_p
from lengthlens.statistics.permutation import FEWEST_DRAWS, FEWEST_ENUMERATED

MODES = ("zero", "mean", "resample")


def set_test(hypothesis: Hypothesis, data: xr.Dataset, bootstrap: Bootstrap) -> dict:
    """Make the test of one model in one language.

    Returns:
        A part of a row of tables/confirmatory.csv.
    """
    names = [str(name).split(";") for name in data["test"].to_numpy()]
    found = next(
        (one for one in chosen_sets(data, "all") if hypothesis.id in names[one.place]), None
    )
    if found is None:
        few = f"the model has no {hypothesis.k} heads that {hypothesis.method} ranks"
        return {"reason": few}
    measure = hypothesis.effect
    values, clusters = measure_values(data, measure), measure_clusters(data, measure)
    chosen = interval_of(values[found.place], clusters, measure, bootstrap)
    estimate = float(chosen.estimate)
    draws, control, value = against_controls(estimate, values, found, clusters, bootstrap)
    possible = float(data["n_possible"].to_numpy()[found.place])
    fewest = FEWEST_ENUMERATED if len(draws) >= possible else FEWEST_DRAWS
    p = float(permutation_p(estimate, draws, hypothesis.direction, fewest))
    effects: dict[str, float] = {}
    for other in chosen_sets(data):  # the same heads in every mode that the file has them in
        mode = str(other.labels["mode"])
        if mode in MODES and other.labels == found.labels | {"mode": mode}:
            mean = row_means(values[[other.place]])[0]
            *_, effect = against_controls(mean, values, other, clusters, bootstrap)
            effects |= effect.columns(f"effect_{mode}")
    return {
        "mode": str(data["mode"].to_numpy()[found.place]),
        "components": str(data["components"].to_numpy()[found.place]),
        "n_components": int(found.labels["k"]),
        **chosen.basis,
        "n_draws": len(draws),
        "n_possible": possible,
        "chosen": estimate,
        "control": control,
        **value.columns("value"),
        **effects,
        "p": p,
        "reason": "" if np.isfinite(p) else _why(estimate, len(draws), possible),
    }


def _why(chosen: float, n_draws: int, possible: float) -> str:
    if np.isnan(chosen):
        return "no answer has a value"
    if n_draws >= possible:
        return f"only {n_draws} other sets exist; a p-value needs {FEWEST_ENUMERATED}"
    return f"{n_draws} random sets of {possible:.0f}; a p-value needs {FEWEST_DRAWS} or all of them"
