"""Statistics that are means over answers, or slopes: from per-sample files to a measurement.

A kind turns one side of a statistic (tuning, language, N, and its own keys) into a `Side`: one
numerator and denominator a sample. Differences, balancing over N and intervals are then the same
for all of them (`of_sides`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped

from lengthlens.analysis.groups import Group
from lengthlens.analysis.tokens_per_word import answer_values, slope_terms, usable
from lengthlens.errors import LengthlensError
from lengthlens.forced.texts import on_text
from lengthlens.statistics import (
    Bootstrap,
    Interval,
    combination_interval,
    difference_interval,
    share_difference_interval,
    share_interval,
)

FEWEST_MIXED, FEWEST_MIXED_TOPICS = 20, 8  # answers with both signs, for "beyond: signs"
STUDY = "study"  # the study's own answers, as against those of a probe


class NoData(LengthlensError):
    """A statistic that this run cannot give; the message says what is missing."""


@dataclass(frozen=True)
class Data:
    """The files of one pair of models, by (tuning, language)."""

    models: Mapping[str, str]  # tuning -> name of the model
    attributions: Mapping[tuple[str, str], xr.Dataset]
    generations: Mapping[tuple[str, str], pd.DataFrame]
    probes: Mapping[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    forced: Mapping[tuple[str, str], xr.Dataset] = field(default_factory=dict)
    ablations: Mapping[tuple[str, str], xr.Dataset] = field(default_factory=dict)
    repairs: Mapping[tuple[str, str], xr.Dataset] = field(default_factory=dict)
    transplants: Mapping[str, xr.Dataset] = field(default_factory=dict)  # by language
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # by name

    def model(self, tuning: str) -> str:
        """The name of the model of a tuning; NoData where the run has none."""
        if tuning not in self.models:
            raise NoData(f"the run has no {tuning} model")
        return self.models[tuning]

    def file(self, folder: str, side: Mapping[str, Any]) -> tuple[Any, str]:
        """The file of a statistic's side, and its name; NoData where the run has none."""
        files = {
            "attribution": self.attributions,
            "forced": self.forced,
            "ablation": self.ablations,
            "repair": self.repairs,
            "generations": self.generations,
            "probes": self.probes,
        }[folder]
        ending = "jsonl" if folder in ("generations", "probes") else "nc"
        name = f"{folder}/{self.model(side['tuning'])}.{side['language']}.{ending}"
        if (side["tuning"], side["language"]) not in files:
            raise NoData(f"the run has no {name}")
        return files[side["tuning"], side["language"]], name


@dataclass(frozen=True)
class Side:
    """One side of a statistic: sum(numerator) / sum(denominator), balanced over `n`.

    `may_rise` and `may_fall`: answers cut at the token limit hide which way the true value lies.
    `share`: numerators are 0 or 1 and denominators 1.
    """

    numerator: Float[np.ndarray, " sample"]
    denominator: Float[np.ndarray, " sample"]
    topics: Shaped[np.ndarray, " sample"]
    n: Int[np.ndarray, " sample"]
    truncated: Bool[np.ndarray, " sample"]
    text: str
    source: str
    may_rise: bool = False
    may_fall: bool = False
    share: bool = False
    reference: float = np.nan  # what relative margins are shares of


@dataclass(frozen=True)
class Measurement:
    """A statistic's interval, and what a row of claims.csv says about it."""

    interval: Interval
    text: str
    source: str
    truncated: float = 0.0  # of what is read at decision steps, which are never cut off
    may_rise: bool = False
    may_fall: bool = False
    reference: float = np.nan


