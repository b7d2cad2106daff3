"""qaa: a synthetic language whose every word is one token, for the tokenization control.

Its words are two syllables of rare consonants, so that no word of another pocket language contains
one. The syntax is that of the English grammar without inflection: word for word the same length.
`function_words` are fixed here, the other words follow from the order of the lexicon.
"""

from __future__ import annotations

import re

CONSONANTS = "qxjzky"
VOWELS = "aeiou"
SYLLABLES = tuple(c + v for c in CONSONANTS for v in VOWELS)

# Grammar and instructions need these; the first word of a text has no space before it.
FUNCTION_WORDS = tuple(
    """
    the this is and for every
    write compose say describe sentence line remark one short of with in has exactly only
    words about subject please length must need using topic text something tell number
    """.split()  # noqa: SIM905
)


def synthetic_words(concepts: list[str]) -> dict[str, str]:
    """Give every function word and every concept a word of its own.

    Returns a mapping from "function:the" and the given concept names to qaa words. Appending
    concepts keeps all earlier words. Raises ValueError beyond len(SYLLABLES)² words.
    """
    names = [f"function:{name}" for name in FUNCTION_WORDS] + concepts
    base = len(SYLLABLES)
    if len(names) > base * base:
        raise ValueError(f"{len(names)} qaa words asked for, but only {base * base} can be made")
    # 487 and 900 have no common divisor, so that all words are distinct and neighbours differ.
    indices = ((number * 487 + 131) % (base * base) for number in range(len(names)))
    return {
        name: SYLLABLES[index // base] + SYLLABLES[index % base]
        for name, index in zip(names, indices, strict=True)
    }


def function_word(name: str) -> str:
    """The qaa word of one function word, e.g. "the"."""
    return synthetic_words([])[f"function:{name}"]


def with_words(text: str) -> str:
    """A text with the qaa word in the place of every `<word>`."""
    return re.sub(r"<(\w+)>", lambda match: function_word(match[1]), text)
