"""Scripts that are written without spaces between words, and what can be counted in them.

Which these are follows from Unicode's line breaking (UAX #14): where words are not separated, lines
may break between characters (class ID, CJ), between syllables (AK, AS), or where a dictionary says
(SA). Tibetan alone is added by name: it has a mark between syllables, at which lines break.

| script | `whitespace` | `unicode`, `elision` |
|---|---|---|
| Chinese, Japanese, Tangut, Nushu | a sentence is one | ideographs, hiragana, runs of katakana |
| Tibetan | a sentence is one | each syllable |
| Thai, Lao, Khmer, Burmese, Tai Le … | a phrase is one | single letters, which nobody calls words |
| Yi, Javanese, Balinese, Cham … | a phrase is one | a phrase is one |

Words of the last two rows can only be found with a dictionary, which no convention has.
"""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import regex
from fontTools import unicodedata as scripts
from uniseg.linebreak import line_break

_CLASSES = frozenset({"ID", "CJ", "SA", "AK", "AS"})
# Some letters of the classes belong to scripts with spaces: Hangul's single ones, wide Latin.
_SPACED = frozenset({"Hang", "Latn"})
EAST_ASIAN = "Chinese or Japanese"
_NAMES = {"Hani": EAST_ASIAN, "Hira": EAST_ASIAN, "Kana": EAST_ASIAN, "Mymr": "Burmese"}
_SHARED = "Zyyy"  # letters of several scripts: in the classes above, marks of kana alone
# Script -> what `unicode` counts in it. In all others that means nothing.
COUNTED = {
    EAST_ASIAN: "each ideograph",
    "Tangut": "each ideograph",
    "Nushu": "each character",
    "Tibetan": "each syllable",
}

_LETTER = regex.compile(r"\p{L}")
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")


def unspaced_script(texts: Iterable[str]) -> str | None:
    """The script without spaces that more than half of the letters are of, or None."""
    letters = [letter for text in texts for letter in _LETTER.findall(text)]
    found = Counter(name for letter in letters if (name := _script(letter)) is not None)
    for name, count in found.most_common(1):
        if 2 * count > len(letters):
            return name
    return None


@lru_cache(maxsize=2**14)
def is_unspaced_word(word: str) -> bool:
    """Whether a word of such a script, which stands among others without a space."""
    return _WORD.fullmatch(word) is not None and unspaced_script([word]) is not None


def counting_problem(texts: Iterable[str], counting: str) -> str | None:
    """Why a counting convention cannot count the words of a language with such texts; or None."""
    script = unspaced_script(texts)
    if script is None:
        return None
    written = f"it is written in {script} script, without spaces"
    if script not in COUNTED:
        return f"{written}, and no convention finds words there; take the language out"
    if counting == "whitespace":
        return (
            f"{written}, so that a sentence would be one word; legal for it: unicode, which counts "
            f"{COUNTED[script]}"
        )
    return None


@lru_cache(maxsize=2**14)
def _script(letter: str) -> str | None:
    """The name of a letter's script, if that is written without spaces."""
    code = scripts.script(letter)
    unspaced = code == "Tibt" or line_break(letter).value in _CLASSES
    if not unspaced or code in _SPACED:
        return None
    return EAST_ASIAN if code == _SHARED else _NAMES.get(code, scripts.script_name(code))
