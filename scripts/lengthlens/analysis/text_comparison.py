"""Is CWA more than behaviour? Untuned and tuned on their own and on equal text.

`tables/same_text.csv` (docs/method.md, 6): for every pair of models, language and group of
components the difference tuned minus untuned of the mean CWA per step, balanced over N:

| quantity | difference |
|---|---|
| `observed` | either model on its own answers |
| `on_tuned`, `on_untuned` | both on the tuned model's answers; on the untuned model's |
| `models` | mean of these two: what the models differ in where the text is equal |
| `behaviour` | observed minus `models`: what the exchange of the texts alone does |
| `interaction` | `on_tuned` minus `on_untuned`: what one text adds to the models' difference |
| `share` | `behaviour` / `observed`, the mean of the two below; left out where the interval of |
| | `observed` holds 0 |
| `share_on_tuned` | 1 - `on_tuned` / `observed`: what the untuned model alone does with the |
| | texts exchanged |
| `share_on_untuned` | 1 - `on_untuned` / `observed`: what the tuned model alone does |
| `shifted` | observed, mean over all circular shifts of each answer's signs (`sign_null_mean`) |

Everything is a combination of means per step in cells (model, text, N), so that one draw of topics
serves all models and texts. A share is linearised at its value s: its interval is that of
(part - s observed) / observed, with that last number as it is, moved by s.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Shaped

from lengthlens.analysis.groups import FINAL_MLP, LATE_HEADS, Group
from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.forced.texts import on_text
from lengthlens.statistics import DEFAULT, Bootstrap, Estimate, Interval, combination_interval

GROUPS = {
    "late heads": LATE_HEADS,
    "all heads": Group("head", (0.0, 1.0)),
    "final MLP": FINAL_MLP,
    "all MLPs": Group("mlp", (0.0, 1.0)),
}
TUNINGS = ("tuned", "untuned")


def _weights(*values: float) -> dict[tuple[str, str], float]:
    """(model, text) -> weight: tuned and untuned on the tuned model's text, then on the other."""
    places = [(model, text) for text in TUNINGS for model in TUNINGS]
    return {place: value for place, value in zip(places, values, strict=True) if value}


# Quantity -> weight of every (model, text).
WEIGHTS = {
    "observed": _weights(1.0, 0.0, 0.0, -1.0),
    "on_tuned": _weights(1.0, -1.0, 0.0, 0.0),
    "on_untuned": _weights(0.0, 0.0, 1.0, -1.0),
    "models": _weights(0.5, -0.5, 0.5, -0.5),
    "behaviour": _weights(0.5, 0.5, -0.5, -0.5),
    "interaction": _weights(1.0, -1.0, -1.0, 1.0),
}
# Share -> the part that it is the share of: what the exchange of the texts does to CWA, in both
# models (mean), in the untuned model, in the tuned model.
SHARES = {
    "share": WEIGHTS["behaviour"],
    "share_on_tuned": _weights(0.0, 1.0, 0.0, -1.0),
    "share_on_untuned": _weights(1.0, 0.0, -1.0, 0.0),
}
QUANTITIES = (*WEIGHTS, *SHARES, "shifted")
COLUMNS = header("tuned untuned language group quantity value± n_samples n_topics level")


@dataclass(frozen=True)
class Exchange:
    """Sums over answers of every (model, text), and their steps; columns are groups.

    Attributes:
        cwa, shifted: CWA of each group, observed and under shifted signs.
        steps, topics, n: of every row.
        cells: (model, text, N) of every row.
    """

    cwa: Float[np.ndarray, "row group"]
    shifted: Float[np.ndarray, "row group"]
    steps: Float[np.ndarray, " row"]
    topics: Shaped[np.ndarray, " row"]
    cells: list[tuple[str, str, int]]

    def difference(
        self,
        values: Float[np.ndarray, "row group"],
        weights: Mapping[tuple[str, str], float],
        bootstrap: Bootstrap,
    ) -> Interval:
        """For every group a combination of means per step: of (model, text), even over N."""
        cells, coefficients = sorted(set(self.cells)), {}
        for pair, weight in weights.items():
            own = [cell for cell in cells if cell[:2] == pair]
            coefficients |= dict.fromkeys(own, weight / len(own))
        return combination_interval(
            values, self.steps, self.topics, self.cells, coefficients, bootstrap=bootstrap
        )


