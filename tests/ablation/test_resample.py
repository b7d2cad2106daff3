"""Resample ablation: who donates to whom, and which step of the donor stands in."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import tiny_model
from small_project import generation
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
from lengthlens.language.languages import Language, Template, Topic
from lengthlens.language.prompts import Prompt

SETTINGS = generation(max_new_tokens=6, batch_size=3, memory_gb=1.0, date="2024-07-26")
WORD, MORE, FINAL, STOP = 50, 120, 5, 2  # tokens of the toy: " w", "x", "." and an end


NAMES = ("the sea", "a year", "the wind", "a fish")
LANGUAGE = Language(
    code="en",
    name="English",
    topics=tuple(Topic(f"t{i}", {"name": name}, (name,)) for i, name in enumerate(NAMES)),
    templates=(Template("a", "{n} words: {name}"), Template("b", "{name} in {n} words")),
    neutral=(),
)


def prompt(n: int, index: int, template: str = "a") -> Prompt:
    name = f"en-n{n}-{index:04d}"
    text = {"a": f"{n} words: {NAMES[index]}", "b": f"{NAMES[index]} in {n} words"}[template]
    return Prompt(name, "en", n, f"t{index}", template, "evaluate", text)


PROMPTS = [prompt(n, i, "ab"[i % 2]) for n in (3, 4, 5) for i in range(4)]


def test_donors_differ_in_n_alone() -> None:
    """The same topic and wording, another number of n_words; nothing else of the text differs."""
    donors = draw_donors(LANGUAGE, PROMPTS, [3, 4, 5, 8], seed=0)
    for receiver, donor in zip(PROMPTS, donors, strict=True):
        assert donor.n != receiver.n and donor.n in (3, 4, 5, 8)
        assert (donor.topic, donor.template) == (receiver.topic, receiver.template)
        assert donor.text == receiver.text.replace(str(receiver.n), str(donor.n))
    again, other = (draw_donors(LANGUAGE, PROMPTS, [8, 5, 4, 3], seed) for seed in (0, 1))
    assert donors == again != other
    assert {donor.n for donor in donors} == {3, 4, 5, 8}


def test_one_n_has_no_donors() -> None:
    with pytest.raises(LengthlensError, match="another N than 3, but n_words has no other"):
        draw_donors(LANGUAGE, [prompt(3, i) for i in range(4)], [3], 0)


def book_of(answers: list[list[int]]) -> DonorBook:
    """A book of two donors, which asked for 4 and for 3 words, with these answers."""
    loaded = toy(tiny_model("llama"))
    lengths = [len(answer) for answer in answers]
    head = torch.arange(sum(lengths), dtype=torch.float)[:, None, None, None].expand(-1, 3, 4, 16)
    mlp = torch.arange(sum(lengths), dtype=torch.float)[:, None, None].expand(-1, 3, 48)
    recording = Recording(head, mlp, np.cumsum([0, *lengths[:-1]]).tolist(), answers)
    return DonorBook(loaded, [prompt(4, 0), prompt(3, 0)], recording, "whitespace")


def test_steps_are_aligned_by_words_so_far() -> None:
    """Donor: words before its steps 0 1 1 2 2 2. That of the second begins at entry 6."""
    book = book_of([[WORD, MORE, WORD, MORE, FINAL, STOP], [WORD, WORD, STOP]])
    assert book.n == [4, 3]
    assert book.along(1, [0, 1, 1, 2, 5]) == [6, 7, 7, 8, 8]
    assert [book.entry(0, words, 0) for words in (0, 1, 2)] == [0, 1, 3]
    assert [book.entry(0, 2, place) for place in range(5)] == [3, 4, 5, 5, 5]  # at most its last
    assert book.entry(0, 7, 0) == 5  # never had 7 words: the very last step
    assert book.along(0, [0, 1, 1, 2, 3]) == [0, 1, 2, 3, 5]


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


def test_one_neutral_sentence_has_no_donor() -> None:
    """Its own outputs would remove nothing."""
    alone = Recording(torch.zeros(3, 3, 4, 16), torch.zeros(3, 3, 48), [0], [[WORD, WORD, STOP]])
    with pytest.raises(LengthlensError, match="no other as its donor"):
        neutral_donors(alone, 0)


def test_stop_tokens_inside_a_given_text_do_not_end_it() -> None:
    """A full stop in stop_tokens: every token of every sentence is recorded all the same."""
    loaded = toy(tiny_model("llama"))
    texts = [[WORD, STOP, WORD, MORE], [WORD, MORE, STOP, STOP, WORD]]
    recording = record_sentences(loaded, texts, SETTINGS)
    assert recording.tokens == [text[1:] for text in texts]
    assert recording.first == [0, 3] and len(recording.head) == 7
    assert neutral_donors(recording, 0).place.tolist() == [[3, 4, 5]]
