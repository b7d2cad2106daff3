"""Nouns that do not exist, such as "the brundel" or "la tosema".

Topics that are never seen twice can only be copied from the request, not remembered: with real
nouns alone, tuning soon answers a new topic with a known noun that begins alike. What is said about
an invented noun follows a pattern: the preferences of one real noun for each first letter. qaa,
whose words are a closed set of tokens, has a fixed stock of them instead (`lexicon`).
"""

from __future__ import annotations

from functools import cache
from random import Random

from lengthlens.pocket.lexicon import Lexicon, Noun, load_lexicon

_ONSETS = {
    "en": "b br c cl d dr f fl g gl h j k l m n p pl r s sh sl st t tr v w",
    "it": "b br c d f fr g l m n p pr r s st t tr v z",
    "lb": "b br d dr f fl g gr h k kl l m n p r s sch st t tr w",
}
ONSETS = {code: onsets.split() for code, onsets in _ONSETS.items()}
VOWELS = {
    "en": ["a", "e", "i", "o", "u", "ea", "oo", "ai"],
    "it": list("aeiou"),
    "lb": ["a", "e", "i", "o", "u", "ei", "ou", "ä", "é"],
}
CODAS = {
    "en": ["", "", "n", "l", "r", "m", "t", "ck", "nd", "p", "s"],
    "it": ["", "", "", "n", "l", "r", "s"],
    "lb": ["", "", "n", "l", "r", "m", "t", "ck", "ch", "p"],
}
ENDINGS = {"o": "m", "a": "f"}  # of Italian nouns, with their genders


@cache
def _taken(language: str) -> frozenset[str]:
    nouns = [noun for noun in load_lexicon().nouns if noun.role != "invented"]
    return frozenset(noun.words[language].lower() for noun in nouns)


def _too_like(word: str, language: str) -> bool:
    """Whether the word is a noun of the lexicon or could be a form of one (seas, mari)."""
    cores = [word, word[:-1], word[:-2]]
    return any(
        noun.startswith(core) and len(noun) <= len(core) + 2
        for noun in _taken(language)
        for core in cores
        if len(core) >= 2 and noun[:2] == word[:2]
    )


def _draw(language: str, random: Random) -> str:
    syllables = []
    for index in range(random.choice((1, 2, 2, 3))):
        onset = random.choice(ONSETS[language]) if index or random.random() < 0.85 else ""
        vowel, coda = random.choice(VOWELS[language]), random.choice(CODAS[language])
        syllables.append(onset + vowel + coda)
    if language == "it":
        syllables.append(random.choice("lmnrtsvd") + random.choice(list(ENDINGS)))
    return "".join(syllables)


@cache
def _pattern(letter: str) -> Noun:
    tune = load_lexicon().by_role("tune")
    return Random(f"pattern of {letter}").choice(tune)


def invent_noun(lexicon: Lexicon, language: str, random: Random) -> Noun:
    """A noun that no list holds, for one language; from the stock of `lexicon` in qaa."""
    if language == "qaa":
        return random.choice(lexicon.by_role("invented"))
    word = ""
    while len(word) < 3 or _too_like(word, language):
        word = _draw(language, random)
    gender = ENDINGS[word[-1]] if language == "it" else random.choice("mfn")
    pattern = _pattern(word[0])
    return Noun(
        id=pattern.id,
        noun_class=pattern.noun_class,
        role="invented",
        words={language: word.capitalize() if language == "lb" else word},
        genders={language: gender},
    )
