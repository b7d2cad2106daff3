"""Short sentences out of WordNet: which of its examples are sentences, and how they are marked.

WordNet's glosses hold quoted examples, phrases as often as sentences. An example is kept if simple
signs of a finite verb say that it is a sentence (`is_sentence`); docs/smollm2.md tells how often
they are right. A kept sentence is marked: `*noun*` is a word that a request may name as its topic,
`[…]` a part that can be left out, so that one sentence is there in several lengths:

    The [old] *author* autographed his *book* [at the *fair*]

Parts of speech come from WordNet itself: a form has the one that it most often has in WordNet's
tagged texts.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

from lengthlens.errors import LengthlensError

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
_SENSE = {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}  # a sense key's digit
_DIVIDED = re.compile(r"[^A-Za-z' ,-]| -|--|,$")  # what no plain sentence holds
SHORTEST, LONGEST = 2, 16  # words


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


SUBJECTS = _set("i he she it we they you there everyone everybody nobody someone somebody")
DETERMINERS = _set("the a an his her my our their your its this that these those some no every")
# After these an adjective can be left out; after "a" and "an" the article might have to change.
CONSTANT = DETERMINERS - {"a", "an", "this", "that", "every"}
FINITE = _set(
    "is are was were am has have had can could will would shall should must may might did does "
    "do isn't aren't wasn't weren't hasn't haven't hadn't can't couldn't won't wouldn't didn't "
    "doesn't don't cannot"
)
# Past forms that are no participles.
PAST = _set(
    "ate began blew broke came chose drank drew drove fell flew forgot froze gave grew hid knew "
    "lay ran rang rode rose sang sank saw shook shrank sprang spoke stole swam swore took threw "
    "tore went woke wore wove wrote"
)
CLAUSES = _set("who whom whose which that where when while if as than because although what how")
PREPOSITIONS = _set(
    "about across after against along among around at before behind beside between by during for "
    "from in into near on over through toward towards under until with within without"
)
OBJECTS = _set("me him her it us them you")
OTHERS = _set(
    "of to and or but not nor so very too more most less all both any each few many much only own "
    "same such other another next last first second up down out off away back then now never "
    "always often again still just even yet here one two three himself herself itself themselves"
)
FUNCTION = SUBJECTS | DETERMINERS | FINITE | CLAUSES | PREPOSITIONS | OBJECTS | OTHERS
_BEFORE_ADVERB = _set("so very too as more most how not")


class WordNet:
    """What the data files of WordNet 3.0 say about words.

    Args:
        folder: with data.noun, index.noun, noun.exc, … and cntlist.rev.

    Raises:
        LengthlensError: a file is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lemmas: dict[str, set[str]] = defaultdict(set)
        self.irregular: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for name, part in PARTS.items():
            for line in self._lines(f"index.{name}"):
                if not line.startswith("  "):
                    self.lemmas[line.split(" ", 1)[0]].add(part)
            for line in self._lines(f"{name}.exc"):
                form, *lemmas = line.split(" ")
                self.irregular[form] += [(lemma, part) for lemma in lemmas]
        self.uses: Counter[tuple[str, str]] = Counter()
        for line in self._lines("cntlist.rev"):
            sense, _, count = line.split(" ")
            lemma, _, rest = sense.partition("%")
            self.uses[lemma, _SENSE[rest[0]]] += int(count)
        self.names = {  # what is also spelt with a capital letter: John, Germany
            word.lower()
            for line in self._lines("data.noun")
            if not line.startswith("  ")
            for word in line.partition(" | ")[0].split(" ")[4::2]
            if word[0].isupper()
        }
        self.part = cache(self._part)

    def _lines(self, name: str) -> list[str]:
        try:
            return (self.folder / name).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise LengthlensError(
                f"{self.folder} holds no {name}: give the folder of WordNet 3.0's data files "
                "(/usr/share/wordnet after apt-get install wordnet-base, or dict/ of its archive)"
            ) from None

    def examples(self) -> list[tuple[str, str]]:
        """Part of speech and text of every quoted example, in the order of the files."""
        found = []
        for name, part in PARTS.items():
            for line in self._lines(f"data.{name}"):
                gloss = line.partition(" | ")[2]
                found += [(part, text.strip()) for text in re.findall(r'"([^"]*)"', gloss)]
        return found

    def readings(self, word: str) -> list[tuple[str, str]]:
        """The (lemma, part of speech) that a lower-case form can be."""
        found = [(word, part) for part in self.lemmas.get(word, ())]
        found += self.irregular.get(word, [])
        for ending, instead, part in _ENDINGS:
            lemma = word[: -len(ending)] + instead
            if word.endswith(ending) and part in self.lemmas.get(lemma, ()):
                found.append((lemma, part))
        return found

    def _part(self, word: str) -> str:
        """The part of speech that a form most often is: n, v, a, r, f (function word) or ?."""
        if word in FUNCTION:
            return "f"
        readings = self.readings(word)
        if not readings:
            return "?"
        return max(readings, key=lambda reading: (self.uses[reading], reading[1]))[1]


