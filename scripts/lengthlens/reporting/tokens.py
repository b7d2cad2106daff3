"""An answer token by token, with what pushed the model to end or to go on at each decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lengthlens.figures.numbers import number

_SIGNS = {"\n": "↵", "\t": "⇥"}


@dataclass(frozen=True)
class Push:
    """A component's share of the end margin at a step."""

    component: str
    share: str


@dataclass(frozen=True)
class Token:
    """A token, or the end of an answer.

    Attributes:
        blank: white space before it, on which lines may break; text: the rest of it.
        within: whether it keeps to N (adherence sign +).
        words: words of the answer with it.
        decision: whether the model decided here to end or to overshoot.
        margin: the end margin; empty where the model had no choice between ending and a new word.
        ender, word: the best ender and the best word-beginning token.
        to_end, to_go_on: the largest shares; rest: that of all other components together.
    """

    blank: str
    text: str
    within: bool
    words: int
    decision: bool
    margin: str = ""
    leaning: str = ""
    ender: str = ""
    word: str = ""
    to_end: tuple[Push, ...] = ()
    to_go_on: tuple[Push, ...] = ()
    rest: str = ""

    def told(self, step: int, n: int) -> list[Any]:
        """What the page shows of a step when its token is pressed, in the order of report.js.

        Args:
            step: its number in the answer, from 1.
            n: words asked for.
        """
        sign = "+" if self.within else "−"
        pushes = ([[push.component, push.share] for push in found] for found in self.pushes)
        return [
            *(step, self.words, n, sign, int(self.decision)),
            *(self.margin, self.leaning, self.ender, self.word, self.rest),
            *pushes,
        ]

    @property
    def pushes(self) -> tuple[tuple[Push, ...], tuple[Push, ...]]:
        """What pushed to end, and what to go on."""
        return self.to_end, self.to_go_on


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
    shown = Token(
        blank=text[: len(text) - len(text.lstrip())],
        text=body,
        within=row["sign"][step] > 0,
        words=row["words"][step],
        decision=row["decision"] == step,
    )
    margin = row["margin"][step]
    if margin is None:
        return shown
    shares = [share for _, share in [*row["to_end"][step], *row["to_go_on"][step]]]
    return Token(
        **{name: getattr(shown, name) for name in ("blank", "text", "within", "words", "decision")},
        margin=number(margin, "logits", sign=True),
        leaning="to end" if margin > 0 else "to go on",
        ender=visible(row["ender_text"][step]),
        word=visible(row["word_text"][step]),
        to_end=_pushes(row["to_end"][step]),
        to_go_on=_pushes(row["to_go_on"][step]),
        rest=number(margin - sum(shares), "logits", sign=True),
    )


def _pushes(found: Sequence[Sequence]) -> tuple[Push, ...]:
    return tuple(Push(name, number(share, "logits", sign=True)) for name, share in found)


def visible(text: str) -> str:
    """A token's text with visible white space."""
    shown = "".join(_SIGNS.get(sign, sign) for sign in text)
    return f"␣{shown[1:]}" if shown.startswith(" ") else shown
