"""Swaps of the number in a prompt: which numbers, which answers, and where the margin is read.

1. The swaps of a number N are the next smaller (-1) and the next larger (+1) number among those
   that the study asks for: outside of them a model was never asked to count.
2. One prompt asks for the smaller number (the *reached* run), one for the larger (the *other* run).
   The answer's own prompt is the reached run at swap +1 and the other run at swap -1.
3. A swap is *legal* where both prompts have as many tokens and differ in the numeral's alone, and
   where the answer has a *read step*: its first boundary step with the smaller number of words
   before it. There the reached run should end, and the other go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lengthlens.generation.steps import StepAnnotations

SWAPS = (-1, 1)
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
    found = np.flatnonzero(marks.boundary & (marks.words_before == smaller))
    return int(found[0]) if len(found) else None


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
    places = [
        place
        for place, (one, two) in enumerate(zip(own_prompt, swapped_prompt, strict=True))
        if one != two
    ]
    numeral = slice(places[0], places[-1] + 1) if places else slice(0, 0)
    for number, prompt in (own, swapped):
        digits = spell(prompt[numeral]).strip()
        if not digits or digits not in str(number):
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
        numeral=numeral.start,
    )
