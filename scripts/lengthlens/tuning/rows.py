"""Tuning rows: a request for n words about a topic, and a sentence of n words that names it.

Row by row everything is drawn at random from the seed and the number of the step alone, so that a
training that goes on in the middle sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from lengthlens.errors import LengthlensError
from lengthlens.language.languages import load_language
from lengthlens.language.prompts import Prompt
from lengthlens.tuning.recipe import Recipe
from lengthlens.tuning.sentences import Sentence, read_sentences

SORTED = 8  # batches drawn and sorted by length together, so that little is padding
_SLOT = re.compile(r"\{(\w+)\}")
_OPEN = {"n", "topic"}


@dataclass(frozen=True)
class Wordings:
    """How requests are worded; see resources/smollm2/wordings.yaml."""

    tune: tuple[str, ...]
    slots: Mapping[str, Sequence[str]]
    develop: tuple[str, ...]
    develop_topics: Mapping[str, Sequence[str]]

    def draw(self, random: Random) -> str:
        """A wording with its slots filled, `{n}` and `{topic}` left open."""
        text = random.choice(self.tune)
        while names := [name for name in _SLOT.findall(text) if name not in _OPEN]:
            text = text.replace(f"{{{names[0]}}}", random.choice(self.slots[names[0]]), 1)
        return text


def read_wordings(path: Path) -> Wordings:
    """The wordings of a file.

    Raises:
        LengthlensError: it is missing, or not what it should be.
    """
    try:
        raw: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise LengthlensError(
            f"the wordings of requests are not there: {path} does not exist; correct `wordings` "
            "in the recipe"
        ) from None
    parts = ("tune", "slots", "develop", "develop_topics")
    if missing := [part for part in parts if not raw.get(part)]:
        raise LengthlensError(f"{path} has no {missing[0]}: it needs {', '.join(parts)}")
    for text in (*raw["tune"], *raw["develop"]):
        names = _SLOT.findall(text)
        if names.count("n") != 1 or names.count("topic") != 1:
            raise LengthlensError(f"{path}: {text!r} needs {{n}} and {{topic}} once each")
        if unknown := set(names) - _OPEN - set(raw["slots"]):
            raise LengthlensError(f"{path}: {text!r} needs {sorted(unknown)[0]!r} among the slots")
    return Wordings(tuple(raw["tune"]), raw["slots"], tuple(raw["develop"]), raw["develop_topics"])


@dataclass(frozen=True)
class Row:
    """A request for n words and its answer."""

    request: str
    answer: str
    n: int


class Rows:
    """The rows of every step.

    Raises:
        LengthlensError: the recipe asks for a number of words that no sentence has.
    """

    def __init__(
        self, recipe: Recipe, wordings: Wordings, sentences: Mapping[int, Sequence[Sentence]]
    ) -> None:
        self.recipe, self.wordings, self.sentences = recipe, wordings, sentences
        self.versions: dict[int, list[Sentence]] = defaultdict(list)
        for n in recipe.n_words:
            for sentence in sentences.get(n, ()):
                self.versions[sentence.line].append(sentence)
        if missing := [n for n in recipe.n_words if not sentences.get(n)]:
            raise LengthlensError(
                f"{recipe.sentences} has no sentence of {missing[0]} words; take it out of n_words"
            )

    @classmethod
    def of(cls, recipe: Recipe, root: Path) -> Rows:
        """From the recipe's files; sentences with a studied or developing topic are left out."""
        wordings = read_wordings(root / recipe.wordings)
        held_out = {word for words in wordings.develop_topics.values() for word in words}
        for language in recipe.held_out:
            for topic in load_language(root / language).topics:
                held_out.update(topic.words)
        return cls(recipe, wordings, read_sentences(root / recipe.sentences, held_out))

    def draw(self, random: Random) -> list[Row]:
        """A row, and one that asks in the same words for the same sentence in another length.

        The second only where the sentence has another version about the same topic.
        """
        numbers, weights = zip(*self.recipe.n_words.items(), strict=True)
        n = random.choices(numbers, weights)[0]
        sentence = random.choice(self.sentences[n])
        topic = random.choice(sentence.topics)
        wording = self.wordings.draw(random)
        others = [s for s in self.versions[sentence.line] if s.n != n and topic in s.topics]
        chosen = [sentence, *([random.choice(others)] if others else [])]
        return [Row(wording.format(n=s.n, topic=topic), s.text, s.n) for s in chosen]

    def batch(self, step: int) -> list[Row]:
        """The rows of a step, counted from 0: a pure function of it and of the seed.

        Rows of like length share a batch.
        """
        group, place = divmod(step, SORTED)
        random = Random(f"{self.recipe.seed}/{group}")
        drawn, count = [], 0
        while count < SORTED * self.recipe.batch:
            drawn.append(self.draw(random))
            count += len(drawn[-1])
        drawn.sort(key=lambda rows: max(len(row.request + row.answer) for row in rows))
        rows = [row for rows in drawn for row in rows]
        start = random.sample(range(SORTED), SORTED)[place] * self.recipe.batch
        return rows[start : start + self.recipe.batch]


def develop_prompts(recipe: Recipe, wordings: Wordings) -> list[Prompt]:
    """Development prompts: every topic and every wording in turn; never tuned, never studied."""
    topics = list(wordings.develop_topics)
    prompts = []
    for n in recipe.develop_n_words:
        for index in range(recipe.develop_per_n):
            topic = topics[(index + 5 * n) % len(topics)]
            place = (index + index // len(topics) + n) % len(wordings.develop)
            prompts.append(
                Prompt(
                    id=f"develop-{n}-{index}",
                    language="en",
                    n=n,
                    topic=topic,
                    template=str(place),
                    split="develop",
                    text=wordings.develop[place].format(n=n, topic=topic),
                )
            )
    return prompts
