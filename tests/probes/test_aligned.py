"""Aligned decoding: which words are one token, that nothing else is chosen, and what it cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lengthlens.decoding.choose import Sampler, greedy
from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.language.languages import Language, Template, Topic
from lengthlens.language.words import CONVENTIONS, count_words
from lengthlens.models.vocabulary import classify_vocabulary, surfaces
from lengthlens.probes.aligned import Aligned, degeneration, has_loop
from lengthlens.probes.probing import tokens_by_word
from lengthlens.probes.whole_words import language_words, whole_words, words_of
from lengthlens.weights.checkpoints import ModelSpec

LANGUAGE = Language(
    "en",
    "English",
    (Topic("sea", {"name": "the sea", "about": "about the sea"}, ("sea", "seas")),),
    (Template("plain", "Write exactly {n} words {about}."),),
    ("The small boat sails.",),
)


@pytest.fixture(scope="module")
def loaded(tiny_llama_dir: Path) -> LoadedModel:
    return load(ModelSpec(name="tiny", variant="instruct", path=str(tiny_llama_dir)))


def texts_of(tokenizer, mask) -> set[str]:
    return set(surfaces(tokenizer, np.flatnonzero(mask).tolist()))


def test_the_lexicon_is_that_of_the_resources_without_placeholders() -> None:
    words = language_words(LANGUAGE)
    assert {"the", "sea", "seas", "about", "Write", "write", "exactly", "sails"} <= words
    assert not {"n", "name", "{n}", "sails."} & words


def test_words_of_answers_lose_their_punctuation_and_keep_their_capitals() -> None:
    assert words_of(["The sea, the SEA!"]) == {"The", "the", "sea", "SEA"}


@pytest.mark.parametrize("kind", ["byte_level", "metaspace"])
def test_only_tokens_that_are_exactly_a_word_are_whole(kind, request) -> None:
    """Both families of tokenizers; " se" of "sea" and "the" inside of a word are none."""
    tokenizer = request.getfixturevalue(kind)
    vocabulary = classify_vocabulary(tokenizer, [], len(tokenizer))
    words = ["the", "sea", "Sea", "Mediterranean"]
    whole = whole_words(tokenizer, vocabulary, words)
    forms = {"the", "The", "sea", "Sea", "Mediterranean", "mediterranean"}
    assert texts_of(tokenizer, whole.later) <= {f" {form}" for form in forms}
    assert {" the", " sea"} <= texts_of(tokenizer, whole.later)
    assert texts_of(tokenizer, whole.first) <= {f" {form}" for form in forms} | forms
    assert whole.n_words == 3 and whole.n_whole == 2  # of the three, "Mediterranean" is not
    for text in texts_of(tokenizer, whole.first | whole.later):
        assert [count_words(text, convention) for convention in CONVENTIONS] == [1, 1, 1]
    marks = texts_of(tokenizer, whole.marks)
    assert "." in marks and not any(text[0].isspace() for text in marks)


def test_elided_words_are_not_whole(byte_level) -> None:
    """ "dell'acqua" is one word or two, by convention: no token may stand for it."""
    tokenizer = byte_level
    tokenizer_with = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer)
    tokenizer_with.add_tokens([" l'acqua"])
    vocabulary = classify_vocabulary(tokenizer_with, [], len(tokenizer_with))
    assert not whole_words(tokenizer_with, vocabulary, ["l'acqua"]).later.any()


def chooser_for(loaded: LoadedModel, choose=greedy, shape=(2, 8)) -> Aligned:
    whole = whole_words(loaded.tokenizer, loaded.vocabulary, language_words(LANGUAGE))
    masks = (loaded.vocabulary.stop, loaded.vocabulary.ender)
    return Aligned(whole, *(torch.from_numpy(mask.copy()) for mask in masks), choose, shape)


def test_what_is_allowed_first_and_later(loaded) -> None:
    """First: whole words with or without a space, and stop tokens; then no bare word, but ends."""
    chooser = chooser_for(loaded)
    bare = loaded.tokenizer.convert_tokens_to_ids("The")
    mark = loaded.tokenizer.convert_tokens_to_ids(".")
    rows = torch.tensor([0, 1])
    for step, expected in ((0, bare), (1, mark)):
        logits = torch.zeros(2, len(loaded.vocabulary))
        logits[:, bare], logits[:, mark] = 9.0, 8.0
        chosen = chooser(step, rows, logits)
        assert chosen.tolist() == [expected, expected]


def test_the_cost_is_the_difference_in_log_probability(loaded) -> None:
    r"""cost = log p(free) - log p(chosen) = z(free) - z(chosen): the partition sum cancels."""
    chooser = chooser_for(loaded)
    whole = chooser._later.nonzero()[:, 0]
    outside = (~chooser._later & ~chooser._ender).nonzero()[:, 0]
    ends = (chooser._later & chooser._ender).nonzero()[:, 0]
    word = whole[~chooser._ender[whole]][0]
    logits = torch.zeros(2, len(loaded.vocabulary))
    logits[0, word] = 3.0  # allowed: chosen as it would be
    logits[1, outside[0]], logits[1, ends[0]] = 5.0, 2.0  # would go on, may only end
    chosen = chooser(1, torch.tensor([0, 1]), logits)
    assert chosen.tolist() == [int(word), int(ends[0])]
    torch.testing.assert_close(chooser.cost[:, 1], torch.tensor([0.0, 3.0]).double())
    assert chooser.changed[:, 1].tolist() == [False, True]
    assert chooser.forced_end[:, 1].tolist() == [False, True]
    assert not chooser.changed[:, 0].any()


def test_rows_that_have_left_are_not_recorded(loaded) -> None:
    chooser = chooser_for(loaded)
    logits = torch.zeros(1, len(loaded.vocabulary))
    logits[0, (~chooser._later).nonzero()[0, 0]] = 1.0
    chooser(2, torch.tensor([1]), logits)
    assert chooser.cost[1, 2] > 0 and not chooser.cost[0].any()


def test_sampling_stays_within_the_allowed_tokens(loaded) -> None:
    ids = [f"s{i}" for i in range(50)]
    chooser = chooser_for(loaded, Sampler.seeded(ids, 8, 0, 1.0, 0.9), (50, 8))
    torch.manual_seed(0)
    logits = torch.randn(50, len(loaded.vocabulary))
    for step in (0, 3):
        allowed = chooser._later if step else chooser._first
        assert allowed[chooser(step, torch.arange(50), logits)].all()


def test_loops() -> None:
    assert has_loop(["the", "the", "the"])
    assert has_loop(["a", "sea", "is", "calm", "is", "calm", "is", "calm"])
    assert has_loop(["a", "b", "c", "a", "b", "c", "a", "b", "c", "d"])
    assert not has_loop(["the", "the"])
    assert not has_loop(3 * ["a", "b", "c", "d"])  # a unit of four words
    assert not has_loop([])


def test_degeneration_names_one_reason() -> None:
    assert degeneration("...", forced_end=True) == "empty"
    assert degeneration("The the, THE sea.", forced_end=True) == "loop"
    assert degeneration("The sea.", forced_end=True) == "forced end"
    assert degeneration("The sea is calm.", forced_end=False) == ""


def test_tokens_by_word_leave_out_ends_and_words_beyond_n(loaded) -> None:
    """The counts add up to the tokens of the first n words, whatever follows."""
    encode = loaded.tokenizer.encode
    first = encode("The Mediterranean", add_special_tokens=False)
    later = encode(" sails.", add_special_tokens=False)
    assert loaded.tokenizer.decode(later[-1:]) == "."
    stop = int(loaded.classes.stop[0])
    known = (loaded, "whitespace")
    counts = tokens_by_word([*first, *later, stop], 2, *known)
    assert counts == [1, len(first) - 1] and counts[1] > 1
    assert tokens_by_word([*first, *later, stop], 3, *known) == [*counts, len(later) - 1]
    assert tokens_by_word([stop], 3, *known) == []