_ENDINGS = (
    ("s", "", "n"), ("es", "", "n"), ("ies", "y", "n"), ("s", "", "v"), ("es", "", "v"),
    ("ies", "y", "v"), ("ed", "", "v"), ("ed", "e", "v"), ("ied", "y", "v"), ("ing", "", "v"),
    ("ing", "e", "v"),
)  # fmt: skip


def is_sentence(words: list[str], part: str, net: WordNet) -> bool:
    """Whether an example has the signs of a statement with a finite verb.

    Args:
        words: of the example, as written there.
        part: part of speech of what it is an example of.
        net: tells the parts of speech of words.
    """
    lower = [word.strip(",").lower() for word in words]
    first = lower[0]
    if first in FINITE | CLAUSES or net.part(first) in "vr":  # a question, a request, a fragment
        return False
    if len(lower) > 1 and "v" in net.lemmas.get(first, ()) and lower[1] in DETERMINERS | OBJECTS:
        return False
    if first in SUBJECTS:
        return True
    if len(lower) > 1 and lower[1].endswith("ing"):  # no finite verb: "marshes reeking"
        return False
    verb = next((i for i, word in enumerate(lower) if word in FINITE | PAST), 0)
    if verb and not CLAUSES & set(lower[1:verb]):
        return True
    # Examples of verbs are statements, but for participles and infinitives.
    opens = first in DETERMINERS or words[0][0].isupper()
    return part == "v" and opens and not lower[-1].endswith("ing") and "to" not in lower[:2]


def mark(words: list[str], net: WordNet) -> str | None:
    """The sentence with marks, or None if it has no noun that could be a topic."""
    lower = [word.strip(",").lower() for word in words]
    parts = [net.part(word) for word in lower]
    marked = [_starred(w) if _is_topic(i, lower, parts) else w for i, w in enumerate(words)]
    if words[0][0].isupper() and any(lemma in net.names for lemma, _ in net.readings(lower[0])):
        marked[0] = words[0]
    if marked == words:
        return None
    start = _last_phrase(lower, parts)
    for i in range(len(words) if start is None else start):
        if _is_optional(i, lower, parts) and "," not in words[i]:
            marked[i] = f"[{marked[i]}]"
    if start is not None:
        marked[start], marked[-1] = f"[{marked[start]}", f"{marked[-1]}]"
    return " ".join(marked)


def _starred(word: str) -> str:
    """The word between stars, a comma behind them."""
    return f"*{word[:-1]}*," if word.endswith(",") else f"*{word}*"


def _is_topic(i: int, lower: list[str], parts: list[str]) -> bool:
    """A noun behind a determiner (and adjectives) or at the start, with no noun behind it."""
    if parts[i] != "n" or len(lower[i]) < 3 or not lower[i].isalpha():
        return False
    if i == 0:
        return lower[1] in FINITE | PAST or parts[1] == "v"
    before = i - 1
    while before >= 0 and parts[before] == "a":
        before -= 1
    if before < 0 or lower[before] not in DETERMINERS:
        return False
    return i + 1 == len(lower) or parts[i + 1] in "fvr"


def _last_phrase(lower: list[str], parts: list[str]) -> int | None:
    """Where a last part with a preposition begins that can be left out."""
    found = [i for i, word in enumerate(lower) if word in PREPOSITIONS]
    if not found or found[-1] < 2 or found[-1] == len(lower) - 1:
        return None
    start = found[-1]
    inside = lower[start + 1 :]
    if not (FINITE | PAST) & set(lower[1:start]) and "v" not in parts[1:start]:
        return None
    if parts[start - 1] not in "nv" and lower[start - 1] not in OBJECTS | PAST:
        return None
    if (FINITE | CLAUSES | PAST | {"and", "or", "to", "not"}) & set(inside):
        return None
    return start if parts[-1] == "n" and "v" not in parts[start + 1 :] else None


def _is_optional(i: int, lower: list[str], parts: list[str]) -> bool:
    """An adverb in -ly, or an adjective between a determiner and a noun."""
    if i == 0:
        return False
    if parts[i] == "r" and lower[i].endswith("ly"):
        return lower[i - 1] not in _BEFORE_ADVERB and len(lower) > 3
    inside = i + 1 < len(lower) and parts[i + 1] == "n"
    return parts[i] == "a" and lower[i - 1] in CONSTANT and inside


def marked_sentences(net: WordNet) -> list[str]:
    """All examples that are sentences, marked, once each, in alphabetical order."""
    found = {}
    for part, text in net.examples():
        text = text.rstrip(".!").strip()
        words = text.split()
        if not SHORTEST <= len(words) <= LONGEST or _DIVIDED.search(text) or text.isupper():
            continue
        if is_sentence(words, part, net) and (line := mark(words, net)) is not None:
            # A capital letter, behind its marks if the line begins with some.
            line = re.sub(r"[A-Za-z]", lambda letter: letter[0].upper(), line, count=1)
            found.setdefault(text.lower(), line)
    return sorted(found.values())
