"""Which words of a language are one token of a model's vocabulary.

1. The *lexicon*: every word of the language's resources (topics, templates, neutral sentences) and
   of the run's own free answers in it, regardless of capitals.
2. A word is *whole* where a token adds just that word, with a space before it, as it is written, in
   small letters or with a capital. At the start of an answer the form without a space counts too.
3. Kept are only words that every counting convention counts as one, so that one token is one word
   whatever the configuration says a word is.

The share of the lexicon that is whole says how far the vocabulary allows aligned decoding at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from transformers import PreTrainedTokenizerBase

from lengthlens.language.languages import Language
from lengthlens.language.words import CONVENTIONS, count_words, split_words
from lengthlens.models.vocabulary import Vocabulary, surfaces

_PLACEHOLDER = re.compile(r"\{\w+\}")


@dataclass(frozen=True, eq=False)
class WholeWords:
    """The part of a vocabulary that writes a language one word a token.

    Attributes:
        first: tokens that are one whole word at the start of an answer.
        later: tokens that are one whole word after another word.
        marks: sentence-final punctuation that joins the word before it.
        n_words: words of the lexicon.
        n_whole: how many of them are one token after another word.
    """

    first: Bool[np.ndarray, " vocabulary"]
    later: Bool[np.ndarray, " vocabulary"]
    marks: Bool[np.ndarray, " vocabulary"]
    n_words: int
    n_whole: int


def language_words(language: Language) -> set[str]:
    """Words of a language's topics, templates and neutral sentences."""
    texts = [_PLACEHOLDER.sub(" ", template.text) for template in language.templates]
    for topic in language.topics:
        texts += [*topic.forms.values(), *topic.words]
    return words_of([*texts, *language.neutral])


def words_of(texts: Iterable[str]) -> set[str]:
    """The words of texts, without punctuation, in small letters and as they are written."""
    written = {word for text in texts for word in split_words(text, "unicode")}
    return written | {word.lower() for word in written}


def whole_words(
    tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary, words: Iterable[str]
) -> WholeWords:
    """Find the tokens that are whole words of a lexicon.

    Args:
        tokenizer: the model's tokenizer.
        vocabulary: the classes of its tokens.
        words: the lexicon; words that differ in capitals only are one.
    """
    spelling = np.flatnonzero(vocabulary.word | vocabulary.continuation).tolist()
    tokens_of: dict[str, list[int]] = {}
    for token, text in zip(spelling, surfaces(tokenizer, spelling), strict=True):
        tokens_of.setdefault(text, []).append(token)
    first, later = np.zeros((2, len(vocabulary)), dtype=bool)
    distinct: dict[str, bool] = {}
    for word in words:
        whole = False
        for form in {word, word.lower(), word[:1].upper() + word[1:]}:
            if any(count_words(form, convention) != 1 for convention in CONVENTIONS):
                continue
            spaced = tokens_of.get(f" {form}", [])
            later[spaced] = True
            first[[*spaced, *tokens_of.get(form, [])]] = True
            whole |= bool(spaced)
        key = word.lower()
        distinct[key] = distinct.get(key, False) or whole
    return WholeWords(
        first, later, _joining_marks(tokenizer, vocabulary), len(distinct), sum(distinct.values())
    )


def _joining_marks(
    tokenizer: PreTrainedTokenizerBase, vocabulary: Vocabulary
) -> Bool[np.ndarray, " vocabulary"]:
    """Sentence-final punctuation without a space before it, which `whitespace` would count."""
    finals = np.flatnonzero(vocabulary.final)
    joins = [not text[:1].isspace() for text in surfaces(tokenizer, finals.tolist())]
    marks = np.zeros(len(vocabulary), dtype=bool)
    marks[finals[np.array(joins, dtype=bool)]] = True
    return marks
