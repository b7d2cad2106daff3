"""The count in the stream, as tables: `count_probes.csv`, `steering.csv`, `neurons.csv`.

- `count_probes`, a row a layer that the stream enters. `beyond`: the share of what the covariates
  leave of words left that the stream explains (`count.probing`); `control`: the same of permuted n.
- `steering`, a row a shift delta. `change`: words written minus those without it; `null`: the same
  of the directions of permuted n; `slope`: words written for one word of delta, over all delta.
- `neurons`, a row a number k. `share`: of the N effect what goes with the first k neurons of the
  final MLP by AtP; `random`: with k drawn at random.

`low` and `high` of what is permuted or random are the lowest and the highest draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.circuits.faithfulness import share_of_effect
from lengthlens.statistics import Bootstrap, mean_interval, ratio_interval

TRUE = -1  # in the place of the number of a draw
_LABELS = ("model", "language")
_COUNTS = ("n_draws", "n_samples", "n_topics", "level", "absent")
PROBES = header(*_LABELS, "layer depth beyond± control± covariates select", *_COUNTS)
STEERING = header(*_LABELS, "layer delta written change± null± cut slope± null_slope±", *_COUNTS)
NEURONS = header(*_LABELS, "layer k n_neurons neurons share± random± n_effect±", *_COUNTS)
_NAMED = 16  # neurons that a row names


def summarise_count(files: Files, bootstrap: Bootstrap) -> dict[str, pd.DataFrame]:
    """The three tables; what was not measured has one row with the reason in `absent`."""
    makers = {
        "count_probes": (_probes, PROBES, "absent"),
        "steering": (_steering, STEERING, "steering_absent"),
        "neurons": (_neurons, NEURONS, "neurons_absent"),
    }

    return {
        name: table_of(files, _rows, columns, make=make, absent=absent, bootstrap=bootstrap)
        for name, (make, columns, absent) in makers.items()
    }


def _rows(data: xr.Dataset, make: Callable, absent: str, bootstrap: Bootstrap) -> Iterator[dict]:
    reason = data.attrs[absent]
    for row in [{}] if reason else make(data, bootstrap):
        yield {"level": bootstrap.level, "absent": reason} | row


def _probes(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    topics, layers = data["topic"].to_numpy(), data["layer"].to_numpy().tolist()
    stream = data["sse_stream"].transpose("draw", "sample", "layer").to_numpy()
    covariates, mean = (data[f"sse_{name}"].to_numpy() for name in ("covariates", "mean"))
    known = np.isfinite(covariates[0]) & (covariates[0] > 0)
    found = ratio_interval(stream[0, known], covariates[0, known], topics[known], bootstrap)
    beyond = 1 - stream[:, known].sum(1) / covariates[:, known].sum(1)[:, None]
    for place, layer in enumerate(layers):
        yield {
            "layer": layer,
            "depth": layer / data.attrs["n_layers"],
            "beyond": 1 - float(found.estimate[place]),
            "beyond_low": 1 - float(found.high[place]),
            "beyond_high": 1 - max(float(found.low[place]), 0.0),  # errors are never below 0
            **_of_draws("control", beyond[1:, place]),
            "covariates": 1 - covariates[0, known].sum() / mean[0, known].sum(),
            "select": float(data["select"].to_numpy()[place]),
            "n_draws": len(beyond) - 1,
            **found[place].basis,
        }


def _steering(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    written, topics = data["written"].to_numpy(), data["topic"].to_numpy()
    known = np.isfinite(written)
    change = (data["steered"] - data["written"]).to_numpy()[..., known]
    cut, topics = data["cut"].to_numpy()[0][:, known], topics[known]
    steps = data["delta"].to_numpy()
    own = mean_interval(change[0].T, topics, bootstrap)
    slopes = np.einsum("wds,d->ws", change, steps) / np.square(steps).sum()
    slope = mean_interval(slopes[0], topics, bootstrap).columns("slope")
    slope |= _of_draws("null_slope", slopes[1:].mean(1))
    for place, step in enumerate(steps.tolist()):
        yield {
            "layer": int(data["steered_layer"]),
            "delta": step,
            "written": float(written[known].mean() + change[0, place].mean()),
            **own[place].columns("change"),
            **_of_draws("null", change[1:, place].mean(1)),
            "cut": float(cut[place].mean()),
            **slope,
            "n_draws": len(change) - 1,
            **own[place].basis,
        }


def _neurons(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    effect, topics = data["n_effect"].to_numpy(), data["topic"].to_numpy()
    share = share_of_effect(data["noised"].to_numpy().T, effect, topics, bootstrap)
    total = mean_interval(effect, topics, bootstrap)
    k, draw = data["k"].to_numpy(), data["neuron_draw"].to_numpy()
    order = np.argsort(-data["atp_neuron"].to_numpy(), kind="stable")
    for place in np.flatnonzero(draw == TRUE).tolist():
        drawn = (k == k[place]) & (draw != TRUE)
        yield {
            "layer": data.attrs["n_layers"] - 1,
            "k": int(k[place]),
            "n_neurons": len(order),
            "neurons": ";".join(map(str, order[: min(int(k[place]), _NAMED)])),
            **share[place].columns("share"),
            **_of_draws("random", share.estimate[drawn]),
            **total.columns("n_effect"),
            "n_draws": int(drawn.sum()),
            **total.basis,
        }


def _of_draws(name: str, values: Float[np.ndarray, " draw"]) -> dict[str, float]:
    """Mean, lowest and highest of some draws."""
    limits = (values.mean(), values.min(), values.max()) if len(values) else (np.nan,) * 3
    return {name + end: float(v) for end, v in zip(("", "_low", "_high"), limits, strict=True)}
