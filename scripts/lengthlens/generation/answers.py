"""Answers to prompts, with everything that attribution needs recorded on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lengthlens.decoding.choose import Chooser, Sampler, greedy
from lengthlens.decoding.decode import Decoded
from lengthlens.decoding.waves import OutOfMemory, halves
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.records import Batch, Samples, recorded_steps
from lengthlens.generation.steps import StepAnnotations, answer_text
from lengthlens.language.languages import Language
from lengthlens.language.prompts import Prompt, prompt_of
from lengthlens.language.words import count_words
from lengthlens.models.memory import is_out_of_memory, release_memory
from lengthlens.models.positions import check_positions
from lengthlens.models.small_model import text_config
from lengthlens.settings.sections import Generation
from lengthlens.weights.shape import rows_that_fit


@dataclass(frozen=True)
class Request:
    """One sample to generate: a prompt and its encoding."""

    sample_id: str
    prompt: Prompt
    tokens: list[int]


def requests(loaded: LoadedModel, prompts: Sequence[Prompt], settings: Generation) -> list[Request]:
    """The samples of the given prompts, prompt by prompt, draw by draw."""
    return [
        Request(prompt.sample_id(draw), prompt, loaded.encode(prompt.text, settings.date))
        for prompt in prompts
        for draw in range(settings.samples)
    ]


def request_of(
    loaded: LoadedModel, language: Language, answer: Mapping, n: int, date: str
) -> Request:
    """The prompt that an answer (a row of a generations file) was written to, with the number n."""
    prompt = prompt_of(language, answer, n)
    return Request(answer["sample_id"], prompt, loaded.encode(prompt.text, date))


def prompts_of(
    loaded: LoadedModel, language: Language, answers: Sequence[Mapping], date: str
) -> list[Request]:
    """The prompts that answers were written to."""
    return [request_of(loaded, language, row, row["n"], date) for row in answers]


def rows_per_batch(
    loaded: LoadedModel, prompt_tokens: int, settings: Generation, capture: bool
) -> int:
    """Answers decoded together: a pure function of the configuration and the model's shape.

    Args:
        loaded: the model.
        prompt_tokens: length of the longest prompt.
        settings: `batch_size` as configured, or `auto` within `memory_gb`.
        capture: whether the residual stream is recorded.

    Raises:
        LengthlensError: not even one row fits, or the model knows fewer positions.
    """
    config = text_config(loaded.model.config)
    positions = prompt_tokens + settings.max_new_tokens
    known = getattr(config, "max_position_embeddings", None)
    if known is not None and positions > known:
        raise LengthlensError(
            f"a prompt of {prompt_tokens} tokens and an answer of {settings.max_new_tokens} are "
            f"more than the {known} positions that {loaded.spec.name} knows; lower "
            "generation.max_new_tokens"
        )
    check_positions(config, positions - 1)  # the last token is not fed
    if settings.batch_size != "auto":
        return int(settings.batch_size)
    shape, itemsize = loaded.anatomy.shape(loaded.dtype), loaded.itemsize
    row = shape.row_bytes(positions, settings.max_new_tokens, itemsize, capture)
    if capture and loaded.anatomy.experts:  # one more term of every layer
        row += 2 * settings.max_new_tokens * itemsize * shape.layers * shape.d_model
    rows = rows_that_fit(row, settings.memory_gb)
    if rows < 1:
        raise LengthlensError(
            f"generation.memory_gb is {settings.memory_gb:g}, but one answer of up to "
            f"{settings.max_new_tokens} tokens of {loaded.spec.name} needs {row / 1e9:.2f} GB; "
            "raise memory_gb or lower max_new_tokens"
        )
    return rows


def answer_prompts(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    settings: Generation,
    counting: str,
    on_step: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[list[dict], Batch]]:
    """Generate the answers to prompts, batch by batch, recording the residual stream.

    Args:
        loaded: the model.
        prompts: in the order in which the answers come.
        settings: how to generate.
        counting: the counting convention.
        on_step: progress, as for `Decoder.decode`.

    Yields:
        Rows of a generations file, and the batch with their recorded steps. Where memory runs
        out, smaller batches than planned; none of those already yielded is lost.

    Raises:
        LengthlensError: not even one answer fits into memory.
    """
    parts = in_batches(loaded, requests(loaded, prompts, settings), settings, capture=True)
    while parts:
        part = parts.pop(0)
        try:
            rows, decoded = answered(
                loaded, part, settings, counting, capture=True, on_step=on_step
            )
            batch = record_batch(part, decoded, loaded, counting)
        except (RuntimeError, MemoryError, OutOfMemory) as error:
            if not (isinstance(error, OutOfMemory) or is_out_of_memory(error)):
                raise
            if len(part) == 1:
                raise _too_large(loaded, part[0], settings) from error
        else:
            yield rows, batch
            continue
        release_memory()
        parts[:0] = halves(part)


def in_batches(
    loaded: LoadedModel, wanted: Sequence[Request], settings: Generation, capture: bool
) -> list[Sequence[Request]]:
    """The requests, cut into batches that fit into memory as far as is known beforehand."""
    longest = max((len(request.tokens) for request in wanted), default=1)
    size = rows_per_batch(loaded, longest, settings, capture)
    return [wanted[start : start + size] for start in range(0, len(wanted), size)]


def answered(
    loaded: LoadedModel,
    part: Sequence[Request],
    settings: Generation,
    counting: str,
    **options: Any,
) -> tuple[list[dict], Decoded]:
    """Answer the requests of one batch: rows of a generations file, and how they were decoded.

    Args:
        options: of `Decoder.decode`; `choose` is that of the settings unless it is given.
    """
    decoded = loaded.decode(
        [request.tokens for request in part],
        settings.max_new_tokens,
        names=[request.sample_id for request in part],
        **{"choose": chooser(part, settings)} | options,
    )
    return answer_rows(loaded, part, decoded, counting), decoded


def answer_rows(
    loaded: LoadedModel, part: Sequence[Request], decoded: Decoded, counting: str
) -> list[dict]:
    """Rows of a generations file, of the requests of a batch and how they were decoded."""
    return [
        answer_row(request, tokens, stopped, loaded, counting)
        for request, tokens, stopped in zip(part, decoded.tokens, decoded.stopped, strict=True)
    ]


def _too_large(loaded: LoadedModel, request: Request, settings: Generation) -> LengthlensError:
    """The error for an answer that does not fit into memory even alone."""
    return LengthlensError(
        f"{loaded.spec.name} ran out of memory on {loaded.device} with a batch of one answer "
        f"({request.sample_id}: {len(request.tokens)} tokens of prompt, up to "
        f"{settings.max_new_tokens} more; generation.memory_gb is {settings.memory_gb:g}, which "
        "only plans the size of batches). Free memory there, lower generation.max_new_tokens, set "
        "generation.dtype to bfloat16, or spread the model over several GPUs with "
        "generation.device: split"
    )


def chooser(part: Sequence[Request], settings: Generation) -> Chooser:
    """Greedy at temperature 0, else seeded sampling."""
    if settings.temperature == 0:
        return greedy
    return Sampler.seeded(
        [request.sample_id for request in part],
        settings.max_new_tokens,
        settings.seed,
        settings.temperature,
        settings.top_p,
    )


def answer_row(
    request: Request, tokens: Sequence[int], stopped: bool, loaded: LoadedModel, counting: str
) -> dict:
    """One line of a generations file."""
    start = loaded.answer_start(tokens)
    text = answer_text(tokens[start:], loaded.vocabulary, loaded.decode_text)
    words = count_words(text, counting)
    prompt = request.prompt
    return {
        "sample_id": request.sample_id,
        "prompt_id": prompt.id,
        "language": prompt.language,
        "n": prompt.n,
        "topic": prompt.topic,
        "template": prompt.template,
        "split": prompt.split,
        "text": text,
        "tokens": list(tokens),
        "words": words,
        "error": words - prompt.n,
        "stopped": stopped,
        "truncated": not stopped,
        "thinking_tokens": start,
        "cut_thinking": not stopped and start == len(tokens) > 0,
    }


def record_batch(
    part: Sequence[Request], decoded: Decoded, loaded: LoadedModel, counting: str
) -> Batch:
    """The steps of decoded answers, annotated, one after another."""
    lengths = np.array([len(tokens) for tokens in decoded.tokens])
    samples = Samples(
        [request.sample_id for request in part],
        np.array([request.prompt.n for request in part]),
        np.cumsum([0, *lengths[:-1]]),
        lengths,
    )
    marks = [
        loaded.annotate(tokens, request.prompt.n, counting)
        for request, tokens in zip(part, decoded.tokens, strict=True)
    ]
    columns = {
        field.name: np.concatenate([getattr(mark, field.name) for mark in marks])
        for field in fields(StepAnnotations)
    }
    return Batch(samples, *recorded_steps(decoded, columns), tuple(decoded.layout))
