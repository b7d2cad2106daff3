"""The sentences that an adapter is tuned on, each in all lengths that its marks allow.

A file holds one sentence a line, without the final full stop. `*noun*` marks a word that a request
may name as its topic, `[…]` a part that can be left out:

    The [old] *author* autographed his *book* [at the *fair*]

is a sentence of 9, 8, 6 and 5 words about an author or a book. The label of a row is the
number of words of its sentence, counted by the project's own counter.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lengthlens.errors import LengthlensError
from lengthlens.language.words import count_words, fold

_OPTIONAL = re.compile(r"\[[^\[\]]*\]")
_TOPIC = re.compile(r"\*([^*\s]+)\*")
_WORD = re.compile(r"\w+")
COUNTING = "whitespace"


@dataclass(frozen=True)
class Sentence:
    """A sentence of one length."""

    text: str  # as it is answered
    n: int  # its words
    topics: tuple[str, ...]  # those it can have
    line: int  # of the file it is from; other versions of it have the same


def read_sentences(path: Path, held_out: Iterable[str] = ()) -> dict[int, list[Sentence]]:
    """All versions of all sentences of a file, by their number of words.

    Args:
        path: of the file.
        held_out: words; a sentence that holds one of them is left out.

    Raises:
        LengthlensError: the file is missing, or a line is not marked as it should be.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise LengthlensError(
            f"the sentences to tune on are not there: {path} does not exist; correct `sentences` "
            "in the recipe, or make the file (docs/smollm2.md says how)"
        ) from None
    forbidden = {fold(word) for word in held_out}
    found: dict[int, dict[str, Sentence]] = defaultdict(dict)  # the same text once
    for number, line in enumerate(lines, start=1):
        if problem := _problem(line):
            raise LengthlensError(f"{path}, line {number}: {line!r} {problem}")
        plain = _TOPIC.sub(r"\1", line.replace("[", "").replace("]", ""))
        if forbidden.isdisjoint(_WORD.findall(fold(plain))):
            for sentence in versions(line, number):
                found[sentence.n].setdefault(sentence.text, sentence)
    return {n: list(sentences.values()) for n, sentences in sorted(found.items())}


def _problem(line: str) -> str | None:
    """What is wrong with a line."""
    if not _TOPIC.search(line):
        return "marks no topic: put *stars* around a noun"
    rest = _TOPIC.sub("", _OPTIONAL.sub("", line))
    if set("[]*") & set(rest):
        return "has a star or a bracket without its partner, or brackets in brackets"
    return "ends with a full stop, which is added later" if line.endswith(".") else None


def versions(line: str, number: int = 0) -> list[Sentence]:
    """The sentence of a marked line with and without each part that can be left out.

    A version without a topic is none. `number` is that of the line.
    """
    pieces = re.split(f"({_OPTIONAL.pattern})", line)
    choices = [(piece[1:-1], "") if piece.startswith("[") else (piece,) for piece in pieces]
    found = []
    for kept in itertools.product(*choices):
        marked = " ".join("".join(kept).split())
        marked = marked[:2].lower() + marked[2:] if marked.startswith("*") else marked
        if topics := tuple(dict.fromkeys(_TOPIC.findall(marked))):
            text = _TOPIC.sub(r"\1", marked) + "."
            text = text[0].upper() + text[1:]
            found.append(Sentence(text, count_words(text, COUNTING), topics, number))
    return found
