"""Word counting: the three conventions, their invariants, and mentions of a topic."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uniseg.wordbreak import words as unicode_segments

from lengthlens.errors import LengthlensError
from lengthlens.language.words import CONVENTIONS, count_words, mentions, split_words

# Letters, marks, joiners, quotes, number punctuation, odd spaces, emoji, incomplete bytes.
TRICKY = (
    "abèñn日カא1٣½👩🇱🇺'’ʼ\".,:;-_– \t\n\r\u00a0\u202f\u2028\u3000"
    "\u0300\u0303\u0308\u200d\u200b\ufffd"
)
texts = st.one_of(st.text(TRICKY, max_size=30), st.text(max_size=30))


@pytest.mark.parametrize(
    ("text", "whitespace", "unicode", "elision"),
    [
        ("", 0, 0, 0),
        ("  \n", 0, 0, 0),
        ("The sea is calm.", 4, 4, 4),
        ("L'isola è blu.", 3, 3, 4),
        ("L’isola è blu.", 3, 3, 4),
        ("Dell'acqua, all’ombra d'un albero", 4, 4, 7),
        ("un'amica quest'anno c'è", 3, 3, 6),
        ("un po' d'acqua", 3, 3, 4),
        ("qu'il s'en va", 3, 3, 5),
        ("D'Mier an d'Kichen", 3, 3, 5),
        ("D’Mier", 1, 1, 2),
        ("d'un'altra", 1, 1, 3),
        ("l' isola", 2, 2, 2),
        ("don't, I'm, o'clock, ma'am, she'll", 5, 5, 5),
        ("the dogs' and the dog's bowl", 6, 6, 6),
        ("quelqu'un aujourd'hui", 2, 2, 2),
        ("a well-known word", 3, 4, 4),
        ("sea – sky", 3, 2, 2),
        ("3.5 and 1,000", 3, 3, 3),
        ("50 % … !", 4, 1, 1),
        ("snake_case", 1, 1, 1),
        ("10\u202f000 km", 3, 2, 2),  # str.split cuts at U+202F, WB13a does not
        ("«Ciao», disse.", 2, 2, 2),
        ("end.\nNext", 2, 2, 2),
    ],
)
def test_conventions(text: str, whitespace: int, unicode: int, elision: int) -> None:
    counts = [count_words(text, convention) for convention in CONVENTIONS]
    assert counts == [whitespace, unicode, elision]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("can't can’t", ["can't", "can’t"]),  # WB6, WB7
        ("e.g. U.S.A.", ["e.g", "U.S.A"]),  # WB6, WB7 with a full stop
        ("a:b", ["a:b"]),  # WB6: a colon is MidLetter
        ("a.1 1.a", ["a", "1", "1", "a"]),  # neither WB6 nor WB11
        ("dell'8", ["dell", "8"]),  # WB6 wants a letter after the apostrophe
        ("א\"א א'", ['א"א', "א'"]),  # WB7a to WB7c
        ("3a a3", ["3a", "a3"]),  # WB9, WB10
        ("1'000 1;0", ["1'000", "1;0"]),  # WB11, WB12
        ("カタカナ", ["カタカナ"]),  # WB13
        ("日本", ["日", "本"]),  # WB999
        ("_a__1_", ["_a__1_"]),  # WB13a, WB13b
        ("a\u200db a\u00adb", ["a\u200db", "a\u00adb"]),  # WB4
        ("\u0308a", ["a"]),  # a mark at the start of text does not join a letter
        ("🇱🇺 👩\u200d🌾 ☃", []),  # no letter, no digit
    ],
)
def test_unicode_segments_follow_uax_29(text: str, expected: list[str]) -> None:
    assert split_words(text, "unicode") == expected


def test_elided_forms_keep_their_apostrophe() -> None:
    assert split_words("L'isola d’un'amica", "elision") == ["L'", "isola", "d’", "un'", "amica"]


@given(texts)
def test_whitespace_is_what_split_separates(text: str) -> None:
    """whitespace(text) = len(text without trailing U+FFFD .split())."""
    assert count_words(text, "whitespace") == len(text.rstrip("\ufffd").split())


@given(texts, st.sampled_from(CONVENTIONS))
def test_composed_and_decomposed_text_count_the_same(text: str, convention: str) -> None:
    """count(NFC(text)) = count(NFD(text)) = count(text)."""
    composed = count_words(unicodedata.normalize("NFC", text), convention)
    decomposed = count_words(unicodedata.normalize("NFD", text), convention)
    assert composed == decomposed == count_words(text, convention)


@given(texts)
def test_pieces_between_spaces_can_be_segmented_apart(text: str) -> None:
    """unicode(text) = the segments of the whole NFC text that hold a letter or a digit."""
    whole = unicodedata.normalize("NFC", text.rstrip("\ufffd"))
    expected = [
        segment
        for segment in unicode_segments(whole)
        if any(unicodedata.category(character)[0] in "LN" for character in segment)
    ]
    assert split_words(text, "unicode") == expected


@given(texts)
def test_elision_only_ever_cuts_unicode_words(text: str) -> None:
    """elision(text) >= unicode(text) >= 0, and joining its parts gives the same letters."""
    plain, cut = split_words(text, "unicode"), split_words(text, "elision")
    assert len(cut) >= len(plain)
    assert "".join(cut) == "".join(plain)
    assert all(cut)


@given(texts, st.integers(1, 3), st.sampled_from(CONVENTIONS))
def test_incomplete_trailing_bytes_are_ignored(text: str, missing: int, convention: str) -> None:
    """count(text + U+FFFD…) = count(text)."""
    assert count_words(text + "\ufffd" * missing, convention) == count_words(text, convention)


@given(texts, texts, st.sampled_from(CONVENTIONS))
def test_counts_add_up_over_a_space(first: str, second: str, convention: str) -> None:
    """count(a + " " + b) = count(a) + count(b) for an `a` that does not end in U+FFFD."""
    first = first.rstrip("\ufffd")
    both = count_words(f"{first} {second}", convention)
    assert both == count_words(first, convention) + count_words(second, convention)


def test_unknown_convention_is_named() -> None:
    with pytest.raises(LengthlensError, match=r"'tokens'.*whitespace, unicode, elision"):
        count_words("one", "tokens")


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("The Sea, calm.", ["sea"], True),
        ("the seaside", ["sea"], False),
        ("the sea's colour", ["sea"], True),
        ("L'isola dorme", ["isola"], True),
        ("dell’isola", ["isola"], True),
        ("D'Mier ass blo", ["mier"], True),
        ("sea.The end", ["sea"], True),
        ("_sea_", ["sea"], True),
        ("ISOLE", ["isola", "isole"], True),
        ("la città", ["citta\u0300"], True),
        ("la citta\u0300", ["città"], True),
        ("la citta", ["città"], False),
        ("STRASSE", ["straße"], True),
        ("", ["sea"], False),
        ("the sea", [], False),
        ("घरेलू काम", ["घर"], False),  # vowel signs belong to the word
        ("यह घर है।", ["घर"], True),
        ("கடல்சார்", ["கடல்"], False),
        ("কলমটি", ["কলম"], False),
        ("می\u200cخواهم", ["خواهم"], False),  # so do joiners
        ("בַּיִת גדול", ["בַּיִת"], True),
    ],
)
def test_mentions(text: str, words: list[str], expected: bool) -> None:
    assert mentions(text, words) is expected


def test_words_and_prompts_import_nothing_heavy() -> None:
    code = (
        "import sys, lengthlens.language.words, lengthlens.language.prompts\n"
        "heavy = {'torch', 'transformers', 'xarray', 'numpy', 'h5py'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    path = "import sys; sys.path[:0] = " + repr(sys.path) + "\n"
    subprocess.run([sys.executable, "-c", path + code], check=True)


@pytest.mark.parametrize(
    ("code", "text", "word", "expected"),
    [
        ("tr", "İnek otluyor.", "inek", True),
        ("tr", "I\u0307nek otluyor.", "inek", True),
        ("tr", "KIZ geldi.", "kız", True),
        ("tr", "KIZ geldi.", "kiz", False),
        ("az", "İnək", "inək", True),
        ("tr-cy", "İNEK", "inek", True),
        ("en", "INK", "ink", True),
        ("en", "INK", "ınk", False),
    ],
)
def test_case_is_folded_by_the_language(code: str, text: str, word: str, expected: bool) -> None:
    """In Turkish İ is the capital of i, and I that of ı."""
    assert mentions(text, [word], code) is expected
