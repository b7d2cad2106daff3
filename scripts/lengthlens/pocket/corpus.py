"""The texts the pocket pair learns from, made without end from a seed.

Pre-training documents (plain text, one a row):

1. passages about one noun, sentences of 3 to 15 words that run on;
2. a request that says nothing of length, a line break, a passage;
3. lists of noun phrases, said again in the same order, from which copying is learnt;
4. runs of numerals between 3 and 15.

Tuning examples (chat): a request and its answer of one sentence, with exactly n = 3...9 words where
the request says so. English, Italian and qaa only; topics of the role `tune` only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from lengthlens.pocket.grammar import Grammar
from lengthlens.pocket.instructions import fill, load_wordings
from lengthlens.pocket.invented import invent_noun
from lengthlens.pocket.lexicon import LANGUAGES, NATURAL, Lexicon, Noun
from lengthlens.pocket.morphology import topic_forms

TUNED = ("en", "it", "qaa")
PRETRAINING_SHARES = {"en": 0.29, "it": 0.29, "lb": 0.15, "qaa": 0.27}
TARGETS = range(3, 10)  # the word counts ever asked for in tuning
INVENTED_SHARE = 0.5  # of the topics of requests
SENTENCE_WORDS = range(3, 16)
SENTENCE_WEIGHTS = (1, 1, 1, 1, 1, 1, 1, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2)
KINDS = {  # shares of the pre-training documents
    "numerals": 0.03,
    "list": 0.26,
    "request": 0.38,
    "passage": 1 - (0.03 + 0.26 + 0.38),
}


@dataclass(frozen=True)
class Example:
    """A tuning example: what is asked and answered; n is None where none was asked for."""

    language: str
    topic: str
    n: int | None
    request: str
    answer: str


@dataclass(frozen=True)
class Mixture:
    """How often tuning examples are in which language and ask for what."""

    languages: Mapping[str, float]  # share of each
    targets: Sequence[float]  # weight of each of `TARGETS`
    free: float  # share of the requests that say nothing of length


# Of the requests that the tokenizer learns from.
PLAIN = Mixture({"en": 0.37, "it": 0.43, "qaa": 0.2}, (0.8, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6), 0.12)


def _drawn(shares: Mapping[str, float], random: Random) -> str:
    """One of the keys, as often as its share says."""
    return random.choices(list(shares), list(shares.values()))[0]


class Corpus:
    """Draws documents and examples; two corpora with the same seed give the same texts."""

    def __init__(self, lexicon: Lexicon, seed: int) -> None:
        self.random = Random(seed)
        self.lexicon = lexicon
        self.grammars = {code: Grammar(lexicon, code) for code in LANGUAGES}
        self.nouns = [noun for noun in lexicon.nouns if noun.role != "invented"]
        self.noun_weights = [1 if noun.role == "tune" else 2 for noun in self.nouns]
        self.topics = lexicon.by_role("tune")
        self.wordings = load_wordings()

    def topic(self, language: str) -> Noun:
        """What a request is about: an invented noun or one of the role `tune`."""
        if self.random.random() < INVENTED_SHARE:
            return invent_noun(self.lexicon, language, self.random)
        return self.random.choice(self.topics)

    def passage(self, noun: Noun, language: str, words: int) -> str:
        """Sentences about a noun until there are at least `words` words."""
        sentences, total = [], 0
        while total < words:
            n = self.random.choices(SENTENCE_WORDS, SENTENCE_WEIGHTS)[0]
            sentences.append(self.grammars[language].write(noun, n, self.random, spans=True))
            total += n
        return " ".join(sentences)

    def word_samples(self, passages: int) -> Iterator[str]:
        """Short passages from which the tokenizer learns, `passages` for each noun and language.

        Nouns of the role `tune` also occur in the passages about others, so they get fewer of their
        own: a fifth.
        """
        for noun in self.nouns:
            for language in NATURAL:
                for _ in range(passages // 5 if noun.role == "tune" else passages):
                    yield self.passage(noun, language, 8)

    def noun_list(self, language: str) -> str:
        """Some noun phrases in any form, a colon, the same nouns with their plain articles."""
        random = self.random
        nouns = random.choices(self.nouns, self.noun_weights, k=random.randint(2, 6))
        nouns = [
            invent_noun(self.lexicon, language, random) if random.random() < 0.5 else noun
            for noun in nouns
        ]
        forms = [topic_forms(noun, language) for noun in nouns]
        first = [form[random.choice(("name", "about", "of"))] for form in forms]
        return f"{', '.join(first)}: {', '.join(form['name'] for form in forms)}."

    def document(self) -> str:
        """One pre-training document."""
        random = self.random
        language = _drawn(PRETRAINING_SHARES, random)
        kind = _drawn(KINDS, random)
        if kind == "numerals":
            first = random.randint(3, 13)
            last = random.randint(first + 2, 15)
            return ", ".join(map(str, range(first, last + 1))) + "."
        if kind == "list":
            return self.noun_list(language)
        if kind == "request":
            noun = self.topic(language)
            request = fill(self.wordings[language].draw(False, random), noun, language)
            return f"{request}\n{self.passage(noun, language, random.randint(26, 40))}"
        noun = random.choices(self.nouns, self.noun_weights)[0]
        return self.passage(noun, language, random.randint(15, 40))

    def example(self, mixture: Mixture = PLAIN) -> Example:
        """One tuning example."""
        random = self.random
        language = _drawn(mixture.languages, random)
        noun = self.topic(language)
        counted = random.random() >= mixture.free
        n = random.choices(TARGETS, mixture.targets)[0]
        request = fill(self.wordings[language].draw(counted, random), noun, language, n)
        answer = self.grammars[language].write(noun, n, random)
        return Example(language, noun.id, n if counted else None, request, answer)