def exchange_texts(
    attributions: Mapping[str, xr.Dataset],
    forced: Mapping[str, xr.Dataset],
    groups: Sequence[Group] = tuple(GROUPS.values()),
) -> Exchange | None:
    """Both models on both texts.

    Returns:
        None where a text was not forced on the other model.
    """
    arrays, cells = [], []
    for model, text in itertools.product(TUNINGS, TUNINGS):
        data = on_text(attributions[model], forced[model], text, model)
        if data is None:
            return None
        labels = attributions[model]
        sums = [group.sums(data) for group in groups]
        total, shifted = (
            np.stack([getattr(own, name) for own in sums], axis=1) for name in ("total", "shifted")
        )
        arrays.append((total, shifted, sums[0].steps, labels["topic"].to_numpy()))
        cells += [(model, text, n) for n in labels["n"].to_numpy().tolist()]
    return Exchange(*map(np.concatenate, zip(*arrays, strict=True)), cells)


def share_of_observed(
    exchange: Exchange, group: int, observed: Interval, bootstrap: Bootstrap, name: str = "share"
) -> Interval:
    """A share (`SHARES`) of the observed difference of a group, whose answers it counts."""
    values, part = exchange.cwa[:, [group]], SHARES[name]
    whole = exchange.difference(values, part, bootstrap)
    size = float(observed.estimate)
    share = float(whole.estimate[0]) / size
    pairs = dict.fromkeys((*part, *WEIGHTS["observed"]))
    weights = {
        pair: (part.get(pair, 0.0) - share * WEIGHTS["observed"].get(pair, 0.0)) / size
        for pair in pairs
    }
    around = exchange.difference(values, weights, bootstrap)[0]
    low, high = (np.asarray(share + float(limit)) for limit in (around.low, around.high))
    counts = {"n": observed.n, "n_clusters": observed.n_clusters}
    return replace(around, estimate=np.asarray(share), low=low, high=high, **counts)


def compare_texts(
    pairs: Sequence[Mapping[str, str]],
    attributions: Files,
    forced: Files,
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """The table of the module's docstring; pairs whose texts were not exchanged are left out."""
    exchanges: dict[tuple[str, ...], Exchange] = {}
    for pair in pairs:
        for language in dict.fromkeys(language for _, language in attributions):
            if set(TUNINGS) <= set(pair):
                own, others = (
                    {tuning: files[pair[tuning], language] for tuning in TUNINGS}
                    for files in (attributions, forced)
                )
                exchange = exchange_texts(own, others)
                if exchange is not None:
                    exchanges[*(pair[tuning] for tuning in TUNINGS), language] = exchange
    return table_of(exchanges, _rows, COLUMNS, bootstrap=bootstrap)


def _rows(exchange: Exchange, bootstrap: Bootstrap) -> Iterator[dict]:
    found = {
        name: exchange.difference(exchange.cwa, weights, bootstrap)
        for name, weights in WEIGHTS.items()
    }
    found["shifted"] = exchange.difference(exchange.shifted, WEIGHTS["observed"], bootstrap)
    for place, group in enumerate(GROUPS):
        observed = found["observed"][place]
        for quantity in QUANTITIES:
            if quantity not in SHARES:
                own = found[quantity][place]
            elif observed.low * observed.high > 0:
                own = share_of_observed(exchange, place, observed, bootstrap, quantity)
            else:  # the observed difference may be zero
                own = Estimate(*np.full(3, np.nan))
            yield {"group": group, "quantity": quantity, **own.columns("value"), **observed.basis}
