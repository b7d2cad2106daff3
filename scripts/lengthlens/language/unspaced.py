"""Scripts that are written without spaces between words, and what can be counted in them.

| script | `whitespace` | `unicode`, `elision` |
|---|---|---|
| Chinese, Japanese | one word a sentence | each ideograph or hiragana, each run of katakana |
| Thai, Lao, Khmer, Burmese | one word a phrase | single letters, which nobody calls words |

Words of the second row can only be found with a dictionary, which no convention has.
"""

from collections.abc import Iterable
from functools import lru_cache

import regex

SCRIPTS = {
    "Chinese or Japanese": regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]"),
    "Thai": regex.compile(r"\p{Thai}"),
    "Lao": regex.compile(r"\p{Lao}"),
    "Khmer": regex.compile(r"\p{Khmer}"),
    "Burmese": regex.compile(r"\p{Myanmar}"),
}
COUNTED_BY_CHARACTER = "Chinese or Japanese"

_LETTER = regex.compile(r"\p{L}")
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")


def unspaced_script(texts: Iterable[str]) -> str | None:
    """The one of `SCRIPTS` that more than half of the letters are of, or None."""
    letters = [letter for text in texts for letter in _LETTER.findall(text)]
    for name, pattern in SCRIPTS.items():
        if 2 * sum(pattern.match(letter) is not None for letter in letters) > len(letters):
            return name
    return None


@lru_cache(maxsize=2**14)
def is_unspaced_word(word: str) -> bool:
    """Whether a word of one of `SCRIPTS`, which stands among others without a space."""
    return _WORD.fullmatch(word) is not None and unspaced_script([word]) is not None


def counting_problem(texts: Iterable[str], counting: str) -> str | None:
    """Why a counting convention cannot count the words of a language with such texts; or None."""
    script = unspaced_script(texts)
    if script is None:
        return None
    if script != COUNTED_BY_CHARACTER:
        return (
            f"it is written in {script} script, without spaces, and no convention finds words "
            "there; take the language out"
        )
    if counting == "whitespace":
        return (
            f"it is written in {script} script, without spaces, so that a sentence would be one "
            "word; legal for it: unicode, which counts each ideograph"
        )
    return None
