"""Of how many tokens each word of an answer is made."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lengthlens.generation.steps import Decode, annotate_steps
from lengthlens.models.vocabulary import Vocabulary


def tokens_by_word(
    tokens: Sequence[int],
    n: int,
    vocabulary: Vocabulary,
    decode: Decode,
    convention: str,
    start: int = 0,
) -> list[int]:
    """Tokens of each of the first `n` words of an answer, in order.

    Words beyond the n-th are left out, so that their number says nothing of how far an answer
    overshoots; so are punctuation and stop tokens, of which a short answer has more a word. A word
    that punctuation alone makes up (" –", which `whitespace` counts) has none and is left out.

    Args:
        tokens: the generated ids.
        n: the number of words that was asked for.
        vocabulary: the classes of the model's token ids.
        decode: ids to text.
        convention: how words are counted.
        start: where the answer begins, after thinking.
    """
    marks = annotate_steps(tokens, n, vocabulary, decode, convention, start=start)
    ids = np.asarray(tokens, dtype=np.int64).reshape(-1)
    spelling = vocabulary.word[ids] | vocabulary.continuation[ids]
    # NOTE bytes of a character that is not whole yet still count to the word before it
    within = spelling & (marks.words_after >= 1) & (marks.words_after <= n)
    counts = np.bincount(marks.words_after[within])
    return counts[counts > 0].tolist()
