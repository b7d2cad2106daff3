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

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped

from lengthlens.ablation.selection import present, sample_scores, with_forced
from lengthlens.analysis.tables import Files, header, of_split, table_of
from lengthlens.statistics import DEFAULT, Bootstrap, Ranking, agreement_interval, rank_components

CASES = (("head", "all"), ("head", "within"), ("mlp", "all"), ("all", "all"), ("all", "within"))
OUTCOMES = ("decision", "contrast")
REFERENCES = ("cwa", "norm")  # what the other scores are compared with
TARGETS = {"cwa": "token", "cwa_logit": "logit", "cwa_end": "end"}
SCORES = (*TARGETS, "dla", "end_contrast", "nswap", "norm", "effect")
COLUMNS = header(
    "model tuning language kind over outcome mode score correlation± over_cwa± over_norm± "
    "n_components n_select n_evaluate n_topics level",
)

Values = Float[np.ndarray, "sample component"]


def one_kind_scores(data: xr.Dataset, kind: str, score: str) -> Float[np.ndarray, "sample ..."]:
    """A score of `SCORES`, or a method of `selection`, of heads [layer head] or MLPs [layer]."""
    if score in TARGETS:
        steps = data["n_boundary" if score == "cwa_end" else "n_steps"]
        sums = data[f"cwa_{kind}"].sel(target=TARGETS[score])
        return (sums / steps.where(steps > 0)).to_numpy()
    if score == "dla":
        plus, minus = (data[f"cwa_{kind}_{sign}"].sel(target="token") for sign in ("plus", "minus"))
        return ((plus - minus) / data["n_steps"]).to_numpy()
    return sample_scores(data, score, kind)


def layers_of(data: xr.Dataset, kind: str) -> Int[np.ndarray, " component"]:
    """The layer of every component of a kind, in the order of their columns."""
    layers, heads = np.arange(data.sizes["layer"]), data.sizes["head"]
    parts = {"head": np.repeat(layers, heads), "mlp": layers}
    return component_values(kind, parts.get, lead=0)


def component_values(
    kind: str, read: Callable[[str], np.ndarray], lead: int = 1
) -> Shaped[np.ndarray, "... component"]:
    """What `read` gives for `head` or `mlp`, components side by side; `all`: heads, then MLPs.

    `lead` dims stand before those of the components, such as that of the samples.
    """
    values = [read(part) for part in (("head", "mlp") if kind == "all" else (kind,))]
    # NOTE not -1, which fails where there is no sample.
    flat = [part.reshape(*part.shape[:lead], math.prod(part.shape[lead:])) for part in values]
    return np.concatenate(flat, axis=lead)


def named_values(data: xr.Dataset, name: str, kind: str = "all", lead: int = 1) -> np.ndarray:
    """The variables `{name}_head` and `{name}_mlp`, as `component_values`."""
    return component_values(kind, lambda part: data[f"{name}_{part}"].to_numpy(), lead)


def score_values(data: xr.Dataset, kind: str, score: str) -> Values:
    """One score (module docstring) of every sample and component."""
    layers = layers_of(data, kind)
    if score == "depth":
        return np.tile(layers.astype(float), (data.sizes["sample"], 1))
    if score != "layer_mean":
        return component_values(kind, lambda part: one_kind_scores(data, part, score))
    values, there = score_values(data, kind, "cwa"), present_components(data, kind)
    means = np.full(values.shape, np.nan)
    for layer in np.unique(layers[there]):
        means[:, layers == layer] = values[:, there & (layers == layer)].mean(axis=1, keepdims=True)
    return means


def present_components(data: xr.Dataset, kind: str) -> Bool[np.ndarray, " component"]:
    """Which columns of a kind are components that the model of an attribution file has."""
    return component_values(kind, lambda part: present(data, part), lead=0)


def with_effects(attribution: xr.Dataset, forced: xr.Dataset) -> xr.Dataset:
    """All scores, and the measured effects at the decision step (`effect_`) and before it."""
    before = [f"effect_before_{kind}" for kind in ("head", "mlp")]
    return with_forced(attribution, forced).assign({name: forced[name] for name in before})


def effect_values(data: xr.Dataset, kind: str, outcome: str, mode: str) -> Values:
    """The measured effect of every sample and component."""
    data = data.sel(mode=mode)
    effect = named_values(data, "effect", kind)
    return effect - named_values(data, "effect_before", kind) if outcome == "contrast" else effect


class Comparison:
    """Components of a kind, over all or within layers, ranked by scores and by effects.

    Attributes:
        select, evaluate: answers that the scores are of, and those that the effects are of.
        kind: `head`, `mlp` or `all`; of its components those that are `chosen`.
    """

    def __init__(
        self,
        scores: xr.Dataset,
        effects: xr.Dataset,
        case: tuple[str, str],
        bootstrap: Bootstrap,
        chosen: Bool[np.ndarray, " component"] | bool = True,
    ) -> None:
        self.select, self.evaluate = of_split(scores, "select"), of_split(effects, "evaluate")
        self.kind, over = case
        self._bootstrap, self._there = bootstrap, present_components(scores, self.kind) & chosen
        self._layers = layers_of(scores, self.kind) if over == "within" else None

    def by_score(self, score: str) -> Ranking:
        """Ranking by the mean score over the `select` samples."""
        return self._ranking(score_values(self.select, self.kind, score), self.select, 0)

    def by_effect(self, values: Values) -> Ranking:
        """Ranking by the mean of what was measured on the `evaluate` samples."""
        return self._ranking(values, self.evaluate, 1)

    def _ranking(self, values: Values, data: xr.Dataset, side: int) -> Ranking:
        groups = None if self._layers is None else self._layers[self._there]
        topics, draws = data["topic"].to_numpy(), self._bootstrap.apart(side)
        return rank_components(values[:, self._there], topics, draws, groups=groups)

    def rows(
        self,
        scores: Iterable[str],
        references: Iterable[str],
        effects: Iterable[tuple[Mapping[str, str], Values]],
    ) -> Iterator[dict]:
        """Correlation of every score with every effect, and how far it exceeds the references'."""
        rankings, level = {name: self.by_score(name) for name in scores}, self._bootstrap.level
        for labels, values in effects:
            effect = self.by_effect(values)
            for name, score in rankings.items():
                found = agreement_interval(score, effect, level=level)
                row = {**labels, "score": name, **found.columns("correlation")}
                for other in set(references) - {name}:
                    gain = agreement_interval(score, effect, rankings[other], level=level)
                    row |= gain.columns(f"over_{other}")
                yield row | {
                    "n_components": int(found.n),
                    "n_select": score.n_samples,
                    "n_evaluate": effect.n_samples,
                    "n_topics": int(found.n_clusters),
                    "level": level,
                }


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
    files = {
        (model, tunings[model], language): with_effects(data, forced[model, language])
        for (model, language), data in attributions.items()
    }
    return table_of(files, _rows, COLUMNS, bootstrap=bootstrap)


def _rows(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    for kind, over in CASES:
        made = Comparison(data, data, (kind, over), bootstrap)
        effects = (
            (
                {"kind": kind, "over": over, "outcome": outcome, "mode": str(mode)},
                effect_values(made.evaluate, kind, outcome, mode),
            )
            for outcome in OUTCOMES
            for mode in data["mode"].to_numpy()
        )
        yield from made.rows((*SCORES, *baselines(kind, over)), REFERENCES, effects)


def baselines(kind: str, over: str) -> tuple[str, ...]:
    """The scores by layer that can rank the components of a kind."""
    if over == "within":
        return ()
    return ("depth",) if kind == "mlp" else ("layer_mean", "depth")
