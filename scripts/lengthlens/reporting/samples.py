"""Sample answers for the report, word by word, marked by whether they keep to N."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lengthlens.language.words import count_words
from lengthlens.reporting.tokens import Token, describe_tokens

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # not allowed in a page
LONGEST = 400  # characters of an answer that are shown


@dataclass(frozen=True)
class Piece:
    """Part of an answer between blanks; `within`: no more than N words so far."""

    text: str
    within: bool


@dataclass(frozen=True)
class Sample:
    """One answer as the report shows it."""

    sample_id: str
    n: int
    words: int
    error: int
    prompt: str
    pieces: tuple[Piece, ...]
    tokens: tuple[Token, ...]
    shortened: bool
    stopped: bool

    @property
    def on_target(self) -> bool:
        """Whether the answer ended by itself with exactly N words."""
        return self.stopped and self.error == 0


def mark_words(text: str, n: int, counting: str) -> tuple[Piece, ...]:
    """Cut a text at its blanks; a piece is `within` if at most n words stand up to its end.

    That is the adherence sign of its last token: +1 as long as the count is at most N.
    """
    pieces = []
    for match in re.finditer(r"\s*\S+\s*", text):
        so_far = count_words(text[: match.end()], counting)
        pieces.append(Piece(_CONTROL.sub("\ufffd", match.group()), so_far <= n))
    return tuple(pieces)


def choose_samples(
    answers: pd.DataFrame,
    prompts: Mapping[str, str],
    counting: str,
    count: int,
    tokens: Mapping[str, Mapping],
) -> list[Sample]:
    """`count` answers of one model and language, evenly spaced in the file, whatever they say.

    Args:
        answers: rows of a generations file.
        prompts: prompt id -> text.
        counting: the counting convention.
        count: how many at most.
        tokens: sample id -> row of a tokens file; answers without one are marked word by word.
    """
    if not count or answers.empty:
        return []
    places = np.unique(np.linspace(0, len(answers) - 1, min(count, len(answers))).round())
    return [_sample(answers.iloc[int(place)], prompts, counting, tokens) for place in places]


def _sample(
    row: pd.Series, prompts: Mapping[str, str], counting: str, tokens: Mapping[str, Mapping]
) -> Sample:
    shown = row["text"][:LONGEST]
    steps = tokens.get(row["sample_id"])
    return Sample(
        sample_id=row["sample_id"],
        n=int(row["n"]),
        words=int(row["words"]),
        error=int(row["error"]),
        prompt=prompts.get(row["prompt_id"], ""),
        pieces=mark_words(shown, int(row["n"]), counting),
        tokens=() if steps is None else describe_tokens(steps),
        shortened=len(shown) < len(row["text"]),
        stopped=bool(row["stopped"]),
    )
