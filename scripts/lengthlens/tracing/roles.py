"""The part that each token of a prompt and its answer plays: roles.

| role | positions |
|---|---|
| `before` | all before the numeral: what N cannot have reached yet |
| `numeral` | tokens that share a character with the number |
| `between` | after it, up to the mark; without a mark, up to the end of the instruction |
| `mark` | the instruction's last punctuation after it, with quotes and merged line breaks |
| `closing` | what follows, up to the last prompt token: mostly the chat template's |
| `answer` | tokens of the answer but the last |
| `last` | the position that the margin is read from |

Roles go by characters: a token belongs to what it shares a character with, to the numeral before
the mark and to the mark before all others. Punctuation inside of words ("d'Mier", "3.5") is no
mark, nor is a mark made of quotes, brackets or dashes alone. A role may be empty: without a final
mark there is no `mark`, and where the mark is the prompt's last token there is no `closing`. Every
position has exactly one role.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int8

from lengthlens.generation.loaded import LoadedModel
from lengthlens.language.languages import Language
from lengthlens.models.prompting import NoSpans, SpelledPrompt

ROLES = ("before", "numeral", "between", "mark", "closing", "answer", "last")
BEFORE, NUMERAL, BETWEEN, MARK, CLOSING, ANSWER, LAST = range(len(ROLES))
_AROUND = {"Pi", "Pf", "Ps", "Pe", "Pd"}  # quotes, brackets, dashes: never a mark by themselves
_QUOTES = "\"'"  # of the category of full stops

Span = tuple[int, int]  # characters [start, end)


class UnknownRoles(NoSpans):
    """The instruction is not found in the prompt."""


def find_mark(text: str, start: int) -> Span | None:
    """The last punctuation from `start` on, with its quotes; None where there is none."""
    end = len(text)
    while end > start:
        if not _is_punctuation(text[end - 1]):
            end -= 1
            continue
        first = end
        while first > start and _is_punctuation(text[first - 1]):
            first -= 1
        inside = first > 0 and text[first - 1].isalnum() and text[end : end + 1].isalnum()
        if not inside and any(_closes(character) for character in text[first:end]):
            return first, end
        end = first
    return None


def prompt_roles(
    spelled: SpelledPrompt, instruction: str, numerals: Sequence[Span]
) -> Int8[np.ndarray, " position"]:
    """The role of every token of a prompt, as indices into ROLES.

    Args:
        spelled: the prompt as the model reads it.
        instruction: what the user asks.
        numerals: the number's characters in the instruction.

    Raises:
        UnknownRoles: the instruction or its number is not found in the prompt.
    """
    asked = instruction.strip()
    start = spelled.text.rfind(asked)
    if start < 0:
        raise UnknownRoles(f"the chat template changes the instruction {asked!r}")
    shift = start - instruction.index(asked)
    numbers = [(first + shift, end + shift) for first, end in numerals]
    numeral = np.any([_overlaps(spelled, span) for span in numbers], axis=0)
    if not numeral.any():
        raise UnknownRoles(f"no token stands for the number in {asked!r}")
    end = start + len(asked)
    found = find_mark(spelled.text[:end], numbers[-1][1])
    mark = _overlaps(spelled, found) & ~numeral if found else np.zeros_like(numeral)
    place = np.arange(len(numeral))
    closing = np.flatnonzero(mark if mark.any() else _overlaps(spelled, (start, end)))[-1] + 1
    roles = np.full(len(numeral), BETWEEN, dtype=np.int8)
    roles[place < np.flatnonzero(numeral)[0]] = BEFORE
    roles[place >= closing] = CLOSING
    roles[mark], roles[numeral] = MARK, NUMERAL
    return roles


def text_roles(prompt: Int8[np.ndarray, " position"], answer: int) -> Int8[np.ndarray, " text"]:
    """The roles of a prompt and so many tokens of its answer, the last of which is read from."""
    roles = np.append(prompt, np.full(answer, ANSWER, dtype=np.int8))
    roles[-1] = LAST
    return roles


def masks(roles: Int8[np.ndarray, " position"]) -> Bool[np.ndarray, "role position"]:
    """True where a position has a role."""
    return roles == np.arange(len(ROLES), dtype=np.int8)[:, None]


def answer_roles(
    loaded: LoadedModel, language: Language, answers: Sequence[Mapping], date: str
) -> list[Int8[np.ndarray, " _"] | str]:
    """The roles of every answer's own prompt, or the reason why they cannot be had."""
    found: list[Int8[np.ndarray, " _"] | str] = []
    for text, numerals in instructions(language, answers):
        try:
            found.append(prompt_roles(loaded.spell(text, date), text, numerals))
        except NoSpans as error:
            found.append(str(error))
    return found


def instructions(
    language: Language, answers: Sequence[Mapping]
) -> Iterator[tuple[str, list[Span]]]:
    """What the user asked for every answer, and the number's characters in it."""
    topics = {topic.id: topic for topic in language.topics}
    templates = {template.id: template for template in language.templates}
    for row in answers:
        topic, template = topics[row["topic"]], templates[row["template"]]
        yield language.ask(template, topic, row["n"]), language.numerals(template, topic, row["n"])


def _overlaps(spelled: SpelledPrompt, span: Span) -> Bool[np.ndarray, " position"]:
    """The tokens that share a character with a span."""
    start, end = np.array(spelled.spans).reshape(-1, 2).T
    return (np.maximum(start, span[0]) < np.minimum(end, span[1])) & (end > start)


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P")


def _closes(character: str) -> bool:
    return unicodedata.category(character) not in _AROUND and character not in _QUOTES
