"""Sentences of an exact number of words about a given noun, in four languages.

A sentence is a clause and a tail. The clause is one of four: the noun does something, is
something, does something to another, or somebody does something to it. The tail is a walk through
`TAILS`, in which every remaining number of words can be reached from every state: whatever has been
written, it can end well at N.

Every noun prefers certain verbs, adjectives, adverbs, places and orders of the tail: a ranking by
hash of (noun, kind, word), of which the first is taken most often. So the topic shapes the rest of
the sentence, in all languages alike.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from lengthlens.pocket import morphology
from lengthlens.pocket.lexicon import Entry, Lexicon, Noun

RANKS = 4  # how many words of a kind a noun is used with
RANK_EXPONENT = 2.5  # Zipf exponent of a noun's preferences: its first choice has 79 %
ATTEMPTS = 40  # clauses tried before the shortest one is taken

# state -> {arc: (fewest words, next state)}; "end" is reached by the full stop, at 0 remaining.
# Arcs of one word are always among them, and joined verbs or adjectives lead back, so that every
# remaining length >= 0 is reachable. `closer` is taken with exactly one word left.
TAILS: dict[str, dict[str, tuple[int, str]]] = {
    "verb": {
        "manner": (1, "manner"),
        "place": (2, "place"),
        "and_verb": (2, "verb"),
        "closer": (1, "end"),
    },
    "manner": {"place": (2, "place"), "and_verb": (2, "verb"), "closer": (1, "end")},
    "place": {"place": (2, "place"), "and_verb": (2, "verb"), "closer": (1, "end")},
    "adjective": {
        "place": (2, "place"),
        "and_adjective": (2, "adjective"),
        "closer": (1, "end"),
    },
}
JOINS = ("and_verb", "and_adjective")  # once a sentence, and again only where nothing else fits
CLAUSES = ("does", "is", "does_to", "done_to")


@cache
def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


@cache
def _ranked(noun: str, kind: str, ids: tuple[str, ...]) -> tuple[int, ...]:
    order = sorted(range(len(ids)), key=lambda i: _share(f"{noun}:{kind}:{ids[i]}"))
    return tuple(order[:RANKS])


_WEIGHTS = [(rank + 1) ** -RANK_EXPONENT for rank in range(RANKS)]


def choose(noun: Noun, kind: str, ids: tuple[str, ...], random: Random) -> int:
    """Index of a word the noun is used with: rank r with a share ∝ (r + 1)^-RANK_EXPONENT."""
    ranked = _ranked(noun.id, kind, ids)
    return random.choices(ranked, _WEIGHTS[: len(ranked)])[0]


def _tends(noun: Noun, feature: str, share: float, random: Random) -> bool:
    """Whether to use an optional feature: a `share` of the nouns mostly do, the others rarely."""
    return random.random() < (0.85 if _share(f"{noun.id}:{feature}") < share else 0.07)


@dataclass(frozen=True)
class _Written:
    """A clause so far: its words, state, and who the tail's verbs and adjectives belong to."""

    words: list[str]
    state: str
    noun: Noun
    used: frozenset[str]
    agent: bool


