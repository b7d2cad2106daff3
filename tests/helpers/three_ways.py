"""Greedy answers in the ways that must agree: one at a time, in batches, and by transformers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from small_project import changed
from tiny_llama import greedy_answer
from toys import CLASSES, SETTINGS, own_logits, ragged_prompts, toy

from lengthlens.decoding.forward import WORTH_A_PASS, common_prefix
from lengthlens.generation.answers import answer_prompts
from lengthlens.generation.loaded import LoadedModel
from lengthlens.language.prompts import Prompt

LIMIT = 10
PREFIX = 40
# Lengths differ, rows end up with 0 to 21 positions of padding, and the last prompt comes twice.
PROMPTS = ragged_prompts([47, 42, 61, 52], seed=11, shared=PREFIX)
PROMPTS.append(PROMPTS[1])


class Encoded(LoadedModel):
    """A toy whose prompts' texts are the indices of given token ids."""

    def encode(self, text: str, date: str) -> list[int]:
        return PROMPTS[int(text)]


def answers(model, batch_size: int | str) -> list[list[int]]:
    """What the study's own generation answers to `PROMPTS`."""
    loaded = Encoded(**vars(toy(model)))
    settings = changed(SETTINGS, max_new_tokens=LIMIT, batch_size=batch_size)
    prompts = [
        Prompt(f"p{i}", "en", 4, "topic", "template", "select", str(i)) for i in range(len(PROMPTS))
    ]
    parts = answer_prompts(loaded, prompts, settings, "whitespace")
    return [row["tokens"] for rows, _ in parts for row in rows]


def by_transformers(model, prompt: Sequence[int]) -> list[int]:
    """transformers' greedy answer to one prompt."""
    return greedy_answer(model, prompt, LIMIT, eos_token_id=CLASSES.stop.tolist())


@contextlib.contextmanager
def passes(model) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the ids of all forward passes in the block."""
    shapes: list[tuple[int, ...]] = []
    handle = model.register_forward_pre_hook(
        lambda m, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        yield shapes
    finally:
        handle.remove()


def disagreements(model, shares: bool = True) -> list[str]:
    """Answers that differ between the three ways, in words; none where all is well.

    They may part where the two best logits are all but equal.

    Args:
        shares: whether the model's batches must share the prefix of the prompts.
    """
    distinct = PROMPTS[:-1]
    assert common_prefix(distinct) * (len(distinct) - 1) >= WORTH_A_PASS
    with passes(model) as shapes:
        together = answers(model, "auto")
    assert (shapes[0] == (1, PREFIX)) == shares, f"passes {shapes[:3]}"
    assert max(rows for rows, _ in shapes) == len(PROMPTS)
    alone = answers(model, 1)
    found = []
    for i, prompt in enumerate(PROMPTS):
        theirs = by_transformers(model, prompt)
        for name, ours in {"auto": together[i], "1": alone[i]}.items():
            if ours != theirs and not tied(model, prompt, ours, theirs):
                found.append(f"prompt {i}, batch_size {name}: {ours}, transformers: {theirs}")
    return found


def tied(model, prompt, ours: list[int], theirs: list[int]) -> bool:
    """Whether two answers part where the two best logits are all but equal."""
    parted = [step for step, pair in enumerate(zip(ours, theirs, strict=False)) if len({*pair}) > 1]
    if not parted:
        return False
    logits = own_logits(model, prompt, ours)[parted[0]]
    best = logits.topk(2).values
    return bool(best[0] - best[1] < 1e-5 * logits.abs().max())
