"""Prompts, token classes and references for decoding tests on the models of `architectures`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from architectures import VOCABULARY
from jaxtyping import Float
from small_project import generation
from torch import Tensor

from lengthlens.decoding.capture import Residuals
from lengthlens.decoding.decode import Decoded, TokenClasses
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.records import Batch, Samples, Steps
from lengthlens.models.anatomy import dissect
from lengthlens.models.vocabulary import CONTINUATION, FINAL, STOP, WORD, Vocabulary
from lengthlens.weights.checkpoints import ModelSpec

CLASSES = TokenClasses(
    stop=torch.tensor([2, 3]),
    enders=torch.tensor([2, 3, 5, 7]),
    words=torch.arange(40, 100),
)
SETTINGS = generation(
    max_new_tokens=9,
    batch_size=3,
    memory_gb=1.0,
    date="2024-07-26",
)
NO_STOP = TokenClasses(torch.tensor([], dtype=torch.long), CLASSES.enders, CLASSES.words)


def ragged_prompts(lengths: Sequence[int], seed: int = 0, shared: int = 0) -> list[list[int]]:
    """Random prompts of the given lengths, of which the first `shared` tokens are the same."""
    rng = np.random.default_rng(seed)
    prefix = rng.integers(8, VOCABULARY, shared).tolist()
    return [prefix + rng.integers(8, VOCABULARY, n - shared).tolist() for n in lengths]


@torch.inference_mode()
def own_logits(
    model, prompt: Sequence[int], answer: Sequence[int]
) -> Float[Tensor, "step vocabulary"]:
    """The model's own output at every step of an answer: one plain pass, no cache, no padding."""
    output = model(torch.tensor([[*prompt, *answer[:-1]]]), use_cache=False).logits[0]
    return output[len(prompt) - 1 :]


def capped(logits: Tensor, cap: float | None) -> Tensor:
    """Logits after a soft cap."""
    return logits if cap is None else cap * torch.tanh(logits / cap)


def as_batch(decoded: Decoded, marks: Sequence[dict[str, np.ndarray]] | None = None) -> Batch:
    """A decoded batch as attribution takes it in.

    Without `marks` every step is a boundary step with sign +1, and none is a decision.
    """
    lengths = np.array([len(tokens) for tokens in decoded.tokens])
    row = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum([0, *lengths[:-1]])
    step = np.arange(len(row)) - first[row]
    n = len(row)
    columns = {
        "is_stop": np.zeros(n, dtype=bool),
        "words_before": np.zeros(n, dtype=np.int32),
        "words_after": np.zeros(n, dtype=np.int32),
        "sign": np.ones(n, dtype=np.int8),
        "boundary": np.ones(n, dtype=bool),
        "decision": np.zeros(n, dtype=bool),
    }
    for name in marks[0] if marks else ():
        columns[name] = np.concatenate([mark[name] for mark in marks])
    for name, values in vars(decoded.logits).items():
        columns[name] = values.numpy()[row, step]
    buffers = {
        name: None if buffer is None else buffer[step, row]
        for name, buffer in vars(decoded.residuals).items()
    }
    residuals = Residuals(**buffers)
    steps = Steps(
        sample=row,
        token=np.concatenate(decoded.tokens),
        scale=residuals.scale.numpy(),
        **columns,
    )
    samples = Samples(
        [f"s{i}#0" for i in range(len(lengths))], np.full(len(lengths), 4), first, lengths
    )
    return Batch(samples, steps, residuals)


def toy(model) -> LoadedModel:
    """A tiny model with the classes above and a text for every token, but without a tokenizer."""
    classes = np.full(VOCABULARY, CONTINUATION, dtype=np.uint8)
    classes[CLASSES.words.numpy()] = WORD
    classes[CLASSES.enders.numpy()] = FINAL
    classes[CLASSES.stop.numpy()] = STOP
    text = {CONTINUATION: "x", WORD: " w", FINAL: ".", STOP: ""}
    return LoadedModel(
        spec=ModelSpec(name="toy", variant="base", path="toy"),
        model=model,
        tokenizer=None,
        anatomy=dissect(model),
        vocabulary=Vocabulary(classes),
        classes=CLASSES,
        decode_text=lambda tokens: "".join(text[classes[token]] for token in tokens),
    )


@contextlib.contextmanager
def memory_for(model, rows: int, first_step: int = 0) -> Iterator[list[int]]:
    """Forward passes of more than so many rows fail, as CUDA's do, from a step after the first on.

    Yields the sizes of all passes that feed a generated token.
    """
    sizes: list[int] = []
    plain = model.forward

    def forward(*args, **kwargs):
        size, new = kwargs["input_ids"].shape
        if size > rows and len(sizes) >= first_step:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore")
        if new == 1:
            sizes.append(size)
        return plain(*args, **kwargs)

    model.forward = forward
    try:
        yield sizes
    finally:
        del model.forward
