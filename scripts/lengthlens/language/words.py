"""What a word is: one counting function for the decode loop and for the evaluation.

Three conventions, named in the configuration's `counting`:

`whitespace`
    what `str.split()` separates: "l'isola è blu." has 3 words, " – " is one too.
`unicode`
    the segments of the default word boundaries of Unicode (UAX #29,
    https://www.unicode.org/reports/tr29/) that hold a letter or a digit: "l'isola è blu." has 3,
    "well-known" has 2, a lone dash none.
`elision`
    as `unicode`, with an elided article, preposition or pronoun (l', dell', d', un', c', qu', s' …,
    straight or curly apostrophe) counted apart from the word that follows: "l'isola è blu." has 4,
    "d'Mier" 2, "don't" and "o'clock" 1. The list of elided forms is that of Italian, French and
    Luxembourgish together, whatever the language of the text: a name such as "D'Angelo" counts 2.

A trailing U+FFFD is a token whose bytes are not complete yet, and is ignored. `unicode` and
`elision` work on the NFC form, so that composed and decomposed text count the same.

The boundaries come from `uniseg`, which passes Unicode's own WordBreakTest: of the 1,944 cases of
version 17.0 it differs in 2 (emoji after a joiner, changed in 17.0; never in the number of words),
while `regex` with `(?w)\\b` differs in 268 (183 of them in the words themselves, 48 in their
number). uniseg is a hundred times slower; the segments of each space-separated piece are therefore
remembered, and a growing answer is only segmented where it grew.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import regex
from uniseg.wordbreak import words as unicode_segments

from lengthlens.errors import LengthlensError
from lengthlens.language.unspaced import is_unspaced_word

CONVENTIONS = ("whitespace", "unicode", "elision")

APOSTROPHES = "'’ʼ"

# Written without the apostrophe. Not here, on purpose: "quelqu" and "aujourd", which are parts of
# one dictionary word, and the first halves of English contractions.
_ELIDED = """
    l dell all dall nell sull coll un quell quest bell sant gl d c s m t v n
    nessun ciascun qualcun alcun tutt mezz quand com dov cos anch senz ogn grand pover buon
    ch perch finch poich bench sott contr oltr
    j ç qu jusqu lorsqu puisqu quoiqu
"""
ELIDED = frozenset(_ELIDED.split())

_ELISION = re.compile(f"([^{APOSTROPHES}]+[{APOSTROPHES}])(?=.)", re.DOTALL)
# NOTE vowel signs are marks, not letters: घरेलू is one word, in which घर does not stand. Joiners
# (U+200C, U+200D) belong to the word, too.
_INSIDE_WORD = regex.compile(r"[^\p{L}\p{M}\p{N}\u200c\u200d]+")
# Languages whose small letter of I is ı, and of İ i. Unicode's case folding has no rule for them
# but a remark (CaseFolding.txt, status T), and Python none; the one library that folds by
# language, ICU, has no wheels.
_DOTLESS = frozenset({"tr", "az", "crh", "gag", "tt", "ba"})


def count_words(text: str, convention: str) -> int:
    """Number of words of `text` (never negative) under one of `CONVENTIONS`.

    Raises LengthlensError for an unknown convention.
    """
    return len(split_words(text, convention))


def split_words(text: str, convention: str) -> list[str]:
    """The words that `count_words` counts, in order.

    Under `unicode` and `elision` they are in NFC and without the punctuation between them; an
    elided form keeps its apostrophe: ["l'", "isola"].
    Raises LengthlensError for an unknown convention.
    """
    text = text.rstrip("\ufffd")
    if convention == "whitespace":
        return text.split()
    if convention not in CONVENTIONS:
        raise LengthlensError(
            f"unknown counting convention {convention!r}: choose one of {', '.join(CONVENTIONS)}"
        )
    segments = _elision_words if convention == "elision" else _unicode_words
    # A word never crosses a space, so each piece can be segmented (and remembered) by itself.
    # NOTE only the plain space: U+202F, for one, joins the digits of "10 000".
    pieces = unicodedata.normalize("NFC", text).split(" ")
    return [word for piece in pieces for word in segments(piece)]


def mentions(text: str, words: Iterable[str], code: str = "") -> bool:
    """Whether one of `words` stands in `text` as a whole word, in any case.

    Compared are the Unicode words of the text, whole and in the parts that punctuation inside them
    separates, all in NFC and case-folded by the rules of the language `code`: "l'isola" mentions
    "isola", "D'Mier" mentions "mier", "the sea's" mentions "sea", "İnek" in Turkish "inek";
    "seaside" does not mention "sea". A word of a script without spaces may stand anywhere:
    "大海很平静" mentions "大海".
    """
    wanted = {fold(word, code) for word in words}
    for word in split_words(text, "unicode"):
        folded = fold(word, code)
        if folded in wanted or not wanted.isdisjoint(_INSIDE_WORD.split(folded)):
            return True
    unspaced = [word for word in wanted if is_unspaced_word(word)]
    return bool(unspaced) and any(word in fold(text, code) for word in unspaced)


def fold(text: str, code: str = "") -> str:
    """The same for texts that differ only in case or composition, in the language `code`."""
    text = unicodedata.normalize("NFC", text)
    if code.partition("-")[0].lower() in _DOTLESS:
        text = text.replace("İ", "i").replace("I", "ı")
    return unicodedata.normalize("NFC", text.casefold())


@lru_cache(maxsize=2**16)
def _unicode_words(piece: str) -> tuple[str, ...]:
    """The UAX #29 segments of a text without spaces that hold a letter or a digit."""
    return tuple(segment for segment in unicode_segments(piece) if _holds_letter_or_digit(segment))


@lru_cache(maxsize=2**16)
def _elision_words(piece: str) -> tuple[str, ...]:
    return tuple(part for word in _unicode_words(piece) for part in _split_elided(word))


def _holds_letter_or_digit(segment: str) -> bool:
    return any(unicodedata.category(character)[0] in "LN" for character in segment)


def _split_elided(word: str) -> list[str]:
    """Cut the elided forms off the front of a word: "d'un'altra" → ["d'", "un'", "altra"]."""
    parts = []
    while (match := _ELISION.match(word)) and match[1][:-1].casefold() in ELIDED:
        parts.append(match[1])
        word = word[match.end() :]
    return [*parts, word]
