"""The kinds of statistics that claims are about: what measures each, and in which unit (`KINDS`).

To add a kind: a line of `KINDS`, and its keys in `settings.claims`. Means over answers and slopes
are measured in `kinds`. What is no sum over samples is measured here:

- `agreement`: rank correlation of a score with the measured effects (`causes`), or what it is above
  that of another score;
- `behaviour_share`: share of the base-instruct difference of CWA that the texts alone explain
  (`text_comparison`);
- `ablation` and `repair`: see `causal`; `table`: see `mechanism`; `transplant`: see
  `tuning`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from lengthlens.analysis.causes import Comparison, effect_values, with_effects
from lengthlens.analysis.groups import Group
from lengthlens.analysis.text_comparison import TUNINGS, WEIGHTS, exchange_texts, share_of_observed
from lengthlens.claims.causal import ablation, repair
from lengthlens.claims.kinds import (
    Data,
    Measurement,
    NoData,
    behaviour,
    cwa,
    of_sides,
    sides_of,
    tokens_per_word,
)
from lengthlens.claims.mechanism import tabled
from lengthlens.claims.tuning import transplant
from lengthlens.statistics import Bootstrap, agreement_interval


def measure(statistic: Mapping[str, Any], data: Data, bootstrap: Bootstrap) -> Measurement:
    """Measure one statistic of any kind.

    Raises:
        NoData: the run has no such model, language, N or layers.
    """
    return KINDS[statistic["kind"]].measure(statistic, data, bootstrap)


def unit_of(statistic: Mapping[str, Any]) -> str:
    """The unit of a statistic's value; the difference of two shares is not a share."""
    kind = KINDS[statistic["kind"]]
    measured = statistic.get("measure", statistic.get("value"))
    unit = kind.unit if isinstance(kind.unit, str) else kind.unit[measured]
    difference = "minus" in statistic if kind.difference is None else kind.difference
    return "share difference" if unit == "share" and difference else unit


def _files(data: Data, side: Mapping[str, Any]) -> tuple[xr.Dataset, xr.Dataset, str]:
    """The attribution and the forced file of one model of the pair, and their names."""
    (attribution, name), (forced, other) = (
        data.file(folder, side) for folder in ("attribution", "forced")
    )
    return attribution, forced, f"{name}; {other}"


def agreement(statistic: Mapping[str, Any], data: Data, bootstrap: Bootstrap) -> Measurement:
    """Spearman's correlation of a score on `select` with the effects on `evaluate`."""
    attribution, forced, source = _files(data, statistic)
    kind, over = statistic["component"], statistic["over"]
    scores = with_effects(attribution, forced)
    made = Comparison(scores, scores, (kind, over), bootstrap)
    mode = str(scores["mode"].to_numpy()[0])
    effect = made.by_effect(effect_values(made.evaluate, kind, statistic["outcome"], mode))
    names = [side["score"] for side in sides_of(statistic)]
    score, *other = map(made.by_score, names)
    interval = agreement_interval(score, effect, *other, level=bootstrap.level)
    components = {"head": "heads", "mlp": "MLPs", "all": "heads and MLPs"}[kind]
    components += " within layers" if over == "within" else ""
    used = np.isfinite(made.evaluate[f"effect_{'head' if kind == 'all' else kind}"].isel(mode=0))
    used = used.any([dim for dim in used.dims if dim != "sample"]).to_numpy()
    return Measurement(
        interval=interval,
        text=f"rank correlation with the measured effect of {int(interval.n)} {components}: "
        + " minus ".join(names),
        source=source,
        truncated=float(made.evaluate["truncated"].to_numpy()[used].mean()) if used.any() else 0.0,
    )


def behaviour_share(statistic: Mapping[str, Any], data: Data, bootstrap: Bootstrap) -> Measurement:
    """Share of the observed base-instruct difference of CWA a step that the texts explain."""
    files = {tuning: _files(data, {**statistic, "tuning": tuning}) for tuning in TUNINGS}
    wanted = statistic["layers"]
    group = Group(statistic["component"], wanted)
    exchange = exchange_texts(
        *({tuning: own[place] for tuning, own in files.items()} for place in range(2)),
        [group],
    )
    if exchange is None:
        raise NoData("the answers were not exchanged between the models")
    observed = exchange.difference(exchange.cwa, WEIGHTS["observed"], bootstrap)[0]
    if not observed.low * observed.high > 0:
        raise NoData("the models' difference may be zero, so that there is nothing to explain")
    interval = share_of_observed(exchange, 0, observed, bootstrap)
    ends = [
        f"{share_of_observed(exchange, 0, observed, bootstrap, f'share_on_{text}').estimate:.0%} "
        f"on {text}'s"
        for text in TUNINGS
    ]
    where = "the final layer" if wanted == "final" else f"depth {wanted[0]} to {wanted[1]}"
    kind = {"head": "heads", "mlp": "MLPs"}[group.kind]
    cut = [files[tuning][0]["truncated"].to_numpy() for tuning in TUNINGS]
    return Measurement(
        interval=interval,
        text=f"share of behaviour in tuned minus untuned, CWA per step of the {kind} of {where}, "
        f"mean over both texts ({', '.join(ends)} text)",
        source="; ".join(source for *_, source in files.values()),
        truncated=float(np.concatenate(cut).mean()),
    )


@dataclass(frozen=True)
class Kind:
    """A kind of statistic.

    Attributes:
        measure: measures one, given it, the data and the interval's bootstrap.
        unit: of the value, or measure (or value) -> unit.
        difference: whether the value is one number minus another; None: where it has a `minus`.
    """

    measure: Callable[[Mapping[str, Any], Data, Bootstrap], Measurement]
    unit: str | Mapping[str, str]
    difference: bool | None = None


_OF_ANSWERS = {"error": "words", "absolute_error": "words", "exact": "share"}
_OF_SLOPES = {measure: f"{unit} per token" for measure, unit in _OF_ANSWERS.items()}

KINDS: dict[str, Kind] = {
    "behaviour": Kind(partial(of_sides, behaviour), _OF_ANSWERS),
    "cwa": Kind(partial(of_sides, cwa), "logits"),
    "tokens_per_word": Kind(partial(of_sides, tokens_per_word), _OF_SLOPES),
    "agreement": Kind(agreement, "correlation"),
    "behaviour_share": Kind(behaviour_share, "share", difference=False),
    "ablation": Kind(ablation, _OF_ANSWERS | {"end_margin": "logits"}, difference=True),
    "repair": Kind(repair, "logits"),
    "table": Kind(
        tabled, {"share": "share", "effect": "logits", "beyond": "R²", "slope": "words per word"}
    ),
    "transplant": Kind(transplant, "share"),
}
