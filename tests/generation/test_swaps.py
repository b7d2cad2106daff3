"""Which numbers are swapped, which swaps are legal, and where the margin is read."""

from __future__ import annotations

import numpy as np
import pytest

from lengthlens.generation.steps import StepAnnotations
from lengthlens.generation.swaps import (
    ELSEWHERE,
    LENGTH,
    NO_READ_STEP,
    Swap,
    neighbour,
    read_step,
    swap_answer,
)


def spell(tokens) -> str:
    """Tokens below 10 are digits; 23 is the number 23; others are letters."""
    return "".join(str(t) if t < 10 or t == 23 else " x" for t in tokens)


def marks(words_before: list[int], boundary: list[bool]) -> StepAnnotations:
    n = len(words_before)
    nothing = np.zeros(n, dtype=bool)
    words = np.array(words_before, dtype=np.int32)
    return StepAnnotations(
        nothing, words, words, np.ones(n, dtype=np.int8), np.array(boundary), nothing
    )


# Three words of two tokens each, then the end, which is a boundary with three words before it.
ANSWER = [50, 51, 60, 61, 70, 71, 2]
MARKS = marks([0, 1, 1, 2, 2, 3, 3], [True, False, True, False, True, False, True])


@pytest.mark.parametrize(
    ("n", "swap", "expected"),
    [(3, 1, 5), (5, -1, 3), (5, 1, 9), (3, -1, None), (9, 1, None)],
)
def test_the_neighbour_is_the_next_number_of_the_study(n, swap, expected) -> None:
    """With [9, 3, 5] the swap +1 of 3 is 5, and 9 has none: the model was never asked for 10."""
    assert neighbour(n, [9, 3, 5], swap) == expected


def test_the_read_step_is_the_first_boundary_with_so_many_words() -> None:
    assert [read_step(MARKS, n) for n in (0, 1, 2, 3, 4)] == [0, 2, 4, 6, None]


def test_a_legal_swap_knows_its_runs() -> None:
    """+1: its own prompt is the reached run, read at its decision; -1: it is the other one."""
    own, larger, smaller = (3, [40, 3, 41]), (4, [40, 4, 41]), (2, [40, 2, 41])
    up = swap_answer(own, larger, ANSWER, MARKS, spell)
    assert up == Swap(1, 3, 4, (40, 3, 41), (40, 4, 41), tuple(ANSWER[:6]), 1)
    assert (up.own_is_reached, up.last, up.first_generated) == (True, 8, 2)
    down = swap_answer(own, smaller, ANSWER, MARKS, spell)
    assert down == Swap(-1, 3, 2, (40, 2, 41), (40, 3, 41), tuple(ANSWER[:4]), 1)
    assert not down.own_is_reached


@pytest.mark.parametrize(
    ("own", "swapped", "reason"),
    [
        ((3, [40, 3, 41]), (4, [40, 4, 4, 41]), LENGTH),
        ((3, [40, 3, 41]), (4, [40, 4, 42]), ELSEWHERE),  # a plural, say
        ((3, [40, 3, 41]), (4, [45, 4, 41]), ELSEWHERE),
        ((3, [40, 3, 41]), (4, [40, 3, 41]), ELSEWHERE),  # the numeral is not in the prompt
        ((3, [40, 5, 41]), (4, [40, 4, 41]), ELSEWHERE),  # another number changes
        ((3, [40, 3, 41, 5]), (4, [40, 4, 41, 6]), ELSEWHERE),  # beside N
        ((9, [40, 9, 41]), (8, [40, 8, 41]), NO_READ_STEP),
    ],
)
def test_other_swaps_are_refused_with_their_reason(own, swapped, reason) -> None:
    assert swap_answer(own, swapped, ANSWER, MARKS, spell) == reason


def test_a_numeral_may_have_several_tokens() -> None:
    """Of 12 and 13 the second digit alone differs; 22 and 23 differ in one token or in two."""
    marks_of_12 = marks([12], [True])
    found = swap_answer((12, [40, 1, 2]), (13, [40, 1, 3]), [2], marks_of_12, spell)
    assert isinstance(found, Swap) and found.numeral == 2
    merged = swap_answer((22, [40, 2, 2]), (23, [40, 23]), [2], marks([22], [True]), spell)
    assert merged == LENGTH


def test_a_prompt_may_name_the_number_twice() -> None:
    """Both numerals may change, and nothing else; what can be patched begins at the first."""
    own, larger = (3, [40, 3, 41, 3, 42]), (4, [40, 4, 41, 4, 42])
    found = swap_answer(own, larger, ANSWER, MARKS, spell)
    assert isinstance(found, Swap) and found.numeral == 1
    assert found.swapped == found.other == (40, 4, 41, 4, 42)
    changed = (4, [40, 4, 43, 4, 42])
    assert swap_answer(own, changed, ANSWER, MARKS, spell) == ELSEWHERE


def test_a_token_of_the_numeral_may_hold_more_than_digits() -> None:
    """As roles have it: what shares a character with the number belongs to it."""

    def glued(tokens) -> str:
        return "".join({3: "3.", 4: "4."}.get(token, " x") for token in tokens)

    assert isinstance(swap_answer((3, [40, 3]), (4, [40, 4]), ANSWER, MARKS, glued), Swap)
