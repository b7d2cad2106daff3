"""Swaps of the number in a prompt: which numbers, which answers, and where the margin is read.

1. The swaps of a number N are the next smaller (-1) and the next larger (+1) number among those
   that the study asks for: outside of them a model was never asked to count.
2. One prompt asks for the smaller number (the *reached* run), one for the larger (the *other* run).
   The answer's own prompt is the reached run at swap +1 and the other run at swap -1.
3. A swap is *legal* where both prompts have as many tokens and differ in the numeral's alone, and
   where the answer has a *read step*: its first boundary step with the smaller number of words
   before it. There the reached run should end, and the other go on. The numeral's tokens are those
   that hold a digit of the number, as often as a prompt names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from lengthlens.generation.answers import request_of
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.steps import StepAnnotations, first_step
from lengthlens.language.languages import Language

SWAPS = (-1, 1)
LEGAL = "legal"
NO_NUMBER = "no_number"
LENGTH = "length"
ELSEWHERE = "elsewhere"
NO_READ_STEP = "no_read_step"
REASONS = {
    NO_NUMBER: "the study asks for no smaller or no larger number",
    LENGTH: "the other number changes how many tokens the prompt has",
    ELSEWHERE: "the prompts differ in more than the tokens of the numeral",
    NO_READ_STEP: "the answer has no boundary step with the smaller number of words before it",
}


@dataclass(frozen=True)
class Swap:
    """A legal swap of one answer.

    Attributes:
        swap: -1 or 1.
        n, n_swapped: the number of the answer's own prompt, and the one in its place.
        reached, other: tokens of the prompts with the smaller and with the larger number.
        answer: tokens of the answer before the read step.
        numeral: the first token position at which the prompts differ.
    """

    swap: int
    n: int
    n_swapped: int
    reached: tuple[int, ...]
    other: tuple[int, ...]
    answer: tuple[int, ...]
    numeral: int

    @property
    def own_is_reached(self) -> bool:
        """Whether the reached run is the one under the answer's own prompt."""
        return self.swap > 0

    @property
    def swapped(self) -> tuple[int, ...]:
        """The prompt with the other number."""
        return self.other if self.own_is_reached else self.reached

    @property
    def texts(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """All that is read in the reached and in the other run."""
        return (*self.reached, *self.answer), (*self.other, *self.answer)

    @property
    def last(self) -> int:
        """The position that the margin is read from: that of the last token fed."""
        return len(self.reached) + len(self.answer) - 1

    @property
    def first_generated(self) -> int:
        """The last token of the prompt: the first of the `generated` positions."""
        return len(self.reached) - 1


def neighbour(n: int, n_words: Iterable[int], swap: int) -> int | None:
    """The next smaller (-1) or larger (1) number that the study asks for, if there is one."""
    numbers = [number for number in n_words if (number - n) * swap > 0]
    return min(numbers, key=lambda number: abs(number - n)) if numbers else None


def read_step(marks: StepAnnotations, smaller: int) -> int | None:
    """The first boundary step with so many words before it; None where there is none."""
    return first_step(marks.boundary & (marks.words_before == smaller))


def swap_answer(
    own: tuple[int, Sequence[int]],
    swapped: tuple[int, Sequence[int]],
    answer: Sequence[int],
    marks: StepAnnotations,
    spell: Callable[[Sequence[int]], str],
) -> Swap | str:
    """The swap of one answer, or the reason (of REASONS) why it is not legal.

    Args:
        own: the number of the answer's own prompt, and that prompt's tokens.
        swapped: the same of the prompt with the other number.
        answer: the answer's tokens; marks: their annotations.
        spell: turns tokens into text.
    """
    (n, own_prompt), (n_swapped, swapped_prompt) = own, swapped
    if len(own_prompt) != len(swapped_prompt):
        return LENGTH
    pairs = enumerate(zip(own_prompt, swapped_prompt, strict=True))
    places = [place for place, (one, two) in pairs if one != two]
    in_numerals = all(
        set(spell([prompt[place]])) & set(str(number))
        for number, prompt in (own, swapped)
        for place in places
    )
    if not places or not in_numerals:
        return ELSEWHERE
    step = read_step(marks, min(n, n_swapped))
    if step is None:
        return NO_READ_STEP
    reached, other = (own_prompt, swapped_prompt) if n < n_swapped else (swapped_prompt, own_prompt)
    return Swap(
        swap=1 if n < n_swapped else -1,
        n=n,
        n_swapped=n_swapped,
        reached=tuple(reached),
        other=tuple(other),
        answer=tuple(answer[:step]),
        numeral=places[0],
    )


@dataclass(frozen=True)
class SwapMaterial:
    """For every swap, one entry an answer: the legal swap, or the reason why there is none."""

    by_swap: Mapping[int, Sequence[Swap | str]]

    def legal(self, swap: int) -> list[tuple[int, Swap]]:
        """The legal swaps, each with the index of its answer."""
        entries = enumerate(self.by_swap.get(swap, ()))
        return [(index, entry) for index, entry in entries if isinstance(entry, Swap)]

    def only(self, swaps: Iterable[int]) -> SwapMaterial:
        """The same of some of the swaps."""
        return SwapMaterial({swap: self.by_swap[swap] for swap in swaps})

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
    """The swaps of answers."""
    found: dict[int, list[Swap | str]] = {swap: [] for swap in swaps}
    for row in answers:
        marks = loaded.annotate(row["tokens"], row["n"], reading.counting)

        def asked(n: int, row: Mapping = row) -> tuple[int, list[int]]:
            return n, request_of(loaded, language, row, n, reading.date).tokens

        own = asked(row["n"])
        for swap, entries in found.items():
            n = neighbour(row["n"], reading.n_words, swap)
            entries.append(
                NO_NUMBER
                if n is None
                else swap_answer(own, asked(n), row["tokens"], marks, loaded.decode_text)
            )
    return SwapMaterial(found)


def count_swaps(material: SwapMaterial) -> xr.DataArray:
    """Answers by swap: those with a legal one, and the others by reason."""
    names, counts = [LEGAL, *REASONS], []
    for swap in SWAPS:
        entries = material.by_swap.get(swap, ())
        count = Counter(LEGAL if isinstance(entry, Swap) else entry for entry in entries)
        counts.append([count[name] for name in names])
    found = xr.DataArray(np.array(counts), {"swap": list(SWAPS), "reason": names})
    return found.assign_attrs(long_name="answers with a legal swap, and those without by reason")


def why_none(material: SwapMaterial) -> str:
    """In words why no answer has a legal swap."""
    counts: Counter[str] = sum(map(material.reasons, material.by_swap), start=Counter())
    told = [f"{REASONS[reason]} ({number})" for reason, number in counts.most_common()]
    return "no answer has a legal swap: " + ("; ".join(told) or "there are no answers")
