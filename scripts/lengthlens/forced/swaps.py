"""Which prompts an answer is forced under with another number, and which of these swaps are legal.

A swap exchanges N for the next smaller (-1) or next larger (+1) number of the study's `n_words`:
with [3, 5] the swap +1 of 3 is 5. It is legal where nothing but the number differs and there is a
step to read. The others are left out, for one of these reasons:

| reason | what is wrong |
|---|---|
| `outside` | `n_words` has no smaller or no larger number: control there is not studied |
| `length` | the two prompts have different lengths in tokens, so that positions shift |
| `tokens` | they differ in more than the tokens of the numeral (a plural form, say) |
| `step` | the answer has no boundary step at which the smaller number of words is reached |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lengthlens.generation.answers import Request
from lengthlens.generation.steps import StepAnnotations
from lengthlens.generation.swaps import SWAPS, read_step

REASONS = ("outside", "length", "tokens", "step")


def why_prompts_differ(
    own: Sequence[int], other: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> str:
    """`length` or `tokens` where two prompts differ in more than their numerals; "" where not.

    A differing token belongs to the numeral if it holds a digit of it: nothing but the numbers
    differs in the digits of two such prompts.
    """
    if len(own) != len(other):
        return "length"
    differing = {
        token for pair in zip(own, other, strict=True) if pair[0] != pair[1] for token in pair
    }
    numerals = all(any(mark.isdigit() for mark in decode([token])) for token in differing)
    return "" if numerals else "tokens"


@dataclass(frozen=True)
class SwapText:
    """An answer that is forced under its own prompt and under those with other numbers.

    Attributes:
        request: its own prompt.
        swapped: the prompts with the next smaller and the next larger number, by swap; none where
            `n_words` has no such number.
        answer: its tokens.
        marks: of its steps, with its own N.
        differs: why the two prompts of a swap cannot be compared (`why_prompts_differ`), by swap.
    """

    request: Request
    swapped: Mapping[int, Request]
    answer: Sequence[int]
    marks: StepAnnotations
    differs: Mapping[int, str]

    def step(self, swap: int) -> int | None:
        """The step at which the smaller number of words is reached; None where there is none."""
        if swap not in self.swapped:
            return None
        return read_step(self.marks, min(self.request.prompt.n, self.swapped[swap].prompt.n))

    def reason(self, swap: int) -> str:
        """Why a swap is left out (module docstring); "" where it is legal."""
        if swap not in self.swapped:
            return "outside"
        return self.differs.get(swap, "") or ("step" if self.step(swap) is None else "")

    @property
    def legal(self) -> list[int]:
        """The swaps that are measured."""
        return [swap for swap in SWAPS if not self.reason(swap)]

    def longer(self, swap: int) -> float:
        """Tokens by which the prompt with the other number is longer; NaN where there is none."""
        if swap not in self.swapped:
            return np.nan
        return float(len(self.swapped[swap].tokens) - len(self.request.tokens))
