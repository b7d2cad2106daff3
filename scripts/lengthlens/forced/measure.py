"""Everything that is measured on given answers, as one file: `forced/{model}.{language}.nc`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from lengthlens.decoding.intervention import Replacement
from lengthlens.files.netcdf import tell_meanings
from lengthlens.forced.nswap import REASONS, nswap_contrast
from lengthlens.forced.same_text import attribute_text, reading_as, why_not_shared
from lengthlens.forced.single_effects import OwnText, single_effects
from lengthlens.forced.texts import as_other
from lengthlens.generation.answers import Request, prompts_of, request_of
from lengthlens.generation.forcing import Forcing
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.rows import drawn_of_each, sample_coords
from lengthlens.generation.swaps import (
    LENGTH,
    SWAPS,
    Swap,
    SwapMaterial,
    neighbour,
    swap_material,
)
from lengthlens.language.languages import Language
from lengthlens.models.readout import readout_of
from lengthlens.weights.checkpoints import ModelSpec

ATTRIBUTES = {
    "nswap_completeness_error": "largest |sum of DLA - the model's own logit| of the steps used",
    "nswap": "share of the end margin where the number of words is reached minus where the next "
    "larger number is asked for, on the same text [logits]",
    "margin_before": "mean end margin at the boundary steps before the decision step [logits]",
    "margin": "end margin at the decision step [logits]",
    "effect_before": "mean end margin at the earlier boundary steps, with the component minus "
    "without it [logits]",
    "effect": "end margin at the decision step, with the component minus without it [logits]",
    "other": "of the other model's answers, forced on this model; see the attribution file",
}


@dataclass(frozen=True)
class Effects:
    """How single components are removed.

    Attributes:
        modes: `zero`, `mean`.
        positions: `generated` or `all`.
        per_n: answers measured for each N.
        replacement: the means, for the mode `mean`.
        seed: draws these answers.
    """

    modes: Sequence[str]
    positions: str
    per_n: int
    replacement: Replacement | None = None
    seed: int = 0


@dataclass(frozen=True)
class Other:
    """The other model of a pair, and its answers to the same prompts."""

    spec: ModelSpec
    answers: Sequence[Mapping]


def force_answers(
    forcing: Forcing,
    language: Language,
    answers: Sequence[Mapping],
    n_words: Sequence[int],
    effects: Effects,
    other: Other | None,
) -> xr.Dataset:
    """Measure a model on its own answers and on those of the other tuning.

    Args:
        forcing: the model.
        language: topics and templates of the prompts.
        answers: rows of the model's generations file.
        n_words: the numbers of words of the study, among which N is swapped.
        effects: how single components are removed.
        other: None for a model without a partner.

    Returns:
        The dataset of a forced file (docs/files.md), samples in the order of the answers. Its
        attributes `other_model` and `other_absent` say whose text it holds, or why none;
        `n_kv_heads` how many key-value heads the model has; of one whose layers differ, `layout`
        which heads each has (`models.layout`).
    """
    loaded, readout = forcing.loaded, readout_of(forcing.loaded.model)
    reading = Reading(n_words, forcing.counting, forcing.settings.date)
    material = swap_material(loaded, language, answers, reading)
    requests = prompts_of(loaded, language, answers, reading.date)
    tokens = [row["tokens"] for row in answers]
    own = [
        OwnText(request.tokens, text, loaded.annotate(text, request.prompt.n, reading.counting))
        for request, text in zip(requests, tokens, strict=True)
    ]
    used = drawn_of_each(answers, effects.per_n, effects.seed)
    parts = [
        nswap_contrast(forcing, readout, requests, tokens, material),
        single_effects(
            loaded, own, used, effects.modes, effects.positions, replacement=effects.replacement
        ),
    ]
    said = {"other_model": "", "other_absent": "the model has no partner"}
    if other is not None:
        found, said["other_absent"] = _on_other_text(forcing, readout, requests, other)
        if found is not None:
            parts.append(found)
            said["other_model"] = other.spec.name
    dataset = xr.merge([part.drop_vars(("sample_id", "n"), errors="ignore") for part in parts])
    a = loaded.anatomy
    dataset = dataset.assign_coords(
        layer=np.arange(a.n_layers),
        head=np.arange(a.n_heads),
        **_swap_labels(loaded, language, answers, reading, material=material, requests=requests),
        **sample_coords(answers),
    )
    tell_meanings(dataset, ATTRIBUTES)
    return dataset.assign_attrs(said, n_kv_heads=a.n_kv_heads, **a.layout.attributes())


def _swap_labels(
    loaded: LoadedModel,
    language: Language,
    answers: Sequence[Mapping],
    reading: Reading,
    material: SwapMaterial,
    requests: Sequence[Request],
) -> dict:
    """Coordinates of the swaps: the other number (0: none), and why a swap was left out.

    `nswap_longer`: tokens by which the prompt with the other number is longer; NaN without one.
    """
    grid = (len(SWAPS), len(answers))
    numbers, longer = np.zeros(grid, dtype=np.int32), np.full(grid, np.nan)
    reasons = [
        ["" if isinstance(entry, Swap) else REASONS[entry] for entry in material.by_swap[swap]]
        for swap in SWAPS
    ]
    for place, swap in enumerate(SWAPS):
        for column, (row, own) in enumerate(zip(answers, requests, strict=True)):
            n = neighbour(row["n"], reading.n_words, swap)
            if n is None:
                continue
            numbers[place, column], longer[place, column] = n, 0
            if material.by_swap[swap][column] == LENGTH:
                other = request_of(loaded, language, row, n, reading.date)
                longer[place, column] = len(other.tokens) - len(own.tokens)
    names = ("n_swapped", "nswap_reason", "nswap_longer")
    return {
        name: (("swap", "sample"), values)
        for name, values in zip(names, (numbers, reasons, longer), strict=True)
    }


def _on_other_text(
    forcing: Forcing, readout, requests: Sequence[Request], other: Other
) -> tuple[xr.Dataset | None, str]:
    """The attribution on the other model's text, or why there is none."""
    by_id = {row["sample_id"]: row for row in other.answers}
    missing = [request.sample_id for request in requests if request.sample_id not in by_id]
    if missing:
        return None, f"{other.spec.name} has no answer {missing[0]}"
    rows = [by_id[request.sample_id] for request in requests]
    reader = reading_as(forcing.loaded, other.spec)
    reason = why_not_shared(forcing.loaded, reader, rows)
    if reason:
        return None, f"the answers of {other.spec.name} cannot be read: {reason}"
    as_author = Forcing(reader, forcing.settings, forcing.counting)
    tokens = [row["tokens"] for row in rows]
    return as_other(attribute_text(as_author, readout, requests, tokens)), ""
