"""What stands around a sentence, and in which language it is."""

import pytest

from lengthlens.language.detection import OTHER, UNDETERMINED, detect_language, known
from lengthlens.language.wrapping import counted_text, kinds_of

ASKED = "Write a sentence of exactly 5 words about the sea."
STUDY = ("en", "it", "lb")


@pytest.mark.parametrize(
    "text, kinds",
    [
        ("The sea is very blue.", ()),
        ("The sea: always blue, always old.", ()),
        ("It is 5 words about the moon.", ()),
        ("Here is a sentence: The sea is blue.", ("preamble",)),
        ("Sure! The sea is blue.", ("preamble",)),
        ("Surely the sea is blue.", ()),
        ("Certo, ecco la frase: il mare è blu.", ("preamble",)),
        ("A five-word sentence:\nThe sea is very blue.", ("preamble",)),
        ('My answer: "The sea is blue."', ("preamble", "quotes")),
        ("“The sea is very blue.”", ("quotes",)),
        ("„D'Mier ass ganz blo.“", ("quotes",)),
        ("«Il mare è blu.»", ("quotes",)),
        ('The "sea" is very blue.', ()),
        ("**The sea is very blue.**", ("markdown",)),
        ("# The sea\nIt is blue.", ("markdown",)),
        ("1. The sea is blue.", ("markdown",)),
        ("The sea is 3 * 4 * 5 deep.", ()),
        ("A sentence of exactly 5 words.", ("echo",)),
        ("", ()),
        ("\n\n", ()),
    ],
)
def test_kinds_of_answers(text, kinds):
    assert kinds_of(text, ASKED) == frozenset(kinds)


@pytest.mark.parametrize(
    "text, how, part",
    [
        ('Here: "The sea is blue." Yes.', "whole", 'Here: "The sea is blue." Yes.'),
        ('"Oh", "The sea is blue."', "quoted", "The sea is blue."),
        ("No quotation here.", "quoted", "No quotation here."),
        ("Sure! Here it is.\nThe sea is blue.", "last_sentence", "The sea is blue."),
        ("One. Two words.", "last_sentence", "Two words."),
        ("One. ...", "last_sentence", "One."),
        ("", "last_sentence", ""),
    ],
)
def test_the_part_that_is_counted(text, how, part):
    assert counted_text(text, how) == part


@pytest.mark.parametrize(
    "text, language",
    [
        ("The old harbour keeps a lamp burning tonight.", "en"),
        ("La casa sul mare è molto antica.", "it"),
        ("Den Hierscht ass eng schéin Joreszäit.", "lb"),
        ("Le chat dort dans la maison.", OTHER),
        ("Moon", UNDETERMINED),
        ("42", UNDETERMINED),
        ("", UNDETERMINED),
        ("  \n", UNDETERMINED),
    ],
)
def test_languages_are_told_where_they_can_be(text, language):
    assert detect_language(text, STUDY) == language
    assert detect_language(text, ()) in (OTHER, UNDETERMINED)


def test_the_synthetic_language_is_unknown():
    assert known("lb") and not known("qaa")