def sides_of(statistic: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A statistic; where it has `minus`, also the same with these keys changed, to be taken off."""
    plain = {key: value for key, value in statistic.items() if key != "minus"}
    return [plain] + ([plain | statistic["minus"]] if "minus" in statistic else [])


def mean_difference(
    sides: Sequence[tuple[Float[np.ndarray, " _"], Shaped[np.ndarray, " _"]]], bootstrap: Bootstrap
) -> Interval:
    """The mean of the first side minus that of the second, each given as (values, topics)."""
    (first, own), (second, others) = sides
    pairs = [(values, np.ones(len(values))) for values in (first, second)]
    return difference_interval(pairs[0], own, pairs[1], others, bootstrap)


def of_sides(
    make: Callable[[Mapping[str, Any], Data], Side],
    statistic: Mapping[str, Any],
    data: Data,
    bootstrap: Bootstrap,
) -> Measurement:
    """Measure a statistic of one side that `make` makes, or the difference of two (`sides_of`).

    Raises:
        NoData: the run has no such model, language, N or layers.
    """
    asked = sides_of(statistic)
    sides = [make(one, data) for one in asked]
    if len(sides) > 1 and not any("n" in one for one in asked):
        one, other = (sorted(set(side.n.tolist())) for side in sides)
        if one != other:
            raise NoData(f"the two sides have different N: {one} and {other}")
    other = sides[1:]
    return Measurement(
        interval=_interval(sides, bootstrap),
        text=" minus ".join(side.text for side in sides),
        source="; ".join(dict.fromkeys(side.source for side in sides)),
        truncated=float(np.concatenate([side.truncated for side in sides]).mean()),
        may_rise=sides[0].may_rise or any(side.may_fall for side in other),
        may_fall=sides[0].may_fall or any(side.may_rise for side in other),
        reference=sides[0].reference,
    )


def _interval(sides: list[Side], bootstrap: Bootstrap) -> Interval:
    if all(side.share for side in sides):
        if len(sides) == 1:
            return share_interval(sides[0].numerator, sides[0].topics, bootstrap.level)
        first, second = sides
        return share_difference_interval(
            first.numerator, first.topics, second.numerator, second.topics, bootstrap.level
        )
    cells, coefficients = [], {}
    for index, side in enumerate(sides):
        numbers = np.unique(side.n).tolist()
        coefficients |= {(index, n): (-1.0) ** index / len(numbers) for n in numbers}
        cells += [(index, n) for n in side.n.tolist()]
    top, bottom, topics = (
        np.concatenate([getattr(side, name) for side in sides])
        for name in ("numerator", "denominator", "topics")
    )
    return combination_interval(top, bottom, topics, cells, coefficients, bootstrap=bootstrap)


def _rows(n: np.ndarray, wanted: list[int] | None, where: str) -> np.ndarray:
    """Places of the samples with the wanted N."""
    missing = sorted(set(wanted or []) - set(n.tolist()))
    if missing or len(n) == 0:
        what = "answers" if len(n) == 0 else f"answers to N = {', '.join(map(str, missing))}"
        raise NoData(f"{where} holds no {what}")
    return np.flatnonzero(np.isin(n, wanted) if wanted else np.ones(len(n), dtype=bool))


def _scope(statistic: Mapping[str, Any], n: np.ndarray) -> str:
    numbers = ", ".join(str(number) for number in sorted(set(n.tolist())))
    return f"{statistic['tuning']}, {statistic['language']}, N = {numbers}"


def behaviour(statistic: Mapping[str, Any], data: Data) -> Side:
    """Word-count errors and exact answers.

    An answer cut at the token limit would have gone on: its error is a lower bound. Its |error| is
    one too unless it is still too short; and a cut answer that is too short or just long enough
    does not count as exact, but might have been.
    """
    table, source = _answers(statistic, data)
    table = table.iloc[_rows(table["n"].to_numpy(), statistic.get("n"), source)]
    cut = table["truncated"].to_numpy(dtype=bool)
    short = bool(np.any(cut & (table["error"].to_numpy() <= 0)))
    measure = statistic["measure"]
    values = answer_values(table, measure)
    name = {
        "error": "mean error in words",
        "absolute_error": "mean |error| in words",
        "exact": "share of exact answers",
    }[measure]
    if statistic.get("probe", STUDY) != STUDY:
        name += f", {statistic['probe']}"
    return Side(
        numerator=values,
        denominator=np.ones(len(values)),
        topics=table["topic"].to_numpy(),
        n=table["n"].to_numpy(),
        truncated=cut,
        text=f"{name} ({_scope(statistic, table['n'].to_numpy())})",
        source=source,
        may_rise=short if measure == "exact" else bool(cut.any()),
        may_fall=measure == "absolute_error" and short,
        share=measure == "exact",
    )


def _answers(statistic: Mapping[str, Any], data: Data) -> tuple[pd.DataFrame, str]:
    """The answers that a statistic is about, and the file that holds them."""
    probe = statistic.get("probe", STUDY)
    if probe == STUDY:
        return data.file("generations", statistic)
    table, source = data.file("probes", statistic)
    return table[table["probe"] == probe], source


def tokens_per_word(statistic: Mapping[str, Any], data: Data) -> Side:
    """Slope of a measure on the tokens per word of free answers to the same N, cut ones aside."""
    free, source = _answers({**statistic, "probe": "free"}, data)
    table = usable(free)
    n = table["n"].to_numpy()
    _rows(n, None, f"{source}, cut answers aside,")
    top, bottom = slope_terms(
        table["tokens_per_word"].to_numpy(), answer_values(table, statistic["measure"]), n
    )
    name = {"error": "error in words", "absolute_error": "|error| in words", "exact": "exactness"}
    return Side(
        numerator=top,
        denominator=bottom,
        topics=table["topic"].to_numpy(),
        n=np.zeros(len(table), dtype=int),  # one slope for all N
        truncated=table["truncated"].to_numpy(dtype=bool),
        text=f"slope of {name[statistic['measure']]} on tokens per word ({_scope(statistic, n)})",
        source=source,
    )


def cwa(statistic: Mapping[str, Any], data: Data) -> Side:
    """CWA of the components of some layers, added up within each sample."""
    own, source = data.file("attribution", statistic)
    attribution, text_of = _text(statistic, data, own)
    attribution = attribution.isel(
        sample=_rows(attribution["n"].to_numpy(), statistic.get("n"), source)
    )
    n_layers, wanted = attribution.sizes["layer"], statistic["layers"]
    target, kind = statistic.get("target", "token"), statistic["component"]
    group = Group(kind, wanted)
    layers = group.layers(n_layers).tolist()
    if not layers:
        raise NoData(f"none of the {n_layers} layers lies between {wanted[0]} and {wanted[1]}")
    sums = group.sums(attribution, target)
    total, steps = sums.total, sums.steps
    if len(total) and np.isnan(total).all():
        lacking = "heads" if kind == "head" else "MLP"
        raise NoData(f"the model has no {lacking} in layer {', '.join(map(str, layers))}")
    per_step = statistic["form"] == "step"
    bottom = steps if per_step else np.ones_like(steps)
    n, sizes = attribution["n"].to_numpy(), attribution["cwa_mlp"].sel(target=target)
    sizes = sizes.transpose("sample", "layer").to_numpy().astype(float)
    sizes = sizes[:, np.isfinite(sizes).all(0)]  # of the layers that have one
    places = str(layers[0]) if len(layers) == 1 else f"{layers[0]}-{layers[-1]}"
    name = "heads" if kind == "head" else "MLP" if len(layers) == 1 else "MLPs"
    text = f"CWA of the {name} of layer{'s' * (len(layers) > 1)} {places}, target {target}"
    text += text_of + ", per step" * per_step
    kept, strata = np.ones(len(n), dtype=bool), n
    if "beyond" in statistic:
        total = total - sums.shifted
        kept = _mixed(sums.plus, steps, attribution["topic"].to_numpy(), source)
        strata = np.zeros_like(n)  # too few answers for a mean of each N
        text += f", beyond circular shifts of the signs, {kept.sum()} of {len(n)} answers"
    return Side(
        numerator=total[kept],
        denominator=bottom[kept],
        topics=attribution["topic"].to_numpy()[kept],
        n=strata[kept],
        truncated=attribution["truncated"].to_numpy().astype(bool)[kept],
        text=f"{text} ({_scope(statistic, n[kept])})",
        source=source,
        reference=_mean_size(sizes[kept], bottom[kept], strata[kept]),
    )


def _mixed(
    plus: Float[np.ndarray, " sample"],
    steps: Float[np.ndarray, " sample"],
    topics: Shaped[np.ndarray, " sample"],
    source: str,
) -> Bool[np.ndarray, " sample"]:
    """The answers with signs of both kinds; without, no shift of the signs changes anything.

    Raises:
        NoData: they are too few for an interval.
    """
    mixed = (plus > 0) & (plus < steps)
    n_topics = len(np.unique(topics[mixed]))
    if mixed.sum() < FEWEST_MIXED or n_topics < FEWEST_MIXED_TOPICS:
        raise NoData(
            f"only {mixed.sum()} of {len(mixed)} answers in {source} have signs of both kinds, "
            f"about {n_topics} topics; it takes {FEWEST_MIXED} about {FEWEST_MIXED_TOPICS}"
        )
    return mixed


def _text(statistic: Mapping[str, Any], data: Data, own: xr.Dataset) -> tuple[xr.Dataset, str]:
    """The attribution of a model on its own answers, or on those that `text` names."""
    tuning, language = statistic["tuning"], statistic["language"]
    text = statistic.get("text", tuning)
    told = f", on {text}'s text" * ("text" in statistic)
    if text == tuning:
        return own, told
    found = on_text(own, data.forced.get((tuning, language), xr.Dataset()), text, tuning)
    if found is None or (text, language) not in data.attributions:
        raise NoData(f"the answers of {text} were not forced on {data.models[tuning]}")
    labels = {name: own[name] for name in ("n", "topic")}
    labels["truncated"] = data.attributions[text, language]["truncated"]
    return found.assign_coords(labels), told


def _mean_size(mlp: Float[np.ndarray, "sample layer"], bottom, n) -> float:
    """Mean over MLP layers of |mean CWA|, balanced over N as the statistic itself."""
    means = [mlp[n == k].sum(axis=0) / max(bottom[n == k].sum(), 1) for k in np.unique(n)]
    return float(np.abs(np.mean(means, axis=0)).mean())