class Grammar:
    """Makes sentences in one language; all randomness comes from the caller's `Random`."""

    def __init__(self, lexicon: Lexicon, language: str) -> None:
        self.lexicon = lexicon
        self.language = language
        self._by_class: dict[str, list[Noun]] = defaultdict(list)
        for noun in lexicon.by_role("tune"):
            self._by_class[noun.noun_class].append(noun)

    def write(self, noun: Noun, n: int, random: Random, spans: bool = False) -> str:
        """A sentence of exactly n words (n >= 3) about `noun`.

        With `spans`, places may be durations ("for 12 days"): for running text only.
        Raises ValueError for n < 3.
        """
        if n < 3:
            raise ValueError(f"the grammar's shortest sentence has 3 words, {n} were asked for")
        written = self._clause(noun, n, random)
        words, state, used = list(written.words), written.state, set(written.used)
        taken: list[str] = []
        while len(words) < n:
            left = n - len(words)
            arc, new = self._extend(
                written, state, left, taken, used=used, random=random, spans=spans
            )
            state = TAILS[state][arc][1]
            taken.append(arc)
            words += new
        return morphology.sentence(words, self.language)

    def _pick(self, noun: Noun, kind: str, entries: Sequence[Entry], random, used=()) -> Entry:
        entries = tuple(entry for entry in entries if entry.id not in used)
        return entries[choose(noun, kind, tuple(entry.id for entry in entries), random)]

    def _suiting(self, kind: str, noun_class: str) -> list[Entry]:
        return [entry for entry in getattr(self.lexicon, kind) if noun_class in entry.classes]

    def _form(self, entry: Entry) -> str:
        return entry.forms[self.language][0]

    def _clause(self, noun: Noun, n: int, random: Random) -> _Written:
        for _ in range(ATTEMPTS):
            kind = CLAUSES[choose(noun, "clause", CLAUSES, random)]
            first = None
            if _tends(noun, "opener", 0.25, random):
                first = self._pick(noun, "opener", self.lexicon.closers, random)
            written = self._one_clause(kind, noun, first, random)
            if len(written.words) <= n:
                return written
        return self._one_clause("does", noun, None, random, plain=True)

    def _one_clause(self, kind, noun, first, random, plain: bool = False) -> _Written:
        language = self.language
        opener = [self._form(first)] if first else []
        this = not plain and _tends(noun, "this", 0.12, random)
        adjective = None
        if language != "lb" and not plain and _tends(noun, "attribute", 0.45, random):
            adjective = self._pick(noun, "attribute", self._adjectives(noun), random)
        phrase = morphology.noun_phrase(noun, language, this, adjective)
        used = {entry.id for entry in (adjective, first) if entry}
        subject, state, rest = phrase, "verb", []
        if kind == "does":
            verb = self._pick(noun, "verb", self._suiting("intransitives", noun.noun_class), random)
            form, used = self._form(verb), used | {verb.id}
        elif kind == "is":
            predicate = self._pick(noun, "predicate", self._adjectives(noun), random, used)
            form, state, used = morphology.COPULA[language], "adjective", used | {predicate.id}
            rest = [morphology.agree(predicate, noun, language)]
        elif kind == "does_to":
            verb = self._pick(noun, "acts", self._suiting("transitives", noun.noun_class), random)
            other = self._other(noun, "object", verb.objects, random)
            form, used = self._form(verb), used | {verb.id, other.id}
            rest = morphology.noun_phrase(other, language)
        else:
            verbs = self._suiting("transitives", "person")
            verbs = [verb for verb in verbs if noun.noun_class in verb.objects]
            verb = self._pick(noun, "undergoes", verbs, random)
            agent = self._pick(noun, "agent", self.lexicon.agents, random)
            form, used = self._form(verb), used | {verb.id}
            subject, rest = self._form(agent).split(), phrase
        words = morphology.clause(language, opener, subject, form, rest)
        return _Written(words, state, noun, frozenset(used), agent=kind == "done_to")

    def _adjectives(self, noun: Noun) -> list[Entry]:
        return self._suiting("adjectives", noun.noun_class)

    def _other(self, noun: Noun, kind: str, classes: frozenset[str], random, used=()) -> Noun:
        nouns = [x for c in sorted(classes) for x in self._by_class[c]]
        nouns = [x for x in nouns if x.id != noun.id and x.id not in used]
        return nouns[choose(noun, kind, tuple(x.id for x in nouns), random)]

    def _extend(
        self, written: _Written, state, left, taken, used, random, spans
    ) -> tuple[str, list[str]]:
        """The next arc of the tail and its words, `left` at most; adds the words' ids to `used`."""
        arcs = [
            arc
            for arc, (fewest, _) in TAILS[state].items()
            if fewest <= left and (arc != "closer" or left == 1)
        ]
        joined = any(arc in JOINS for arc in taken)
        late = [arc for arc in arcs if arc in JOINS and joined]
        late += [arc for arc in arcs if arc == "place" and taken.count("place") > 1]
        for candidates in ([arc for arc in arcs if arc not in late], late):
            while candidates:
                kind = f"tail-{state}"
                arc = candidates[choose(written.noun, kind, tuple(candidates), random)]
                words, ids = self._phrase(arc, written, used, random, spans)
                if len(words) <= left:
                    used |= ids
                    return arc, words
                candidates.remove(arc)
        raise AssertionError(f"no way on from state {state!r} with {left} words left")

    def _phrase(self, arc, written: _Written, used, random, spans) -> tuple[list[str], set[str]]:
        noun, language = written.noun, self.language
        conjunction = morphology.CONJUNCTION[language]
        if arc in ("manner", "closer"):
            entry = self._pick(noun, arc, getattr(self.lexicon, f"{arc}s"), random, used)
            return [self._form(entry)], {entry.id}
        if arc == "and_verb":
            doer = "person" if written.agent else noun.noun_class
            entry = self._pick(noun, arc, self._suiting("intransitives", doer), random, used)
            return [conjunction, self._form(entry)], {entry.id}
        if arc == "and_adjective":
            entry = self._pick(noun, "predicate", self._adjectives(noun), random, used)
            return [conjunction, morphology.agree(entry, noun, language)], {entry.id}
        if spans and random.random() < 0.25:
            return self._span(random), set()
        preposition = self._pick(noun, "preposition", self.lexicon.prepositions, random, used)
        other = self._other(noun, "place", preposition.classes, random, used)
        words = morphology.prepositional(preposition, other, language)
        return words, {preposition.id, other.id}

    def _span(self, random: Random) -> list[str]:
        number = str(random.randint(3, 15))
        unit = self._form(random.choice(self.lexicon.units))
        if self.language == "lb":
            return [number, unit, "laang"]
        first = {"en": "for", "it": "per", "qaa": morphology.function_word("for")}
        return [first[self.language], number, unit]
