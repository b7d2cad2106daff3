"""Resample ablation: who donates to whom, and which step of the donor stands in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import tiny_model
from toys import NO_STOP, own_logits, ragged_prompts, toy

from lengthlens.ablation.resample import (
    DonorBook,
    InStep,
    Recording,
    draw_donors,
    neutral_donors,
    record,
    record_sentences,
)
from lengthlens.errors import LengthlensError
from lengthlens.generation.answers import GenerationSettings
from lengthlens.language.prompts import Prompt

SETTINGS = GenerationSettings(6, 3, 1.0, 0, 0.0, 1.0, 1, "2024-07-26")
WORD, MORE, FINAL, STOP = 50, 120, 5, 2  # tokens of the toy: " w", "x", "." and an end


def prompt(n: int, index: int, template: str = "a") -> Prompt:
    name = f"en-n{n}-{index:04d}"
    return Prompt(name, "en", n, f"t{index}", template, "evaluate", f"{n} {index}")


PROMPTS = [prompt(n, i, "ab"[i % 2]) for n in (3, 4, 5) for i in range(4)]


def test_donors_ask_for_another_n_in_the_same_words() -> None:
    donors = draw_donors(PROMPTS, seed=0)
    for receiver, place in zip(PROMPTS, donors, strict=True):
        assert PROMPTS[place].n != receiver.n
        assert PROMPTS[place].template == receiver.template
    assert donors == draw_donors(PROMPTS, seed=0) != draw_donors(PROMPTS, seed=1)
    assert len(set(donors)) > 5  # not one donor for all


def test_a_template_without_another_n_takes_any() -> None:
    lonely = [*PROMPTS, prompt(9, 0, "rare")]
    assert lonely[draw_donors(lonely, 0)[-1]].n != 9


def test_one_n_has_no_donors() -> None:
    with pytest.raises(LengthlensError, match="another N than 3"):
        draw_donors([prompt(3, i) for i in range(4)], 0)


def book_of(answers: list[list[int]]) -> DonorBook:
    """A book in which prompt 0 (N = 3) and prompt 1 (N = 4) donate to each other."""
    loaded = toy(tiny_model("llama"))
    lengths = [len(answer) for answer in answers]
    head = torch.arange(sum(lengths), dtype=torch.float)[:, None, None, None].expand(-1, 3, 4, 16)
    mlp = torch.arange(sum(lengths), dtype=torch.float)[:, None, None].expand(-1, 3, 48)
    recording = Recording(head, mlp, np.cumsum([0, *lengths[:-1]]).tolist(), answers)
    return DonorBook(loaded, [prompt(3, 0), prompt(4, 0)], recording, "whitespace", 0)


def test_steps_are_aligned_by_words_so_far() -> None:
    """Donor: words before its steps 0 1 1 2 2 2. Its entries begin at 3."""
    book = book_of([[WORD, WORD, STOP], [WORD, MORE, WORD, MORE, FINAL, STOP]])
    assert book.donor == [1, 0]
    assert [book.entry(0, words, 0) for words in (0, 1, 2)] == [3, 4, 6]
    assert [book.entry(0, 2, place) for place in range(5)] == [6, 7, 8, 8, 8]  # at most its last
    assert book.entry(0, 7, 0) == 8  # never had 7 words: the very last step
    assert book.along(0, [0, 1, 1, 2, 3]) == [3, 4, 5, 6, 8]


def test_the_chooser_moves_donors_with_the_words() -> None:
    """Fed an answer token by token, every row points where `along` says."""
    book = book_of([[WORD, WORD, STOP], [WORD, MORE, WORD, MORE, FINAL, STOP]])
    loaded = toy(tiny_model("llama"))
    answer = [WORD, MORE, WORD, WORD]
    choose = InStep(book, [0, 1, 0], [True, True, False], NO_STOP.stop, loaded.decode_text,
                    "whitespace")  # fmt: skip
    expected = {row: book.along(row, [0, 1, 1, 2, 3]) for row in (0, 1)}
    for step, token in enumerate(answer):
        assert [int(choose.donors.place[row, 0]) for row in (0, 1)] == [
            expected[row][step] for row in (0, 1)
        ]
        logits = torch.zeros(3, 160)
        logits[:, token] = 1.0
        assert choose(step, torch.arange(3), logits).tolist() == [token] * 3
    assert [int(choose.donors.place[row, 0]) for row in (0, 1)] == [expected[0][4], expected[1][4]]
    assert int(choose.donors.place[2, 0]) == 0  # a row without a donor stays where it was


def test_recordings_hold_what_the_model_computed() -> None:
    """Entries of a given text = inputs of o_proj in one plain pass over it; measured 4.8e-7."""
    model = tiny_model("llama")
    loaded = toy(model)
    texts = ragged_prompts([4, 7, 5, 3], seed=5)
    recording = record_sentences(loaded, texts, SETTINGS)
    seen = []
    handle = model.model.layers[1].self_attn.o_proj.register_forward_pre_hook(
        lambda module, args: seen.append(args[0][0].clone())
    )
    try:
        for text in texts:
            own_logits(model, text[:1], text[1:])
    finally:
        handle.remove()
    for first, text, plain in zip(recording.first, texts, seen, strict=True):
        mine = recording.head[first : first + len(text) - 1, 1].flatten(1)
        assert (mine - plain).abs().max() <= 1e-5


def test_free_answers_are_recorded_as_decoded() -> None:
    loaded = toy(tiny_model("llama"))
    prompts = ragged_prompts([4, 7, 5, 3], seed=5)
    recording = record(loaded, prompts, SETTINGS)
    assert len(recording.head) == len(recording.mlp) == sum(map(len, recording.tokens))
    assert recording.first == np.cumsum([0, *map(len, recording.tokens[:-1])]).tolist()


def test_neutral_sentences_take_the_next_one() -> None:
    """Token by token; the donor's last where it is shorter; the first donates to the last."""
    book = book_of([[WORD, WORD, STOP], [WORD, MORE, WORD, MORE, FINAL, STOP]])
    places = [neutral_donors(book.recording, i).place.tolist() for i in (0, 1)]
    assert places == [[[3, 4, 5]], [[0, 1, 2, 2, 2, 2]]]
