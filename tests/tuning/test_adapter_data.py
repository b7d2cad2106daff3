"""What the adapter is tuned on: labels are true, and nothing of the study is among it."""

import itertools
import re
from pathlib import Path
from random import Random

import pytest
import yaml

from lengthlens.errors import LengthlensError
from lengthlens.language.languages import load_language
from lengthlens.language.words import count_words
from lengthlens.tuning.recipe import Recipe, check_base
from lengthlens.tuning.rows import Rows, develop_prompts, read_wordings
from lengthlens.tuning.sentences import read_sentences, versions
from lengthlens.tuning.wordnet import WordNet, marked_sentences

ROOT = Path(__file__).parents[2]
SMOLLM2 = ROOT / "resources/smollm2"
RECIPES = yaml.safe_load((ROOT / "config/adapter.yaml").read_text(encoding="utf-8"))
SHIPPED = Recipe.read("shipped", RECIPES["shipped"] | {"base": "resources/pocket/instruct"})
STUDY = load_language(ROOT / "resources/languages/en.yaml")


def plain(wording):
    """A wording without placeholders' names, punctuation and capitals."""
    return " ".join(re.findall(r"\w+", re.sub(r"\{\w+\}", "X", wording).lower()))


def every_wording(wordings):
    """All wordings that can be drawn."""
    for pattern in wordings.tune:
        names = [name for name in re.findall(r"\{(\w+)\}", pattern) if name in wordings.slots]
        for values in itertools.product(*(wordings.slots[name] for name in names)):
            text = pattern
            for name, value in zip(names, values, strict=True):
                text = text.replace(f"{{{name}}}", value, 1)
            yield text


@pytest.fixture(scope="module")
def wordings():
    return read_wordings(ROOT / SHIPPED.wordings)


@pytest.fixture(scope="module")
def rows():
    return Rows.of(SHIPPED, ROOT)


@pytest.fixture(scope="module")
def drawn(rows):
    random = Random(7)
    return [row for _ in range(1200) for row in rows.draw(random)]


def test_wordings_are_not_the_studys(wordings):
    ours = {plain(text.replace(" the {topic}", " {topic}")) for text in every_wording(wordings)}
    theirs = {
        plain(re.sub(r"\{(name|about|of)\}", form, template.text))
        for template in (*STUDY.templates, *STUDY.contrasts)
        for form in ("{topic}", "about {topic}", "of {topic}")
    }
    developing = {plain(text.replace(" the {topic}", " {topic}")) for text in wordings.develop}
    assert len(ours) >= 60
    assert "write a sentence of exactly x words about x" in theirs
    assert not ours & theirs
    assert not developing & theirs
    assert not developing & ours


def test_developing_topics_are_not_the_studys(wordings):
    studied = {word for topic in STUDY.topics for word in topic.words}
    developing = {word for words in wordings.develop_topics.values() for word in words}
    assert len(wordings.develop_topics) >= 20
    assert not studied & developing


def test_rows_never_hold_a_studied_or_developing_word(drawn, wordings):
    held_out = {word for topic in STUDY.topics for word in topic.words}
    held_out |= {word for words in wordings.develop_topics.values() for word in words}
    assert len(held_out) > 120
    texts = " ".join(f"{row.request} {row.answer}" for row in drawn)
    assert not held_out & set(re.findall(r"\w+", texts.lower()))


def test_labels_are_the_words_of_the_answer(drawn):
    assert {row.n for row in drawn} == set(SHIPPED.n_words) == set(range(2, 13))
    for row in drawn:
        assert count_words(row.answer, "whitespace") == row.n
        assert re.findall(r"\d+", row.request) == [str(row.n)]
        assert row.answer[0].isupper() and row.answer.endswith(".")
        assert not set("[]*") & set(row.answer + row.request)


def test_requests_name_a_word_of_the_answer(drawn, rows):
    """Their topic is one that the sentence is marked with."""
    marked = {s.text: s.topics for n in rows.sentences for s in rows.sentences[n]}
    for row in drawn:
        assert any(topic in row.request and topic in row.answer.lower() + row.answer
                   for topic in marked[row.answer]), row  # fmt: skip


def test_one_sentence_has_many_lengths():
    made = versions("The [old] *author* autographed his *book* [at the *fair*]")
    assert {(s.text, s.n, s.topics) for s in made} == {
        ("The old author autographed his book at the fair.", 9, ("author", "book", "fair")),
        ("The author autographed his book at the fair.", 8, ("author", "book", "fair")),
        ("The old author autographed his book.", 6, ("author", "book")),
        ("The author autographed his book.", 5, ("author", "book")),
    }
    assert versions("He slept [in the *barn*]") == versions("He slept in the *barn*")
    [bare] = versions("*Silence* fell")
    assert (bare.text, bare.topics) == ("Silence fell.", ("silence",))


def test_a_sentence_with_versions_comes_in_two_lengths(rows):
    """Asked for in the same words but for the number."""
    together = {frozenset(s.text for s in versions) for versions in rows.versions.values()}
    random = Random(3)
    pairs = [drawn for drawn in (rows.draw(random) for _ in range(400)) if len(drawn) == 2]
    assert len(pairs) > 80
    for one, other in pairs:
        assert one.n != other.n
        assert re.sub(r"\d+", "N", one.request) == re.sub(r"\d+", "N", other.request)
        assert any({one.answer, other.answer} <= texts for texts in together)


