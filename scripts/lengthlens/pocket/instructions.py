"""Requests in the pocket languages: wordings filled with a topic and a number of words.

Wordings come from `resources/pocket/lexicon/wordings.yaml`; `<word>` stands for a qaa word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import yaml

from lengthlens.pocket.lexicon import FOLDER, Noun
from lengthlens.pocket.morphology import topic_forms
from lengthlens.pocket.qaa import with_words

SLOT = re.compile(r"\{(\w+)\}")
OPEN = {"n", "name", "about", "of"}  # filled by the prompt, not by a slot


@dataclass(frozen=True)
class Wordings:
    """One language's patterns and slots; `counted` is empty where a language is never tuned."""

    counted: tuple[str, ...]
    free: tuple[str, ...]
    develop: tuple[str, ...]
    slots: dict[str, list[str]]

    def draw(self, counted: bool, random: Random) -> str:
        """A random wording with its slots filled and `{n}`, `{name}`, ... left open."""
        text = random.choice(self.counted if counted else self.free)
        while names := [name for name in SLOT.findall(text) if name not in OPEN]:
            text = text.replace("{" + names[0] + "}", random.choice(self.slots[names[0]]), 1)
        return text


@cache
def load_wordings(path: Path = FOLDER / "wordings.yaml") -> dict[str, Wordings]:
    """The wordings by language code."""
    raw = yaml.safe_load(with_words(path.read_text(encoding="utf-8")))
    return {
        code: Wordings(
            tuple(part.get("counted", ())),
            tuple(part["free"]),
            tuple(part.get("develop", ())),
            part["slots"],
        )
        for code, part in raw.items()
    }


def fill(wording: str, noun: Noun, language: str, n: int | None = None) -> str:
    """The finished request: the wording with the topic's forms and the number of words."""
    return wording.format(n=n, **topic_forms(noun, language))
