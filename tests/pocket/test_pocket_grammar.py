"""The pocket grammar: exact lengths, no dead ends, agreement."""

from random import Random

import pytest

from lengthlens.pocket.grammar import TAILS, Grammar
from lengthlens.pocket.lexicon import LANGUAGES, load_lexicon
from lengthlens.pocket.morphology import (
    agree,
    noun_phrase,
    prepositional,
    sentence,
    topic_forms,
)

LEXICON = load_lexicon()
NOUNS = {noun.id: noun for noun in LEXICON.nouns if noun.role != "invented"}


def entry(kind, name):
    return next(e for e in getattr(LEXICON, kind) if e.id == name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_have_exactly_n_words(language):
    grammar, random = Grammar(LEXICON, language), Random(0)
    for noun in NOUNS.values():
        for n in range(3, 16):
            text = grammar.write(noun, n, random, spans=n % 2 == 0)
            assert len(text.split()) == n, text
            assert text.endswith(".") and text.count(".") == 1
            assert noun.words[language] in text


def test_two_words_are_too_few():
    with pytest.raises(ValueError, match="shortest sentence has 3 words, 2 were asked for"):
        Grammar(LEXICON, "en").write(NOUNS["sea"], 2, Random(0))


def test_every_remaining_length_is_reachable_from_every_state():
    """R(s) = {0} ∪ ⋃ over arcs a of s: {length(a) + r: r in R(next(a))} holds 0...12 for all s.

    Arcs count with their fewest words only, which is the least that can be reached.
    """
    reachable = {state: {0} for state in [*TAILS, "end"]}
    for _ in range(12):
        for state, arcs in TAILS.items():
            for fewest, following in arcs.values():
                reachable[state] |= {fewest + rest for rest in reachable[following]}
    for state in TAILS:
        assert set(range(13)) <= reachable[state], state


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", list(TAILS))
def test_the_sampler_ends_every_state_at_every_length(language, state):
    """The same with real phrases: from each state the tail is filled to each length."""
    grammar, random = Grammar(LEXICON, language), Random(1)
    for noun in list(NOUNS.values())[::7]:
        written = grammar._one_clause("does", noun, None, random, plain=True)
        for left in range(13):
            now, words, taken, used = state, 0, [], set()
            while words < left:
                arc, new = grammar._extend(
                    written, now, left - words, taken, used, random, spans=False
                )
                now, words = TAILS[now][arc][1], words + len(new)
                taken.append(arc)
            assert words == left


def test_a_noun_has_a_verb_it_prefers():
    random, grammar = Random(0), Grammar(LEXICON, "en")
    clauses = [
        " ".join(grammar._one_clause("does", NOUNS["sea"], None, random, plain=True).words)
        for _ in range(200)
    ]
    most = max(clauses.count(text) for text in set(clauses))
    assert 0.68 < most / 200 < 0.9  # a share of 0.79 is meant


@pytest.mark.parametrize(
    ("noun", "name", "about", "of"),
    [
        ("sea", "il mare", "sul mare", "del mare"),
        ("island", "l'isola", "sull'isola", "dell'isola"),
        ("mirror", "lo specchio", "sullo specchio", "dello specchio"),
        ("sugar", "lo zucchero", "sullo zucchero", "dello zucchero"),
        ("moon", "la luna", "sulla luna", "della luna"),
        ("uncle", "lo zio", "sullo zio", "dello zio"),
        ("bird", "l'uccello", "sull'uccello", "dell'uccello"),
    ],
)
def test_italian_articles(noun, name, about, of):
    assert topic_forms(NOUNS[noun], "it") == {"name": name, "about": about, "of": of}


def test_italian_agreement():
    red = entry("adjectives", "red")
    assert agree(red, NOUNS["moon"], "it") == "rossa"
    assert agree(red, NOUNS["sea"], "it") == "rosso"
    assert noun_phrase(NOUNS["island"], "it", this=True, adjective=red) == ["quest'isola", "rossa"]
    near = entry("prepositions", "near")
    assert prepositional(near, NOUNS["station"], "it") == ["vicino", "alla", "stazione"]


@pytest.mark.parametrize(
    ("noun", "phrase"), [("mountain", "De Bierg"), ("train", "Den Zuch"), ("sea", "D'Mier")]
)
def test_luxembourgish_articles_follow_the_eifel_rule(noun, phrase):
    assert sentence(noun_phrase(NOUNS[noun], "lb"), "lb", end="") == phrase


def test_luxembourgish_verb_comes_second():
    grammar = Grammar(LEXICON, "lb")
    today = entry("closers", "today")
    written = grammar._one_clause("does", NOUNS["sea"], today, Random(0), plain=True)
    verbs = {e.forms["lb"][0] for e in LEXICON.intransitives}
    assert written.words[0] == "haut" and written.words[1] in verbs


def test_dative_after_prepositions():
    at = entry("prepositions", "in")
    assert prepositional(at, NOUNS["theatre"], "lb") == ["am", "Theater"]
    assert prepositional(at, NOUNS["station"], "lb") == ["an", "der", "Gare"]
