"""The swaps of a model's answers: which are legal, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.steps import annotate_steps
from lengthlens.generation.swaps import NO_NUMBER, SWAPS, Swap, neighbour, swap_answer
from lengthlens.language.languages import Language


@dataclass(frozen=True)
class Reading:
    """How prompts and answers are read.

    Attributes:
        n_words: the numbers that the study asks for.
        counting: the counting convention.
        date: what chat templates are told.
    """

    n_words: Sequence[int]
    counting: str
    date: str


@dataclass(frozen=True)
class SwapMaterial:
    """For every swap, one entry an answer: the legal swap, or the reason why there is none."""

    by_swap: Mapping[int, Sequence[Swap | str]]

    def legal(self, swap: int) -> list[tuple[int, Swap]]:
        """The legal swaps, each with the index of its answer."""
        entries = enumerate(self.by_swap[swap])
        return [(index, entry) for index, entry in entries if isinstance(entry, Swap)]

    def reasons(self, swap: int) -> Counter[str]:
        """How many answers have no legal swap, by reason."""
        return Counter(entry for entry in self.by_swap[swap] if isinstance(entry, str))


def swap_material(
    loaded: LoadedModel,
    language: Language,
    answers: Sequence[Mapping],
    reading: Reading,
    swaps: Iterable[int] = SWAPS,
) -> SwapMaterial:
    """The swaps of answers.

    Args:
        loaded: the model that is to read them.
        language: topics and templates of the prompts.
        answers: rows of the model's generations file.
        reading: how they are read.
        swaps: -1, 1 or both.
    """
    fill = _Prompts(loaded, language, reading.date)
    found: dict[int, list[Swap | str]] = {swap: [] for swap in swaps}
    for row in answers:
        marks = annotate_steps(
            row["tokens"], row["n"], loaded.vocabulary, loaded.decode_text, reading.counting
        )
        for swap, entries in found.items():
            n = neighbour(row["n"], reading.n_words, swap)
            if n is None:
                entries.append(NO_NUMBER)
                continue
            own, swapped = ((number, fill.tokens(row, number)) for number in (row["n"], n))
            entries.append(swap_answer(own, swapped, row["tokens"], marks, loaded.decode_text))
    return SwapMaterial(found)


class _Prompts:
    """Prompts of answers, with any number in them."""

    def __init__(self, loaded: LoadedModel, language: Language, date: str) -> None:
        self._loaded, self._code, self._date = loaded, language.code, date
        self._topics = {topic.id: topic for topic in language.topics}
        self._templates = {template.id: template for template in language.templates}

    def tokens(self, row: Mapping, n: int) -> list[int]:
        if row["topic"] not in self._topics or row["template"] not in self._templates:
            raise LengthlensError(
                f"{row['sample_id']} has the topic {row['topic']!r} and the template "
                f"{row['template']!r}, which resources/languages/{self._code}.yaml does not have; "
                "generate the answers anew"
            )
        text = self._templates[row["template"]].fill(self._topics[row["topic"]], n)
        return self._loaded.encode(text, self._date)
