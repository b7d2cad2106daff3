"""Which score finds causes: attribution scores against measured effects, as `tables/scores.csv`.

A component's score is its mean over the `select` samples, its measured effect (`single_effects`)
the mean over the `evaluate` samples: no topic is on both sides. Their rank correlation over
components says how well the score ranks what components do.

| score | mean over samples of |
|---|---|
| `cwa`, `cwa_logit`, `cwa_end` | CWA of that target, per step (`cwa_end`: per boundary step) |
| `dla` | the same of the produced token without signs: DLA per step |
| `end_contrast`, `nswap` | as in `selection` |
| `norm` | the norm of the component's output: its size alone |
| `layer_mean` | `cwa`, averaged over the component's layer: its layer alone |
| `depth` | nothing: the number of its layer |
| `effect` | the measured effect itself, on the `select` samples: as well as can be expected |

| outcome | of the measured effect on the end margin |
|---|---|
| `decision` | at the decision step |
| `contrast` | at the decision step minus the mean at the earlier boundary steps |

A score *finds causes* only where its correlation exceeds that of `norm`, and the interval of the
difference lies above 0: where scores and effects both grow with a component's size, any score that
does so correlates with the effects.

`over` says which components are compared: `all` of a kind, or those `within` each layer (ranks
centred by layer), which a score that only knows its layer cannot rank.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int

from lengthlens.ablation.selection import present, sample_scores, with_forced
from lengthlens.analysis.tables import Files, header, of_split
from lengthlens.statistics import DEFAULT, Bootstrap, Ranking, agreement_interval, rank_components

KINDS = ("head", "mlp", "all")
OVERS = ("all", "within")
OUTCOMES = ("decision", "contrast")
REFERENCES = ("cwa", "norm")  # what the other scores are compared with

Values = Float[np.ndarray, "sample component"]


def _cwa(data: xr.Dataset, kind: str, target: str) -> np.ndarray:
    steps = data["n_boundary" if target == "end" else "n_steps"]
    return (data[f"cwa_{kind}"].sel(target=target) / steps.where(steps > 0)).to_numpy()


def _dla(data: xr.Dataset, kind: str) -> np.ndarray:
    plus, minus = (data[f"cwa_{kind}_{part}"].sel(target="token") for part in ("plus", "minus"))
    return ((plus - minus) / data["n_steps"]).to_numpy()


SCORES: dict[str, Callable[[xr.Dataset, str], np.ndarray]] = {
    "cwa": lambda data, kind: _cwa(data, kind, "token"),
    "cwa_logit": lambda data, kind: _cwa(data, kind, "logit"),
    "cwa_end": lambda data, kind: _cwa(data, kind, "end"),
    "dla": _dla,
    **{
        name: lambda data, kind, name=name: sample_scores(data, name, kind)
        for name in ("end_contrast", "nswap", "norm", "effect")
    },
}
BASELINES = ("layer_mean", "depth")
COLUMNS = header(
    "model tuning language kind over outcome mode score correlation± over_cwa± over_norm± "
    "n_components n_select n_evaluate n_topics level",
)


def layers_of(data: xr.Dataset, kind: str) -> Int[np.ndarray, " component"]:
    """The layer of every component of a kind, in the order of their columns."""
    layers, heads = np.arange(data.sizes["layer"]), data.sizes["head"]
    parts = {"head": np.repeat(layers, heads), "mlp": layers}
    return np.concatenate([parts[name] for name in parts_of(kind)])


def present_components(data: xr.Dataset, kind: str) -> Bool[np.ndarray, " component"]:
    """Which columns of a kind are components that the model of an attribution file has."""
    return np.concatenate([present(data, name).ravel() for name in parts_of(kind)])


def component_values(
    data: xr.Dataset, kind: str, read: Callable[[xr.Dataset, str], np.ndarray], lead: int = 1
) -> Float[np.ndarray, "... component"]:
    """What `read` gives for a kind, components side by side; `all`: heads, then MLPs.

    `lead` dims stand before those of the components, such as that of the samples.
    """
    values = [read(data, name) for name in parts_of(kind)]
    # NOTE not -1, which fails where there is no sample.
    flat = [part.reshape(*part.shape[:lead], math.prod(part.shape[lead:])) for part in values]
    return np.concatenate(flat, axis=lead)


def named_values(data: xr.Dataset, name: str, kind: str = "all", lead: int = 1) -> np.ndarray:
    """The variables `{name}_head` and `{name}_mlp`, as `component_values`."""
    return component_values(data, kind, lambda data, part: data[f"{name}_{part}"].to_numpy(), lead)


def score_values(data: xr.Dataset, kind: str, score: str) -> Values:
    """One score (module docstring) of every sample and component."""
    if score in SCORES:
        return component_values(data, kind, SCORES[score])
    layers = layers_of(data, kind)
    if score == "depth":
        return np.tile(layers.astype(float), (data.sizes["sample"], 1))
    values = component_values(data, kind, SCORES["cwa"])
    there = present_components(data, kind)
    means = {
        layer: values[:, there & (layers == layer)].mean(axis=1) for layer in set(layers[there])
    }
    lacking = np.full(len(values), np.nan)
    return np.stack([means.get(layer, lacking) for layer in layers], axis=1)


def effect_values(data: xr.Dataset, kind: str, outcome: str, mode: str) -> Values:
    """The measured effect of every sample and component."""

    def read(data: xr.Dataset, name: str) -> np.ndarray:
        effect = data[f"effect_{name}"]
        if outcome == "contrast":
            effect = effect - data[f"effect_before_{name}"]
        return effect.sel(mode=mode).to_numpy()

    return component_values(data, kind, read)


def parts_of(kind: str) -> tuple[str, ...]:
    """The kinds of components that a kind stands for."""
    return ("head", "mlp") if kind == "all" else (kind,)


class Comparison:
    """One model in one language: rankings by scores and by effects, each made once."""

    def __init__(self, attribution: xr.Dataset, forced: xr.Dataset, bootstrap: Bootstrap):
        data = with_forced(attribution, forced)
        before = [f"effect_before_{kind}" for kind in ("head", "mlp")]
        data = data.assign({name: forced[name] for name in before})
        self._whole = data
        self.select, self.evaluate = (of_split(data, split) for split in ("select", "evaluate"))
        self.modes = [str(mode) for mode in data["mode"].to_numpy()]
        self.level, self._bootstrap = bootstrap.level, bootstrap
        self._made: dict[tuple, Ranking] = {}

    def by_score(self, score: str, kind: str, over: str) -> Ranking:
        """Ranking by the mean score over the `select` samples."""
        return self._ranking(0, (score, kind, over), lambda data: score_values(data, kind, score))

    def by_effect(self, outcome: str, mode: str, kind: str, over: str) -> Ranking:
        """Ranking by the mean effect over the `evaluate` samples."""
        return self._ranking(
            1,
            (outcome, mode, kind, over),
            lambda data: effect_values(data, kind, outcome, mode),
        )

    def _ranking(
        self, side: int, key: tuple[str, ...], read: Callable[[xr.Dataset], Values]
    ) -> Ranking:
        """Ranking on one side: 0, the `select` samples, or 1, the `evaluate` samples."""
        if key not in self._made:
            data, (kind, over) = (self.select, self.evaluate)[side], key[-2:]
            there = present_components(self._whole, kind)
            groups = layers_of(data, kind)[there] if over == "within" else None
            topics = data["topic"].to_numpy()
            self._made[key] = rank_components(
                read(data)[:, there], topics, self._bootstrap.apart(side), groups=groups
            )
        return self._made[key]


def compare_scores(
    tunings: Mapping[str, str],
    attributions: Files,
    forced: Files,
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """The table of all scores against all outcomes.

    Returns:
        One row a model, language, kind, over, outcome, mode and score, columns `COLUMNS`.
        `over_cwa` and `over_norm` are the correlation minus that of `cwa` and of `norm`, both
        rankings made anew in the same draws of topics. Correlations that cannot exist are left
        out: within layers for MLPs and for scores that only know the layer.
    """
    rows = []
    for (model, language), attribution in attributions.items():
        made = Comparison(attribution, forced[model, language], bootstrap)
        about = {"model": model, "tuning": tunings[model], "language": language}
        for kind, over, outcome, mode in itertools.product(KINDS, OVERS, OUTCOMES, made.modes):
            if kind == "mlp" and over == "within":
                continue
            labels = {"kind": kind, "over": over, "outcome": outcome, "mode": mode}
            rows += [
                about | labels | {"score": score} | _row(made, score, **labels)
                for score in scores_over(kind, over)
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def scores_over(kind: str, over: str) -> list[str]:
    """The scores that can rank the components of a kind."""
    if over == "within":
        return list(SCORES)
    return [*SCORES, *(BASELINES if kind != "mlp" else BASELINES[1:])]


def _row(made: Comparison, score: str, kind: str, over: str, outcome: str, mode: str) -> dict:
    references = {name: made.by_score(name, kind, over) for name in REFERENCES if name != score}
    rankings = made.by_score(score, kind, over), made.by_effect(outcome, mode, kind, over)
    return agreement_row(*rankings, references, made.level)


def agreement_row(
    score: Ranking, effect: Ranking, references: Mapping[str, Ranking], level: float
) -> dict[str, float]:
    """Columns of a score's correlation with effects, and of how far it exceeds other scores'."""
    found = agreement_interval(score, effect, level=level)
    row = found.columns("correlation")
    for name, reference in references.items():
        gain = agreement_interval(score, effect, reference, level=level)
        row |= gain.columns(f"over_{name}")
    return row | {
        "n_components": int(found.n),
        "n_select": score.n_samples,
        "n_evaluate": effect.n_samples,
        "n_topics": int(found.n_clusters),
        "level": level,
    }
