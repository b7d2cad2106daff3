"""A model's attribution on the other model's answers.

Untuned and tuned models write different texts, and signs and lengths follow the text: so do their
CWAs. Forced to one and the same text, each under its own form of the same prompt, they have the
same signs, steps and lengths, and what still differs is the models' own.

The steps are classified by the tokenizer and the stop tokens of the model that wrote the text.
Texts can be exchanged only where both models read the same words in the same token ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from lengthlens.attribution.dla import attribute_batch
from lengthlens.generation.answers import Request
from lengthlens.generation.forcing import Forcing, forced_batches
from lengthlens.generation.loaded import LoadedModel, classes_of
from lengthlens.models.loading import load_generation_config, load_tokenizer, text_decoder
from lengthlens.models.readout import Readout
from lengthlens.models.stopping import stop_set
from lengthlens.models.thinking import thinking_of
from lengthlens.models.vocabulary import classify_vocabulary
from lengthlens.weights.checkpoints import ModelSpec


def reading_as(loaded: LoadedModel, author: ModelSpec) -> LoadedModel:
    """The model with the author's tokenizer and token classes; prompts stay its own."""
    tokenizer = load_tokenizer(author)
    stops = stop_set(author, tokenizer, load_generation_config(author))
    size = loaded.anatomy.vocabulary_size
    known = [token for token in stops.ids if token < size]
    vocabulary = classify_vocabulary(tokenizer, known, size)
    return replace(
        loaded,
        vocabulary=vocabulary,
        classes=classes_of(vocabulary, loaded.device),
        decode_text=text_decoder(tokenizer),
        stops=stops,
        thinking=thinking_of(author, tokenizer),
    )


def why_not_shared(loaded: LoadedModel, reader: LoadedModel, answers: Sequence[Mapping]) -> str:
    """Why the author's answers cannot be forced on the model; empty where they can."""
    size = loaded.anatomy.vocabulary_size
    for row in answers:
        ids = np.asarray(row["tokens"])
        if ids.max() >= size:
            return f"token {ids.max()} of {row['sample_id']} is outside of its {size} token ids"
        start = reader.answer_start(row["tokens"])
        if loaded.thinking is not None and loaded.answer_start(row["tokens"]) != start:
            return f"under its own prompt the answer of {row['sample_id']} begins elsewhere"
        answer = ids[start:]
        text = loaded.decode_text(answer[~reader.vocabulary.stop[answer]].tolist())
        if text != row["text"]:
            return f"its tokenizer reads {row['sample_id']} as {text[:40]!r}"
    return ""


def attribute_text(
    forcing: Forcing,
    readout: Readout,
    requests: Sequence[Request],
    answers: Sequence[Sequence[int]],
) -> xr.Dataset:
    """Sums of DLA over given answers, with the variables of an attribution file.

    Args:
        forcing: the model, reading as the author of the answers does.
        readout: of the model.
        requests: the model's own form of each prompt.
        answers: tokens of each answer, whole.
    """
    label = f"{forcing.loaded.spec.name} on the other's text"
    parts = [
        attribute_batch(readout, batch)
        for batch in forced_batches(forcing, requests, answers, label)
    ]
    return xr.concat(parts, dim="sample", coords="minimal", compat="override")
