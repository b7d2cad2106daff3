"""What the pocket pair is trained on: the study's topics and wordings are not among it."""

import re
from itertools import islice, product
from pathlib import Path

import pytest
import yaml

from lengthlens.language.languages import load_language
from lengthlens.pocket.corpus import TARGETS, TUNED, Corpus
from lengthlens.pocket.instructions import OPEN, SLOT, Wordings, load_wordings
from lengthlens.pocket.lexicon import NATURAL, load_lexicon
from lengthlens.pocket.qaa_resource import qaa_yaml
from lengthlens.pocket.tokenizer import encode, qaa_vocabulary, train_tokenizer

ROOT = Path(__file__).parents[2]
LANGUAGES = ROOT / "resources" / "languages"
LEXICON = load_lexicon()
STUDIED = (*NATURAL, "qaa")


def studied(code):
    return load_language(LANGUAGES / f"{code}.yaml")


def every(wordings: Wordings, counted: bool) -> list[str]:
    """All wordings that `draw` can return."""
    found = []
    for pattern in wordings.counted if counted else wordings.free:
        names = [name for name in SLOT.findall(pattern) if name not in OPEN]
        for values in product(*(wordings.slots[name] for name in names)):
            text = pattern
            for name, value in zip(names, values, strict=True):
                text = text.replace("{" + name + "}", value, 1)
            found.append(text)
    return found


def plain(wording):
    """A wording without placeholders' names, punctuation and capitals."""
    return " ".join(re.findall(r"\w+", re.sub(r"\{\w+\}", "X", wording).lower()))


@pytest.fixture(scope="module")
def examples():
    corpus = Corpus(LEXICON, 5)
    return [corpus.example() for _ in range(1200)]


@pytest.fixture(scope="module")
def documents():
    corpus = Corpus(LEXICON, 6)
    return [corpus.document() for _ in range(700)]


@pytest.mark.parametrize("code", STUDIED)
def test_wordings_are_not_the_studys(code):
    wordings = load_wordings()[code]
    ours = {plain(text) for counted in (True, False) for text in every(wordings, counted)}
    developing = {plain(w) for w in wordings.develop}
    language = studied(code)
    theirs = {plain(template.text) for template in (*language.templates, *language.contrasts)}
    assert not ours & theirs
    assert not developing & theirs
    assert not developing & ours


@pytest.mark.parametrize("code", TUNED)
def test_there_are_many_wordings(code):
    for counted in (True, False):
        assert len(every(load_wordings()[code], counted)) >= 30


def test_tuning_topics_are_many_and_not_the_studys():
    tuned = {noun.id for noun in LEXICON.by_role("tune")}
    developing = {noun.id for noun in LEXICON.by_role("develop")}
    assert len(tuned) >= 80
    for code in STUDIED:
        topics = {topic.id for topic in studied(code).topics}
        assert topics == {noun.id for noun in LEXICON.by_role("study")}
        assert not topics & (tuned | developing)
    assert not tuned & developing


def test_tuning_texts_never_hold_a_studied_or_developing_word(examples):
    for code in TUNED:
        held_out = {word.lower() for topic in studied(code).topics for word in topic.words}
        held_out |= {noun.words[code].lower() for noun in LEXICON.by_role("develop")}
        text = " ".join(f"{e.request} {e.answer}" for e in examples if e.language == code)
        assert not held_out & set(re.findall(r"\w+", text.lower())), code


def test_luxembourgish_is_never_tuned(examples):
    assert {example.language for example in examples} == set(TUNED) == {"en", "it", "qaa"}
    assert load_wordings()["lb"].counted == ()


def test_targets_are_three_to_nine_and_met(examples):
    counted = [e for e in examples if e.n is not None]
    assert {e.n for e in counted} == set(TARGETS) == set(range(3, 10))
    for example in counted:
        assert len(example.answer.split()) == example.n
        assert re.findall(r"\d+", example.request) == [str(example.n)]
    for example in examples:
        assert not re.search(r"\d", example.answer)
        if example.n is None:
            assert not re.search(r"\d", example.request)


def test_pretraining_holds_numerals_up_to_fifteen_but_no_lengths(documents):
    numerals = {int(n) for text in documents for n in re.findall(r"\d+", text)}
    assert numerals == set(range(3, 16))
    requests = [text.split("\n")[0] for text in documents if "\n" in text]
    assert len(requests) > 140
    assert not any(re.search(r"\d", request) for request in requests)


def test_the_same_seed_gives_the_same_texts():
    one, two, other = (Corpus(LEXICON, seed) for seed in (3, 3, 4))
    first = [one.document() for _ in range(20)]
    assert first == [two.document() for _ in range(20)]
    assert first != [other.document() for _ in range(20)]


def test_every_qaa_word_and_every_numeral_is_one_token(documents):
    tokenizer = train_tokenizer(documents[:300], LEXICON, 60)
    words, initial = qaa_vocabulary(LEXICON)
    assert len(set(words)) == len(words)
    for word in words:
        assert len(encode(tokenizer, f" {word}")) == 1
        if word in initial:
            assert len(encode(tokenizer, word)) == 1
    for number in range(16):
        assert len(encode(tokenizer, str(number))) == 1
    for text in (*islice(documents, 100), "Ça, 🐺 1234!\n\n x"):
        assert tokenizer.decode(encode(tokenizer, text)) == text
    assert tokenizer("a").input_ids[0] == tokenizer.bos_token_id


def test_the_qaa_language_file_is_that_of_the_lexicon():
    order = [topic.id for topic in studied("en").topics]
    text = (LANGUAGES / "qaa.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == yaml.safe_load(qaa_yaml(order))
