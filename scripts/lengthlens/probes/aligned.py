"""Aligned decoding: one step writes one whole word, or ends the sentence. For any model.

At every step only stop tokens, sentence-final punctuation and tokens that are one whole word of the
language (`whole_words`) may be chosen. Counting words and counting tokens are then the same task:
what still goes wrong is not the tokenizer's doing. The price is that the model may not say what it
would have said; it is recorded step by step:

- *cost*: log-probability of the token the model would have chosen minus that of the token it chose,
  in nats; 0 where the constraint changed nothing;
- *changed*: whether the two differ;
- *forced end*: it ended its sentence (stop token or punctuation) where it would have gone on.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lengthlens.decoding.choose import Chooser
from lengthlens.language.words import split_words
from lengthlens.probes.whole_words import WholeWords

DEGENERATE = ("empty", "loop", "forced end")
LONGEST_UNIT, REPEATS = 3, 3  # words, times


class Aligned:
    """A chooser that sees only whole words, sentence ends and stop tokens (module docstring).

    Attributes:
        cost, changed, forced_end: one entry a row and step, of the steps taken so far.
    """

    cost: Float[Tensor, "row step"]
    changed: Bool[Tensor, "row step"]
    forced_end: Bool[Tensor, "row step"]

    def __init__(
        self,
        whole: WholeWords,
        stop: Bool[Tensor, " vocabulary"],
        ender: Bool[Tensor, " vocabulary"],
        choose: Chooser,
        shape: tuple[int, int],
    ) -> None:
        """Args:
        whole: the words allowed.
        stop, ender: masks of the stop tokens, and of these with sentence-final punctuation.
        choose: chooses among the tokens that are left.
        shape: rows and steps at most.
        """
        first, later, marks = (
            torch.from_numpy(mask).to(stop.device)
            for mask in (whole.first, whole.later, whole.marks)
        )
        self._first = first | stop  # a sentence cannot end before it began
        self._later = later | marks | stop
        self._ender = ender
        self._choose = choose
        self.cost = torch.zeros(shape, dtype=torch.float64)
        self.changed = torch.zeros(shape, dtype=torch.bool)
        self.forced_end = torch.zeros(shape, dtype=torch.bool)

    def __call__(
        self, step: int, rows: Int[Tensor, " active"], logits: Float[Tensor, "active vocabulary"]
    ) -> Int[Tensor, " active"]:
        """Choose freely, then among what is allowed; record the difference."""
        free = self._choose(step, rows, logits)
        allowed = (self._later if step else self._first).to(logits.device)
        chosen = self._choose(step, rows, logits.masked_fill(~allowed, -torch.inf))
        both = torch.stack([free, chosen], dim=1)
        scores = torch.log_softmax(logits.double(), -1).gather(1, both)
        places = rows.cpu()
        self.cost[places, step] = (scores[:, 0] - scores[:, 1]).cpu()
        self.changed[places, step] = (free != chosen).cpu()
        ender = self._ender.to(logits.device)
        self.forced_end[places, step] = (ender[chosen] & ~ender[free]).cpu()
        return chosen


def degeneration(text: str, forced_end: bool) -> str:
    """Why an aligned answer says nothing of counting: one of DEGENERATE, or "".

    empty: no word; loop: up to 3 words that come 3 times or more in a row; forced end: the sentence
    was ended because no whole word was as likely as its end.
    """
    words = [word.lower() for word in split_words(text, "unicode")]
    if not words:
        return "empty"
    if has_loop(words):
        return "loop"
    return "forced end" if forced_end else ""


def has_loop(words: list[str]) -> bool:
    """Whether a unit of 1 to 3 words stands 3 times or more in a row."""
    return any(
        words[start : start + size] * REPEATS == words[start : start + REPEATS * size]
        for size in range(1, LONGEST_UNIT + 1)
        for start in range(len(words) - REPEATS * size + 1)
    )
