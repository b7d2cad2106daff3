"""Everything that is measured on given answers, as one file: `forced/{model}.{language}.nc`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from lengthlens.decoding.intervention import Replacement
from lengthlens.errors import LengthlensError
from lengthlens.forced.nswap import SWAPS, SwapText, nswap_contrast
from lengthlens.forced.same_text import attribute_text, reading_as, why_not_shared
from lengthlens.forced.single_effects import OwnText, single_effects
from lengthlens.forced.texts import as_other
from lengthlens.generation.answers import Request
from lengthlens.generation.forcing import Forcing
from lengthlens.generation.steps import annotate_steps
from lengthlens.language.languages import Language
from lengthlens.language.prompts import Prompt
from lengthlens.models.readout import readout_of
from lengthlens.weights.checkpoints import ModelSpec

LABELS = ("n", "topic", "template", "split", "words", "error", "stopped", "truncated")
ATTRIBUTES = {
    "nswap_completeness_error": "largest |sum of DLA - the model's own logit| of the steps used",
    "nswap_longer": "tokens by which the prompt with the other number is longer",
    "nswap": "share of the end margin where the number of words is reached minus where one more is "
    "asked for, on the same text [logits]",
    "margin_before": "mean end margin at the boundary steps before the decision step [logits]",
    "margin": "end margin at the decision step [logits]",
    "effect_before": "mean end margin at the earlier boundary steps, with the component minus "
    "without it [logits]",
    "effect": "end margin at the decision step, with the component minus without it [logits]",
    "other": "of the other variant's answers, forced on this model; see the attribution file",
}


@dataclass(frozen=True)
class Effects:
    """How single components are removed.

    Attributes:
        modes: `zero`, `mean`.
        positions: `generated` or `all`.
        per_n: answers measured for each N, the first ones.
        replacement: the means, for the mode `mean`.
    """

    modes: Sequence[str]
    positions: str
    per_n: int
    replacement: Replacement | None = None


@dataclass(frozen=True)
class Other:
    """The other variant of a pair, and its answers to the same prompts."""

    spec: ModelSpec
    answers: Sequence[Mapping]


def force_answers(
    forcing: Forcing,
    language: Language,
    answers: Sequence[Mapping],
    effects: Effects,
    other: Other | None,
) -> xr.Dataset:
    """Measure a model on its own answers and on those of the other variant.

    Args:
        forcing: the model.
        language: topics and templates of the prompts.
        answers: rows of the model's generations file.
        effects: how single components are removed.
        other: None for a model without a partner.

    Returns:
        The dataset of a forced file (docs/files.md), samples in the order of the answers. Its
        attributes `other_model` and `other_absent` say whose text it holds, or why none.
    """
    loaded, readout = forcing.loaded, readout_of(forcing.loaded.model)
    requests = [_request(forcing, language, row, row["n"]) for row in answers]
    texts = [
        SwapText(
            request,
            {
                swap: _request(forcing, language, row, row["n"] + swap)
                for swap in SWAPS
                if row["n"] + swap > 0
            },
            row["tokens"],
            annotate_steps(
                row["tokens"],
                row["n"],
                loaded.vocabulary,
                loaded.decode_text,
                forcing.counting,
                loaded.answer_start(row["tokens"]),
            ),
        )
        for request, row in zip(requests, answers, strict=True)
    ]
    own = [OwnText(text.request.tokens, text.answer, text.marks) for text in texts]
    used = first_of_each([row["n"] for row in answers], effects.per_n)
    parts = [
        nswap_contrast(forcing, readout, texts),
        single_effects(loaded, own, used, effects.modes, effects.positions, effects.replacement),
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
        sample_id=("sample", [row["sample_id"] for row in answers]),
        **{label: ("sample", [row[label] for row in answers]) for label in LABELS},
    )
    for name, variable in dataset.data_vars.items():
        start = next(start for start in ATTRIBUTES if name.startswith(start))
        variable.attrs["long_name"] = ATTRIBUTES[start]
    return dataset.assign_attrs(said)


def first_of_each(numbers: Sequence[int], per_n: int) -> np.ndarray:
    """True for the first `per_n` entries of each number."""
    table = np.asarray(numbers)
    earlier = [int((table[:index] == number).sum()) for index, number in enumerate(table)]
    return np.asarray(earlier) < per_n


def _request(forcing: Forcing, language: Language, row: Mapping, n: int) -> Request:
    """The prompt of an answer, with the number `n`."""
    topics = {topic.id: topic for topic in language.topics}
    templates = {template.id: template for template in language.templates}
    if row["topic"] not in topics or row["template"] not in templates:
        raise LengthlensError(
            f"{row['sample_id']} has the topic {row['topic']!r} and the template "
            f"{row['template']!r}, which resources/languages/{language.code}.yaml does not have; "
            "generate the answers anew"
        )
    text = templates[row["template"]].fill(topics[row["topic"]], n)
    names = ("topic", "template", "split")
    prompt = Prompt(
        id=row["prompt_id"],
        language=language.code,
        n=n,
        text=text,
        **{name: row[name] for name in names},
    )
    tokens = forcing.loaded.encode(text, forcing.settings.date)
    return Request(row["sample_id"], prompt, tokens)


def _on_other_text(
    forcing: Forcing, readout, requests: Sequence[Request], other: Other
) -> tuple[xr.Dataset | None, str]:
    """The attribution on the other variant's text, or why there is none."""
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
