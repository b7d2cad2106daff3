"""What each generated token does to the word count: the columns of a sample's steps.

One step is one generated token. With w the number of words of the whole answer so far (everything
generated is counted, unedited; a stop token is not text):

- *sign*: a stop token +1 iff w = N; any other +1 iff the count after it is at most N; else −1;
- *boundary*: the token does not continue the last word: it is an ender (stop token or
  sentence-final punctuation) or the beginning of a new word, that is, the count grows or the token
  is of the vocabulary's `word` class;
- *thinking*: steps before the answer begins (`models.thinking`) have no words, sign 0, and are
  neither boundary nor decision;
- *decision*: the first boundary with w = N before it, where the model ends or overshoots. An
  answer that ended early, or was cut before that step, has none.

Three traps:

- Only the text decides, never the tokens one by one: the count comes from decoding the answer up
  to each token. It may shrink by a token; therefore the *first* step that qualifies counts.
- A character may take several tokens (emoji, rare letters), and its bytes are not counted before
  it is whole. The word that it begins starts at the first of these tokens, where the model decided
  on it; the token that makes the count grow later only completes it and is no boundary.
- A full stop inside "3.5" or "e.g." is an ender, hence a boundary: when it is written nobody can
  see that the word goes on. A mark spelled in bytes ("…" in three tokens) is no ender.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int8, Int32

from lengthlens.errors import LengthlensError
from lengthlens.language.words import count_words
from lengthlens.models.vocabulary import Vocabulary

Decode = Callable[[Sequence[int]], str]

_INCOMPLETE = "\ufffd"


@dataclass(frozen=True, eq=False)
class StepAnnotations:
    """One value a step; `decision` is true at most once."""

    is_stop: Bool[np.ndarray, " step"]
    words_before: Int32[np.ndarray, " step"]
    words_after: Int32[np.ndarray, " step"]
    sign: Int8[np.ndarray, " step"]
    boundary: Bool[np.ndarray, " step"]
    decision: Bool[np.ndarray, " step"]

    def __len__(self) -> int:
        return len(self.sign)

    @property
    def decision_step(self) -> int | None:
        """The decision step; None where there is none."""
        return first_step(self.decision)


def first_step(found: Bool[np.ndarray, " step"]) -> int | None:
    """The first step that is True; None where there is none."""
    return int(found.argmax()) if found.any() else None


def annotate_steps(
    tokens: Sequence[int],
    n: int,
    vocabulary: Vocabulary,
    decode: Decode,
    convention: str,
    start: int = 0,
) -> StepAnnotations:
    """Annotate the steps of one answer.

    Args:
        tokens: the generated ids, the stop token included where there is one.
        n: the number of words that was asked for.
        vocabulary: the classes of the model's token ids.
        decode: ids to text, special tokens left out (`models.text_decoder`).
        convention: how words are counted, one of `words.CONVENTIONS`.
        start: the step at which the answer begins; those before it are thinking.

    Raises:
        LengthlensError: an id outside of the vocabulary, or an unknown convention.
    """
    ids = _checked(tokens, vocabulary)
    is_stop, ender, word = (
        mask[ids] for mask in (vocabulary.stop, vocabulary.ender, vocabulary.word)
    )
    words_after = np.zeros(len(ids), dtype=np.int32)
    begins = np.zeros(len(ids), dtype=bool)
    text: list[int] = []
    count = 0
    opened = None  # the step that began the character at the end of the answer, if it is not whole
    for step, token in list(enumerate(ids.tolist()))[start:]:
        if not is_stop[step]:
            text.append(token)
            answer = decode(text)
            before, count = count, count_words(answer, convention)
            whole = not answer.endswith(_INCOMPLETE)
            begun = step if opened is None else opened
            if word[step] and (whole or count > before):
                begins[step] = True
            if count - before > word[step]:  # more words than the one that this token begins
                begins[begun] = True
            opened = None if whole else (step if count > before else begun)
        words_after[step] = count
    words_before = np.concatenate([[0], words_after[:-1]])[: len(ids)].astype(np.int32)
    answered = np.arange(len(ids)) >= start
    boundary = (ender | begins) & answered
    decision = np.zeros(len(ids), dtype=bool)
    decision[np.flatnonzero(boundary & (words_before == n))[:1]] = True
    keeps = np.where(is_stop, words_after == n, words_after <= n)
    return StepAnnotations(
        is_stop=is_stop,
        words_before=words_before,
        words_after=words_after,
        sign=np.where(keeps, 1, -1).astype(np.int8) * answered,
        boundary=boundary,
        decision=decision,
    )


def answer_text(tokens: Sequence[int], vocabulary: Vocabulary, decode: Decode) -> str:
    """The answer as text: everything generated, unedited, without stop tokens.

    Its number of words is the `words_after` of the answer's last step.
    """
    ids = _checked(tokens, vocabulary)
    return decode(ids[~vocabulary.stop[ids]].tolist())


def _checked(tokens: Sequence[int], vocabulary: Vocabulary) -> np.ndarray:
    ids = np.asarray(tokens, dtype=np.int64).reshape(-1)
    outside = ids[(ids < 0) | (ids >= len(vocabulary))]
    if len(outside):
        raise LengthlensError(
            f"Token {outside[0]} is outside of the vocabulary's {len(vocabulary)} ids; "
            "the answer was generated by another model."
        )
    return ids
