"""Answers crossed with N: every text read under every number of words that it has not passed.

What is left to write can be told from most texts, for a text that goes on mostly has words left. So
each answer is forced under the same prompt with every n of `n_words` that is at least the number
of words before the step: text and words left are then unrelated, given the words before it.

Read is the stream that enters each layer, and the final norm, at the position which decides the
step: the first boundary step with each number of words before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from tqdm import tqdm

from lengthlens.decoding.forward import State, feed, keeps_states, prefill, unread
from lengthlens.decoding.streams import recorded_streams
from lengthlens.errors import LengthlensError
from lengthlens.generation.answers import request_of
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import read_step
from lengthlens.language.languages import Language
from lengthlens.patching.runs import rows_at_once


@dataclass(frozen=True)
class Crossed:
    """One row a text, step and n.

    Attributes:
        text: place of the answer among those given.
        n: the number asked for; words: those before the step; position: of the token that is read.
        streams: what enters each layer that is read.
        layers: which these are; the number of layers stands for the final norm.
    """

    text: Int[np.ndarray, " row"]
    n: Int[np.ndarray, " row"]
    words: Int[np.ndarray, " row"]
    position: Int[np.ndarray, " row"]
    streams: Float[np.ndarray, "layer row d_model"]
    layers: Sequence[int]

    @property
    def left(self) -> Int[np.ndarray, " row"]:
        """Words left."""
        return self.n - self.words


@dataclass(frozen=True)
class _Version:
    """A text with its steps: the prompts with each number, and what is read of each."""

    text: int
    numbers: Sequence[int]
    prompts: Sequence[Sequence[int]]
    tokens: Sequence[int]
    words: Sequence[int]
    steps: Sequence[int]


def crossed_streams(
    loaded: LoadedModel,
    language: Language,
    answers: Sequence[Mapping],
    reading: Reading,
    every: int,
    memory_gb: float,
) -> Crossed:
    """Force answers under every number of words.

    Args:
        loaded: the model, in float32 or better.
        language: topics and templates of the prompts.
        answers: rows of its generations file.
        reading: the numbers, and how answers are read.
        every: every so many-th layer is read, from the first on, and the final norm.
        memory_gb: that streams, and one batch beside them, may take.

    Raises:
        LengthlensError: the streams need more memory.
    """
    layers = [*range(0, loaded.anatomy.n_layers, every), loaded.anatomy.n_layers]
    check_memory(len(answers), reading.n_words, (len(layers), loaded.anatomy.d_model), memory_gb)
    rows: list[tuple[int, int, int, int]] = []
    streams: list[Float[np.ndarray, "layer row d_model"]] = []
    versions = _versions(loaded, language, answers, reading)
    label = f"{loaded.spec.name} crossed with N"
    for version in tqdm(versions, label, len(answers), unit="answer", delay=2, mininterval=1):
        size = rows_at_once(loaded, len(version.prompts[0]) + len(version.tokens), memory_gb)
        for start in range(0, len(version.numbers), size):
            part = slice(start, start + size)
            found = _read(loaded, version, part, layers)
            asked = zip(version.numbers[part], version.prompts[part], strict=True)
            for row, (n, prompt) in enumerate(asked):
                used = [at for at, words in enumerate(version.words) if words <= n]
                rows += [
                    (version.text, n, version.words[at], len(prompt) - 1 + version.steps[at])
                    for at in used
                ]
                streams.append(found[:, row, used])
    columns = np.array(rows, dtype=int).reshape(-1, 4).T
    none = np.empty((len(layers), 0, loaded.anatomy.d_model), dtype=np.float32)
    return Crossed(*columns, np.concatenate([none, *streams], axis=1), layers)


def check_memory(
    answers: int, n_words: Sequence[int], shape: tuple[int, int], memory_gb: float
) -> None:
    """Refuse what does not fit, before anything is computed.

    Args:
        answers: how many; n_words: the numbers; shape: layers that are read, d_model.
        memory_gb: that may be taken.

    Raises:
        LengthlensError: the streams need more memory.
    """
    legal = sum(n >= words for n in n_words for words in range(max(n_words) + 1))
    need = 8 * answers * legal * shape[0] * shape[1] / 1e9  # held twice when they are joined
    if need > memory_gb:
        raise LengthlensError(
            f"generation.memory_gb is {memory_gb:g}, but the streams of {answers} answers under "
            f"every n need up to {need:.2f} GB; lower count.per_n or raise count.every or memory_gb"
        )


def _versions(
    loaded: LoadedModel, language: Language, answers: Sequence[Mapping], reading: Reading
) -> Iterator[_Version]:
    for text, row in enumerate(answers):
        marks = loaded.annotate(row["tokens"], row["n"], reading.counting)
        found = [(w, read_step(marks, w)) for w in range(max(reading.n_words) + 1)]
        found = [(words, step) for words, step in found if step is not None]
        if not found:
            continue
        numbers = [n for n in reading.n_words if n >= found[0][0]]
        words, steps = zip(*found, strict=True)
        yield _Version(
            text,
            numbers,
            [request_of(loaded, language, row, n, reading.date).tokens for n in numbers],
            tokens=row["tokens"][: max(steps)],
            words=words,
            steps=steps,
        )


@torch.inference_mode()
def _read(
    loaded: LoadedModel, version: _Version, part: slice, layers: Sequence[int]
) -> Float[np.ndarray, "layer row step d_model"]:
    """The streams of some versions of one text at its steps."""
    texts = [[*prompt, *version.tokens] for prompt in version.prompts[part]]
    # Rows end alike, however long their prompts are: places are counted from there.
    places = [step - len(version.tokens) - 1 for step in version.steps]
    # NOTE a state takes in what pads a text, so such a model reads one at a time.
    whole = keeps_states(loaded.model)
    parts = []
    for batch in [[text] for text in texts] if whole else [texts]:
        # Of other models one pass reads texts from the end of their shared prefix on.
        state = (
            _unread(loaded, batch) if whole else prefill(loaded.model, batch, 1, last_apart=False)
        )
        with recorded_streams(loaded.anatomy, places) as streams:
            feed(loaded.model, state)
        parts.append([streams[layer].float().cpu().numpy() for layer in layers])
    streams = [np.concatenate(rows) for rows in zip(*parts, strict=True)]
    if not all(np.isfinite(stream).all() for stream in streams):
        raise LengthlensError(
            f"{loaded.spec.name}: the stream is not finite after "
            f"{loaded.decode_text(version.tokens)[-60:]!r}; its weights are not sound"
        )
    return np.stack(streams)


def _unread(loaded: LoadedModel, texts: Sequence[Sequence[int]]) -> State:
    """The state from which one pass reads a text from its first token on."""
    state = unread(loaded.model, len(texts[0]))
    state.token = state.token[:, :0]
    state.mask = state.mask[:, :0]
    state.extend(torch.tensor(texts, device=loaded.device))
    return state
