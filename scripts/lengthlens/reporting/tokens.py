"""An answer token by token, with what pushed the model to end or to go on at each decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lengthlens.figures.numbers import number

_SIGNS = {"\n": "↵", "\t": "⇥"}


@dataclass(frozen=True)
class Token:
    """A token, or the end of an answer.

    Attributes:
        blank: white space before it, on which lines may break; text: the rest of it.
        within: whether it keeps to N (adherence sign +).
        words: words of the answer with it.
        decision: whether the model decided here to end or to overshoot.
        choice: between ending and a new word, empty where the model had none: the end margin, where
            it leans, the best ender, the best word-beginning token, the share of all components
            that are not named, and what pushed most to end and to go on (component, share).
    """

    blank: str
    text: str
    within: bool
    words: int
    decision: bool
    choice: tuple[Any, ...] = ()

    def told(self, step: int, n: int) -> list[Any]:
        """What the page shows of a step when its token is pressed, in the order of report.js.

        Args:
            step: its number in the answer, from 1.
            n: words asked for.
        """
        sign = "+" if self.within else "−"
        return [step, self.words, n, sign, int(self.decision), *self.choice]


def describe_tokens(row: Mapping) -> tuple[Token, ...]:
    """The tokens of one answer; its thinking is left out.

    Args:
        row: of a tokens file (docs/files.md).
    """
    return tuple(_token(row, step) for step in range(len(row["token"])) if row["sign"][step])


def _token(row: Mapping, step: int) -> Token:
    text = row["text"][step]
    body = text.lstrip()
    if not body:
        last = step == len(row["token"]) - 1
        body = "".join(_SIGNS.get(sign, "") for sign in text) or ("■" if last else "")
    return Token(
        blank=text[: len(text) - len(text.lstrip())],
        text=body,
        within=row["sign"][step] > 0,
        words=row["words"][step],
        decision=row["decision"] == step,
        choice=() if row["margin"][step] is None else _choice(row, step),
    )


def _choice(row: Mapping, step: int) -> tuple[Any, ...]:
    margin, pushes = row["margin"][step], (row["to_end"][step], row["to_go_on"][step])
    named = sum(share for found in pushes for _, share in found)
    return (
        number(margin, "logits", sign=True),
        "to end" if margin > 0 else "to go on",
        visible(row["ender_text"][step]),
        visible(row["word_text"][step]),
        number(margin - named, "logits", sign=True),
        *(
            [(name, number(share, "logits", sign=True)) for name, share in found]
            for found in pushes
        ),
    )


def visible(text: str) -> str:
    """A token's text with visible white space."""
    shown = "".join(_SIGNS.get(sign, sign) for sign in text)
    return f"␣{shown[1:]}" if shown.startswith(" ") else shown