def test_batches_depend_on_seed_and_step_alone(rows):
    def texts(rows, step):
        return [row.request for row in rows.batch(step)]

    other = Rows(SHIPPED.model_copy(update={"seed": 1}), rows.wordings, rows.sentences)
    assert texts(rows, 11) == texts(rows, 11)
    assert len(texts(rows, 11)) == SHIPPED.batch
    assert texts(rows, 11) != texts(rows, 12)
    assert texts(rows, 11) != texts(other, 11)


def test_development_prompts_are_spread_over_topics_and_wordings(wordings):
    prompts = develop_prompts(SHIPPED, wordings)
    assert len({prompt.text for prompt in prompts}) == len(prompts)
    for n in SHIPPED.develop_n_words:
        own = [prompt for prompt in prompts if prompt.n == n]
        assert len(own) == SHIPPED.develop_per_n
        assert {prompt.template for prompt in own} == set("0123")
        assert len({prompt.topic for prompt in own}) == min(len(own), len(wordings.develop_topics))


def test_the_shipped_sentences_come_with_their_licence():
    file = SMOLLM2 / "sentences.txt"
    assert file.stat().st_size < 1e6
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) > 12_000 and lines == sorted(set(lines))
    licence = (SMOLLM2 / "WORDNET-LICENSE").read_text(encoding="utf-8")
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in licence
    assert "Permission to use, copy, modify and distribute" in licence


WORDNET = {
    "index.noun": "author n\nbook n\nfair n\nchild n\nsilence n\njasmine n\nclerk n\n",
    "index.verb": "autograph v 1\nfall v 1\nsparge v 1\nsmile v 1\n",
    "index.adj": "old a 1\nodorous a 1\n",
    "index.adv": "gladly r 1\n",
    "noun.exc": "children child\n",
    "verb.exc": "fell fall\n",
    "adj.exc": "",
    "adv.exc": "",
    "cntlist.rev": "author%1:18:00:: 1 9\nfall%2:38:00:: 1 9\n",
    "data.noun": "  1 a licence\n"
    '1 03 n 01 author 0 | who writes; "an author"; "silence fell"; "is the clerk old?"\n'
    "2 03 n 01 Clerk 0 | a name\n",
    "data.verb": '3 03 v 01 autograph 0 | "the old author gladly autographed his book at the fair!"'
    '; "Autograph the book"; "The children smiled"\n',
    "data.adj": '4 03 a 01 odorous 0 | "odorous jasmine"; "the child who is old"\n',
    "data.adv": '5 03 r 01 gladly 0 | "He gladly smiled"; "the author fell; he was old"\n',
}


@pytest.fixture
def wordnet(tmp_path):
    for name, text in WORDNET.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_sentences_are_found_among_phrases_and_marked(wordnet):
    assert marked_sentences(WordNet(wordnet)) == [
        "*Silence* fell",
        "The *children* smiled",
        "The [old] *author* [gladly] autographed his *book* [at the *fair*]",
    ]


def test_a_folder_without_wordnet_is_refused(tmp_path):
    with pytest.raises(LengthlensError, match="holds no index.noun: give the folder of WordNet"):
        WordNet(tmp_path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(LengthlensError, match="no model to tune: .*nowhere holds no config.json"):
        check_base(SHIPPED.model_copy(update={"base": "nowhere"}), tmp_path)
    with pytest.raises(LengthlensError, match="sentences to tune on are not there: .*none.txt"):
        read_sentences(tmp_path / "none.txt")
    with pytest.raises(LengthlensError, match="wordings of requests are not there: .*none.yaml"):
        read_wordings(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("No topic here", "marks no topic"),
        ("The *dog barks", "marks no topic"),
        ("The *dog* barks [loudly", "without its partner"),
        ("The *dog* barks.", "ends with a full stop"),
    ],
)
def test_badly_marked_sentences_are_refused(tmp_path, line, problem):
    (tmp_path / "s.txt").write_text(f"The *cat* sleeps\n{line}\n", encoding="utf-8")
    with pytest.raises(LengthlensError, match=f"line 2: .*{problem}"):
        read_sentences(tmp_path / "s.txt")


def test_wordings_without_number_or_topic_are_refused(tmp_path):
    text = "tune: ['Write {n} words.']\nslots: {a: [b]}\ndevelop: [x]\ndevelop_topics: {x: [x]}\n"
    (tmp_path / "w.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(LengthlensError, match="needs {n} and {topic} once each"):
        read_wordings(tmp_path / "w.yaml")


def test_wrong_keys_of_a_recipe_are_named():
    wrong = RECIPES["tiny"] | {"steps": 0, "rate": 1}
    with pytest.raises(LengthlensError, match="adapter.yaml, mine: steps: .*; rate: Extra"):
        Recipe.read("mine", wrong)
    with pytest.raises(LengthlensError, match="lora: .*lora_dropout would be ignored"):
        Recipe.read("mine", RECIPES["tiny"] | {"lora": {"r": 2, "lora_dropout": 0.1}})
    late = RECIPES["tiny"] | {"series": [5, 5000]}
    with pytest.raises(LengthlensError, match="series holds 5000"):
        Recipe.read("mine", late)


def test_a_length_without_a_sentence_is_refused(rows):
    with pytest.raises(LengthlensError, match="has no sentence of 40 words; take it out"):
        Rows(SHIPPED.model_copy(update={"n_words": {40: 1}}), rows.wordings, rows.sentences)
