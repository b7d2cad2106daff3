"""Sorting a model's vocabulary into what ends an answer, begins a word, continues one, or neither.

The classes are a property of the tokenizer alone and are found in three steps, whatever its kind
(byte-level as GPT-2's and Llama 3's, SentencePiece's with "▁" and "<0x0A>", WordPiece's "##"):

1. decode every token after a complete word, so that the tokenizer itself tells where it puts a
   space and how it spells bytes;
2. let special tokens, added tokens that are not plain words (`<think>`) and rows of the output
   matrix without a token be `other`;
3. match the rest against patterns over Unicode properties.

| class | a token that … | as decoded |
|---|---|---|
| stop | is of the model's stop set | `<|eot_id|>` |
| final | is sentence-final punctuation, with quotes, brackets, line breaks | `.` ` .` `?"` `.⏎⏎` |
| word | begins a new word after a complete one | ` sea` ` "The` ` 3` `⏎The` |
| continuation | goes on with the word before it, or begins a text | `ing` `'s` `-side` `ë` |
| other | is none of these | `,` ` (` ` –` `⏎⏎` `<|pad|>` |

Limits, by design:

- Scripts without spaces (Chinese, Japanese, Thai, …) begin their words without a mark, so nearly
  all of their tokens are `continuation`: an end margin, which needs word-beginning tokens, means
  little there.
- A token that is part of a character (incomplete UTF-8) is a continuation, or a word where a
  space precedes it: which character it will become is not known yet.
- "." is final wherever it stands: a token's class knows no context, so the stops of "3.5" and
  "e.g." count as enders.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import regex
from jaxtyping import Bool, UInt8
from transformers import PreTrainedTokenizerBase

from lengthlens.errors import LengthlensError
from lengthlens.models.loading import text_decoder

CLASSES = ("stop", "final", "word", "continuation", "other")
STOP, FINAL, WORD, CONTINUATION, OTHER = range(len(CLASSES))

_INCOMPLETE = "\ufffd"
# Sentence_Terminal is Unicode's list of marks that end a sentence (UAX #29); it lacks the ellipsis.
_MARK = r"[\p{Sentence_Terminal}…]"
# Closing brackets and all quotation marks (“ closes in some languages), and Markdown's star. Before
# the mark and after a space only what can do nothing but close: in ` "...` the quote opens.
_CLOSER = r"""[\p{Pe}\p{Pi}\p{Pf}"'*]"""
_BEFORE = rf"(?:\s++[\p{{Pe}}\p{{Pf}}]*+|{_CLOSER}*+)"
_FINAL = regex.compile(rf"{_BEFORE}{_MARK}(?:{_CLOSER}|{_MARK})*+\s*+")
_LETTER = r"[\p{L}\p{N}\p{M}]"
_HAS_LETTER = regex.compile(_LETTER)
# A space before the first letter; "\ufffd" stands for a character that is not whole yet.
_WORD = regex.compile(rf"[^\p{{L}}\p{{N}}\p{{M}}\s{_INCOMPLETE}]*+\s")
# Added tokens that are plain words, such as those of an extended vocabulary.
_PLAIN = regex.compile(rf"\s?{_LETTER}(?:{_LETTER}|['’-])*")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The class of every token id.

    `classes` holds for each row of the output matrix an index into `CLASSES`: every id has exactly
    one class. The masks select ids by class; `ender` is the union of `stop` and `final`.
    """

    classes: UInt8[np.ndarray, " vocab"]

    def __len__(self) -> int:
        return len(self.classes)

    def _is(self, *kinds: int) -> Bool[np.ndarray, " vocab"]:
        mask = np.isin(self.classes, kinds)
        mask.flags.writeable = False
        return mask

    stop = cached_property(lambda self: self._is(STOP))
    final = cached_property(lambda self: self._is(FINAL))
    word = cached_property(lambda self: self._is(WORD))
    continuation = cached_property(lambda self: self._is(CONTINUATION))
    other = cached_property(lambda self: self._is(OTHER))
    ender = cached_property(lambda self: self._is(STOP, FINAL))

    def summary(self) -> dict[str, int]:
        """The number of ids in each class; they add up to the size of the vocabulary."""
        counts = np.bincount(self.classes, minlength=len(CLASSES))
        return dict(zip(CLASSES, counts.tolist(), strict=True))


def classify_vocabulary(
    tokenizer: PreTrainedTokenizerBase, stop_ids: Iterable[int], vocab_size: int
) -> Vocabulary:
    """The class of each of the `vocab_size` rows of a model's output matrix.

    Args:
        tokenizer: the model's tokenizer.
        stop_ids: the model's stop set; these ids are `stop` whatever they look like.
        vocab_size: rows of the output matrix; those beyond the tokenizer are `other`.

    Raises:
        LengthlensError: a stop id has no row, or the tokenizer cannot write a letter.
    """
    stops = sorted(set(stop_ids))
    outside = [token for token in stops if not 0 <= token < vocab_size]
    if outside:
        raise LengthlensError(
            f"Stop tokens {outside} are outside of the model's {vocab_size} output rows; the "
            "tokenizer or the generation config belongs to another model."
        )
    added = tokenizer.added_tokens_decoder
    classes = np.full(vocab_size, OTHER, dtype=np.uint8)
    ids = [token for token in sorted(set(tokenizer.get_vocab().values())) if token < vocab_size]
    for token, text in zip(ids, surfaces(tokenizer, ids), strict=True):
        if token in added and (added[token].special or not _PLAIN.fullmatch(text)):
            continue
        classes[token] = class_of(text)
    classes[stops] = STOP
    classes.flags.writeable = False
    return Vocabulary(classes)


def surfaces(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """What each of the tokens `ids` adds to a text when it follows a complete word.

    Bytes that are no whole character read U+FFFD.
    """
    # Decoded alone, a token loses the space that begins it in SentencePiece's tokenizers.
    anchor = tokenizer.encode("a", add_special_tokens=False)
    before = _decode(tokenizer, [anchor])[0]
    if not before.endswith("a"):
        raise LengthlensError(
            f"The tokenizer writes 'a' as {before!r}: without letters its vocabulary cannot be "
            "sorted into words and their continuations."
        )
    texts = _decode(tokenizer, [[*anchor, token] for token in ids])
    return [text.removeprefix(before) for text in texts]


def _decode(tokenizer: PreTrainedTokenizerBase, rows: list[list[int]]) -> list[str]:
    if tokenizer.is_fast:
        # One call into the tokenizers library: a second for 128,000 tokens instead of several.
        return tokenizer.backend_tokenizer.decode_batch(rows, skip_special_tokens=False)
    return list(map(text_decoder(tokenizer, special=True), rows))


def class_of(text: str) -> int:
    """The class of an ordinary token by the text it adds after a complete word."""
    if not text or text.isspace():
        return OTHER
    if _INCOMPLETE not in text:
        if _FINAL.fullmatch(text):
            return FINAL
        if not _HAS_LETTER.search(text):
            return OTHER
    return WORD if _WORD.match(text) else CONTINUATION
