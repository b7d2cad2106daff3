"""What stands around the sentence that was asked for: introductions, echoes, quotes, Markdown.

The word count is that of the whole answer. A polite answer ("Here is a sentence: …") has too many
words without miscounting, so the study says how many answers are of each kind; and it can count the
quoted or the last sentence alone (`counted_text`).
"""

from __future__ import annotations

import re

WHOLE, QUOTED, LAST_SENTENCE = "whole", "quoted", "last_sentence"
KINDS = ("preamble", "echo", "quotes", "markdown")
ECHO = 5  # words of the instruction in a row

_OPENERS = (
    "here is|here's|here are|sure|certainly|of course|the sentence is|"
    "ecco|certo|certamente|naturalmente|la frase è|hei ass|natierlech|de saz ass"
)
# A colon at the end of the first line, or before a quotation or emphasis; or a known opening.
_PREAMBLE = re.compile(
    rf"\s*(?:[^\n:]{{1,120}}:\s*(?:\n|[\"“„«»*`])|(?:{_OPENERS})\b[^\n.!?:]{{0,120}}[:!,.])\s*\S",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|„([^“”\n]+)[“”]|«([^»\n]+)»|»([^«\n]+)«")
_MARKDOWN = re.compile(
    r"\*\*\S|(?<![\w*])\*\S[^*\n]*\*|(?<!\w)__\S|`[^`\n]+`|```|^\s*(?:#{1,6}\s|[-*+]\s|>\s|\d+[.)]\s)",
    re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"”»*]*\s+|\n+")


def kinds_of(text: str, instruction: str) -> frozenset[str]:
    """Which of KINDS an answer to an instruction is of.

    `preamble`: words that introduce the sentence; `echo`: five words of the instruction in a row;
    `quotes`: two words or more in quotation marks; `markdown`: emphasis, code, headings or lists.
    """
    found = {
        "preamble": bool(_PREAMBLE.match(text)),
        "echo": _echoes(text, instruction),
        "quotes": any(len(passage.split()) > 1 for passage in quotations(text)),
        "markdown": bool(_MARKDOWN.search(text)),
    }
    return frozenset(kind for kind, there in found.items() if there)


def quotations(text: str) -> list[str]:
    """The passages in quotation marks, in their order."""
    return [next(filter(None, groups)) for groups in _QUOTED.findall(text)]


def counted_text(text: str, how: str) -> str:
    """The part of an answer whose words are counted.

    Args:
        text: the answer.
        how: `whole`; `quoted`: its longest passage in quotation marks; `last_sentence`: its last
            sentence or line. The whole answer where it has no such part.
    """
    if how == QUOTED:
        return max(quotations(text), key=lambda passage: len(passage.split()), default=text)
    if how == LAST_SENTENCE:
        sentences = [part for part in _SENTENCE_END.split(text) if re.search(r"\w", part)]
        return sentences[-1] if sentences else text
    return text


def _echoes(text: str, instruction: str) -> bool:
    said, words = _words(text), _words(instruction)
    runs = {tuple(words[start : start + ECHO]) for start in range(len(words) - ECHO + 1)}
    return any(tuple(said[start : start + ECHO]) in runs for start in range(len(said)))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
