"""Everything that is measured on the count in the stream: `count/{model}.{language}.nc`.

1. Probes of words left in every layer, with their control (`probing`).
2. Answers written while the stream is shifted along what the probe found (`steering`), in the
   languages that the plan names.
3. The neurons of the final MLP, exchanged from the best to all (`neurons`).

What cannot be measured is NaN, and an attribute says why: `absent`, `steering_absent`,
`neurons_absent`. The other parts go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int, Shaped
from tqdm import tqdm

from lengthlens.count.crossed import crossed_streams
from lengthlens.count.neurons import NeuronRuns, neuron_sets
from lengthlens.count.probing import Design, Probes, design, probe
from lengthlens.count.steering import chosen_layer, steered_words
from lengthlens.files.netcdf import tell_meanings
from lengthlens.generation.answers import prompts_of
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.rows import drawn_of_each, sample_coords
from lengthlens.generation.swaps import SwapMaterial, count_swaps, swap_material, why_none
from lengthlens.language.languages import Language
from lengthlens.models.anatomy import down_projection
from lengthlens.patching.atp import NoGradients, attribute_neurons
from lengthlens.settings.sections import Generation

SWAP = 1
TRUE = -1  # in the place of the number of a draw: the true n, the first neurons by rank
ATTRIBUTES = {
    "sse_stream": "squared error of words left from covariates and stream, summed over the steps "
    "and versions of an answer [words^2]",
    "sse_covariates": "the same from covariates alone [words^2]",
    "sse_mean": "the same from the mean alone [words^2]",
    "select": "share of what covariates leave that the stream explains, on held-out select topics",
    "written": "words of the answer written with the stream as it is [words]",
    "steered": "words of the answer written with the stream shifted [words]",
    "cut": "1: an answer that was cut, so that its words are a lower bound",
    "atp_neuron": "AtP of the final MLP's neurons, mean over select answers [logits]",
    "noised": "fall of the end margin with a set of neurons from the other run [logits]",
    "n_effect": "the N effect of the same answers [logits]",
}


@dataclass(frozen=True)
class CountPlan:
    """The `count` section of the configuration (see there).

    Attributes:
        memory_gb: that streams may take, and batches beside the weights.
    """

    per_n: int
    every: int
    steered: str | Sequence[str]
    steps: Sequence[float]
    neurons: Sequence[int]
    draws: int
    seed: int
    memory_gb: float


@dataclass(frozen=True)
class CountTexts:
    """What is measured.

    Attributes:
        language: topics and templates; answers: rows of the generations file.
        reading: how they are read; settings: how they are generated.
        steered: whether this language is.
    """

    language: Language
    answers: Sequence[Mapping]
    reading: Reading
    settings: Generation
    steered: bool


def is_steered(plan: CountPlan, language: str, languages: Sequence[str]) -> bool:
    """Whether a language of a run is steered; `auto` is the first one."""
    named = languages[:1] if plan.steered == "auto" else plan.steered
    return language in named


def measure_count(loaded: LoadedModel, texts: CountTexts, plan: CountPlan) -> xr.Dataset:
    """The dataset of a count file (docs/files.md), samples in the order of the answers."""
    used = np.flatnonzero(drawn_of_each(texts.answers, plan.per_n, plan.seed))
    answers = [texts.answers[index] for index in used]
    crossed = crossed_streams(
        loaded, texts.language, answers, texts.reading, every=plan.every, memory_gb=plan.memory_gb
    )
    made = design(crossed, answers, plan.draws, plan.seed)
    absent = made.missing
    probes = probe(made)
    steering_absent = absent or ("" if texts.steered else "count.steered does not name it")
    parts = [_probed(probes, made, used, len(texts.answers))]
    if not steering_absent:
        found, steering_absent = _steered(loaded, texts, plan, (made, probes), used)
        parts += found
    material = swap_material(loaded, texts.language, answers, texts.reading, [SWAP])
    found, neurons_absent = _neurons(loaded, texts, plan, used, material)
    dataset = xr.merge([*parts, *found]).assign_coords(sample_coords(texts.answers))
    tell_meanings(dataset, ATTRIBUTES)
    dataset["n_answers"] = count_swaps(material)
    return dataset.assign_attrs(
        absent=absent,
        steering_absent=steering_absent,
        neurons_absent=neurons_absent,
        n_layers=loaded.anatomy.n_layers,
    )


def _probed(probes: Probes, made: Design, used: np.ndarray, number: int) -> xr.Dataset:
    """Errors of the probes."""
    dims = {"stream": ("draw", "layer"), "covariates": ("draw",), "mean": ("draw",)}
    data = {
        f"sse_{name}": ((*own, "sample"), _spread(getattr(probes, name), used, number))
        for name, own in dims.items()
    }
    data["select"] = ("layer", probes.select)
    labels = np.arange(made.labels.shape[1]) + TRUE
    return xr.Dataset(data, {"layer": list(made.crossed.layers), "draw": labels})


def _spread(
    values: Shaped[np.ndarray, "*label some"], used: Int[np.ndarray, " some"], number: int
) -> Float[np.ndarray, "*label sample"]:
    """What was measured of some samples, at their places among all; NaN elsewhere."""
    found = np.full((*values.shape[:-1], number), np.nan)
    found[..., used] = values
    return found


def _steered(
    loaded: LoadedModel,
    texts: CountTexts,
    plan: CountPlan,
    probed: tuple[Design, Probes],
    used: np.ndarray,
) -> tuple[list[xr.Dataset], str]:
    """Words written under every shift, or why there are none."""
    made, probes = probed
    layers = made.crossed.layers
    place = chosen_layer(probes, layers, loaded.anatomy.n_layers)
    if place is None:
        return [], "no layer's stream tells words left on held-out select topics"
    where = used[[texts.answers[index]["split"] == "evaluate" for index in used]]
    answers = [texts.answers[index] for index in where]
    requests = prompts_of(loaded, texts.language, answers, texts.reading.date)
    settings = (texts.settings, texts.reading.counting)
    words, cut = steered_words(loaded, requests, made, place, deltas=plan.steps, settings=settings)
    dims, number = ("steered_draw", "delta", "sample"), len(texts.answers)
    shape = (made.labels.shape[1], len(plan.steps), len(where))
    data = {
        "written": ("sample", _spread(words[0], where, number)),
        "steered": (dims, _spread(words[1:].reshape(shape), where, number)),
        "cut": (dims, _spread(cut[1:].reshape(shape), where, number)),
    }
    coords = {"steered_draw": np.arange(shape[0]) + TRUE, "delta": list(plan.steps)}
    found = xr.Dataset(data, coords).assign_coords(steered_layer=layers[place])
    return [found], ""


def _neurons(
    loaded: LoadedModel,
    texts: CountTexts,
    plan: CountPlan,
    used: np.ndarray,
    material: SwapMaterial,
) -> tuple[list[xr.Dataset], str]:
    """Neurons ranked and exchanged, or why they are not."""
    site = down_projection(loaded.anatomy, loaded.anatomy.n_layers - 1)
    if site is None:
        reason = "the final MLP has no single projection of neurons (experts, say)"
        return [], f"{loaded.spec.name}: {reason}"
    legal = [(int(used[place]), swap) for place, swap in material.legal(SWAP)]
    split = {
        name: [pair for pair in legal if texts.answers[pair[0]]["split"] == name]
        for name in ("select", "evaluate")
    }
    if missing := [name for name, pairs in split.items() if not pairs]:
        reason = "" if legal else why_none(material)
        return [], reason or f"no answer of the split {missing[0]} has a legal swap"
    try:
        swaps = [swap for _, swap in split["select"]]
        ranking = attribute_neurons(loaded, swaps, site, plan.memory_gb).mean(0)
    except NoGradients as error:
        return [], str(error)
    labels, sets = neuron_sets(ranking, plan.neurons, plan.draws, plan.seed)
    noised = np.full((len(sets), len(texts.answers)), np.nan)
    effect = np.full(len(texts.answers), np.nan)
    label = f"{loaded.spec.name}, neurons"
    for index, swap in tqdm(split["evaluate"], label, unit="answer", delay=2, mininterval=1):
        runs = NeuronRuns(loaded, swap, site, plan.memory_gb)
        effect[index], noised[:, index] = runs.effect, runs.carried(runs.noised(sets))
    k, draw = np.array(labels).T
    return [
        xr.Dataset(
            {
                "atp_neuron": ("neuron", ranking),
                "noised": (("set", "sample"), noised),
                "n_effect": ("sample", effect),
            },
            {
                "neuron": np.arange(len(ranking)),
                "k": ("set", k),
                "neuron_draw": ("set", draw),
            },
        )
    ], ""
