"""Counts, signs, boundaries and the decision of each generated token."""

from collections.abc import Sequence

import numpy as np
import pytest
from examples import at_least
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import byte_level_tokenizer, metaspace_tokenizer
from transformers import PreTrainedTokenizerBase

from lengthlens.errors import LengthlensError
from lengthlens.generation.steps import StepAnnotations, annotate_steps, answer_text
from lengthlens.language.words import CONVENTIONS, count_words
from lengthlens.models.loading import text_decoder
from lengthlens.models.vocabulary import CLASSES, Vocabulary, classify_vocabulary

SENTENCES = (
    "The small boats sail across a quiet sea.",
    "It was late; she wrote 24 letters, and nobody answered!",
    "Perché la nonna canta piano sotto le stelle?",
    "Il vento è così freddo: la città dorme!",
    "Mir ginn haut an eise Gaart, well et schéin ass.",
    "De Wand séngt roueg um Strand...",
)


class Answers:
    """A tokenizer with its vocabulary and decoder, and short ways to annotate answers."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[int]) -> None:
        self.tokenizer = tokenizer
        self.stop = stops[0]
        self.vocabulary = classify_vocabulary(tokenizer, stops, len(tokenizer))
        self.decode = text_decoder(tokenizer)

    def tokens(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def annotate(self, tokens: list[int], n: int, convention="whitespace") -> StepAnnotations:
        return annotate_steps(tokens, n, self.vocabulary, self.decode, convention)

    def text(self, tokens: list[int]) -> str:
        return answer_text(tokens, self.vocabulary, self.decode)


def tiny(build) -> Answers:
    tokenizer = build()
    return Answers(tokenizer, [tokenizer.eos_token_id])


BYTE_LEVEL, METASPACE = tiny(byte_level_tokenizer), tiny(metaspace_tokenizer)


@pytest.fixture(scope="module")
def llama(llama3) -> Answers:
    return Answers(llama3, [128_009, 128_001, 128_008])


@pytest.fixture(params=["byte level", "metaspace", "llama 3"])
def answers(request) -> Answers:
    if request.param == "llama 3":
        return request.getfixturevalue("llama")
    return BYTE_LEVEL if request.param == "byte level" else METASPACE


class Pieces:
    """A decoder over given pieces of bytes: token i writes the i-th; the last one stops.

    It shows any division of a text into tokens, whatever a real tokenizer would do.
    """

    def __init__(self, *pieces: str | bytes, classes: str) -> None:
        self.bytes = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
        initials = {name[0]: code for code, name in enumerate(CLASSES)}
        codes = [initials[letter] for letter in classes] + [initials["s"]]
        self.vocabulary = Vocabulary(np.array(codes, dtype=np.uint8))
        self.tokens = list(range(len(codes)))
        assert len(codes) == len(pieces) + 1

    def decode(self, tokens: Sequence[int]) -> str:
        return b"".join(self.bytes[token] for token in tokens).decode("utf-8", errors="replace")

    def annotate(self, n: int, convention: str = "whitespace") -> StepAnnotations:
        return annotate_steps(self.tokens, n, self.vocabulary, self.decode, convention)


def marks(mask: np.ndarray) -> str:
    return "".join("x" if value else "." for value in mask)


def signs(steps: StepAnnotations) -> str:
    return "".join("+" if sign > 0 else "-" for sign in steps.sign)


# --- real sentences ---------------------------------------------------------------------------


@pytest.mark.parametrize("sentence", SENTENCES)
def test_boundaries_are_where_words_begin_and_sentences_end(answers, sentence):
    """With space-separated words, a boundary is a word's first character or an ender."""
    coded = answers.tokenizer(sentence, return_offsets_mapping=True, add_special_tokens=False)
    starts = [place for place, character in enumerate(sentence)
              if character != " " and (place == 0 or sentence[place - 1] == " ")]  # fmt: skip
    first = {
        next(step for step, (a, b) in enumerate(coded["offset_mapping"]) if a <= start < b)
        for start in starts
    }
    assert len(first) == len(sentence.split())
    enders = set(np.flatnonzero(answers.vocabulary.ender[coded["input_ids"]]).tolist())
    steps = answers.annotate(coded["input_ids"], 5)
    assert set(np.flatnonzero(steps.boundary).tolist()) == first | enders


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_of_n_words_decides_at_its_final_mark(answers, sentence, convention):
    """All signs are +1, and the decision is the sentence's own full stop, then the stop token."""
    n = count_words(sentence, convention)
    tokens = [*answers.tokens(sentence), answers.stop]
    steps = answers.annotate(tokens, n, convention)
    assert signs(steps) == "+" * len(tokens)
    assert np.flatnonzero(steps.decision).tolist() == [len(tokens) - 2]
    assert answers.vocabulary.final[tokens[-2]]

    short, long = (answers.annotate(tokens, n + d, convention) for d in (1, -1))
    assert signs(short) == "+" * (len(tokens) - 1) + "-" and not short.decision.any()
    overshoot = int(np.flatnonzero(long.words_after == n)[0])
    assert signs(long) == "+" * overshoot + "-" * (len(tokens) - overshoot)
    [decision] = np.flatnonzero(long.decision)
    assert decision <= overshoot and long.words_before[decision] == n - 1


def test_answer_text_is_unedited(answers):
    sentence = "  Il mare , la  mattina .\n\n"
    tokens = answers.tokens(sentence)
    assert answers.text([*tokens, answers.stop]) == sentence


# --- Llama 3's tokens -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("convention", "text", "boundary", "words"),
    [
        # L ' ac qua | dell ' is ola | è | più | chi ara .
        ("whitespace", "L'acqua dell'isola è più chiara.", "x...x...xxx.x", 5),
        ("unicode", "L'acqua dell'isola è più chiara.", "x...x...xxx.x", 5),
        ("elision", "L'acqua dell'isola è più chiara.", "x.x.x.x.xxx.x", 7),
        # He | said : | " It | is | late !"⏎⏎
        ("whitespace", 'He said: "It is late!"\n\n', "xx.x.xxx", 5),
        ("unicode", 'He said: "It is late!"\n\n', "xx..xxxx", 5),
        # the | well -known | ( old ) | sea - side
        ("whitespace", " the well-known (old) sea-side", "xx.x..x.", 4),
        ("unicode", " the well-known (old) sea-side", "xxx.x.xx", 6),
        # In _ 202 4 | it 's _ | 3 . 5 | km
        ("whitespace", "In 2024 it's 3.5 km", "x.x.x..xx.x", 5),
        # ends of sentences set apart by a space count as words only where spaces count
        ("whitespace", "Et ass schéin !", "xxx..x", 4),
        ("unicode", "Et ass schéin !", "xxx..x", 3),
    ],
)
def test_llama3_boundaries(llama, convention, text, boundary, words):
    steps = llama.annotate(llama.tokens(text), 3, convention)
    assert steps.words_after[-1] == words
    assert marks(steps.boundary) == boundary


def test_llama3_emoji_of_several_tokens(llama):
    """A word begins at the first of its bytes; the byte that makes it countable is no boundary."""
    tokens = llama.tokens("ok 🦩 yes")
    assert len(tokens) > 4
    middle = "x" + "." * (len(tokens) - 3)
    steps = llama.annotate(tokens, 1)
    assert marks(steps.boundary) == "x" + middle + "x"
    assert np.flatnonzero(steps.decision).tolist() == [1]
    assert steps.words_after[-1] == 3
    unicode = llama.annotate(tokens, 1, "unicode")
    assert marks(unicode.boundary) == "x" + "." * len(middle) + "x"
    assert unicode.words_after[-1] == 2


# --- corner cases, token by token -------------------------------------------------------------


def test_an_answer_that_stops_at_once():
    steps = Pieces(classes="").annotate(3)
    assert signs(steps) == "-" and marks(steps.boundary) == "x" and not steps.decision.any()
    assert steps.words_before.tolist() == steps.words_after.tolist() == [0]


def test_no_tokens_at_all():
    steps = annotate_steps([], 3, Vocabulary(np.zeros(1, np.uint8)), lambda ids: "", "whitespace")
    assert len(steps) == 0 and steps.decision.dtype == bool and steps.sign.dtype == np.int8


def test_the_first_word_needs_no_space_and_white_space_is_no_word():
    steps = Pieces("\n\n", "The", " sea", ".", classes="ocwf").annotate(2)
    assert marks(steps.boundary) == ".xxxx"
    assert steps.words_after.tolist() == [0, 1, 2, 2, 2]
    assert marks(steps.decision) == "...x." and signs(steps) == "+++++"


def test_overshooting_after_a_comma_decides_at_the_word_and_not_at_the_comma():
    steps = Pieces("The", " sea", ",", " calm", " a", "nd", classes="cwowwc").annotate(2)
    assert marks(steps.decision) == "...x..."
    assert signs(steps) == "+++----"


def test_a_line_break_begins_the_next_word():
    steps = Pieces("The", " sea", "\n", "Calm", "\nand", classes="cwocw").annotate(2)
    assert marks(steps.boundary) == "xx.xxx" and marks(steps.decision) == "...x.."


def test_a_number_is_cut_by_its_own_point_which_is_an_ender():
    """The limit that the module states: at "3" "." nobody knows that "5" follows."""
    steps = Pieces("It", " is", " 3", ".", "5", " km", classes="cwwfcw").annotate(3)
    assert marks(steps.boundary) == "xxxx.xx" and marks(steps.decision) == "...x..."
    assert signs(steps) == "+++++--"


def test_only_the_first_of_several_enders_decides():
    steps = Pieces("A", " b", ".", '"', "\n", classes="cwfoo").annotate(2)
    assert marks(steps.decision) == "..x..." and signs(steps) == "++++++"


def test_a_quote_opens_a_word_only_where_spaces_count():
    pieces = Pieces("He", ' "', "runs", '."', classes="cocf")
    assert marks(pieces.annotate(2).boundary) == "xx.xx"
    assert marks(pieces.annotate(2, "unicode").boundary) == "x.xxx"


def test_an_elided_article_is_a_word_only_under_elision():
    pieces = Pieces("l", "'", "acqua", classes="coc")
    assert pieces.annotate(2).words_after.tolist() == [1, 1, 1, 1]
    elision = pieces.annotate(2, "elision")
    assert elision.words_after.tolist() == [1, 1, 2, 2] and marks(elision.boundary) == "x.xx"


def test_a_letter_in_two_tokens_after_a_space_of_its_own():
    """As SentencePiece spells "è": "▁" "<0xC3>" "<0xA8>"; the word goes on after it."""
    pieces = Pieces("a", " ", b"\xc3", b"\xa8", "x", " b", classes="cocccw")
    steps = pieces.annotate(1)
    assert steps.words_after.tolist() == [1, 1, 1, 2, 2, 3, 3]
    assert marks(steps.boundary) == "x.x..xx" and marks(steps.decision) == "..x...."
    assert signs(steps) == "+++----"


def test_characters_without_spaces_between_them_each_begin_where_their_bytes_do():
    sea, hill = "海".encode(), "山".encode()
    pieces = Pieces(sea[:2], sea[2:], hill[:1], hill[1:], classes="cccc")
    steps = pieces.annotate(1, "unicode")
    assert steps.words_after.tolist() == [0, 1, 1, 2, 2]
    assert marks(steps.boundary) == "x.x.x" and marks(steps.decision) == "..x.."
    assert marks(pieces.annotate(1).boundary) == "x...x"


def test_a_token_that_ends_one_character_and_begins_another():
    both = "海山".encode()
    steps = Pieces(both[:2], both[2:5], both[5:], classes="ccc").annotate(2, "unicode")
    assert steps.words_after.tolist() == [0, 1, 2, 2]
    assert marks(steps.boundary) == "xx.x" and marks(steps.decision) == "...x"


def test_a_final_mark_spelled_in_bytes_is_no_ender():
    """No single one of its tokens ends a sentence; the stop token after it decides."""
    mark = "…".encode()
    steps = Pieces("a", mark[:1], mark[1:], classes="ccc").annotate(1)
    assert marks(steps.boundary) == "x..x" and marks(steps.decision) == "...x"


def test_an_answer_cut_inside_a_character():
    steps = Pieces("a", " ", b"\xf0\x9f", classes="coc").annotate(1)
    assert steps.words_after.tolist() == [1, 1, 1, 1]
    assert marks(steps.boundary) == "x..x" and signs(steps) == "++++"


def test_bytes_that_never_become_a_character():
    pieces = Pieces("a", b" \xf0", " b", classes="cww")
    steps = pieces.annotate(1)
    assert steps.words_after.tolist() == [1, 1, 3, 3]
    assert marks(steps.boundary) == "xxxx" and marks(steps.decision) == ".x.."
    unicode = pieces.annotate(1, "unicode")
    assert unicode.words_after.tolist() == [1, 1, 2, 2]
    assert marks(unicode.boundary) == "x.xx" and marks(unicode.decision) == "..x."


def test_a_count_that_shrinks_decides_at_the_first_step_that_qualifies():
    """A decoder may join what were two words; the count follows the text."""
    texts = {0: "", 1: "a", 2: "a b", 3: "ab", 4: "ab c", 5: "ab c."}
    vocabulary = Vocabulary(np.array([3, 2, 3, 2, 1, 0], dtype=np.uint8))
    steps = annotate_steps(
        [0, 1, 2, 3, 4, 5], 1, vocabulary, lambda ids: texts[len(ids)], "whitespace"
    )
    assert steps.words_after.tolist() == [1, 2, 1, 2, 2, 2]
    assert marks(steps.boundary) == "xx.xxx" and marks(steps.decision) == ".x...."
    assert signs(steps) == "+-+---"


def test_a_foreign_token_is_refused():
    with pytest.raises(LengthlensError, match="Token 999999 is outside of the vocabulary's"):
        BYTE_LEVEL.annotate([5, 999_999], 3)
    with pytest.raises(LengthlensError, match="Token -1"):
        BYTE_LEVEL.text([-1])


def test_an_unknown_convention_is_refused():
    with pytest.raises(LengthlensError, match="'letters'"):
        BYTE_LEVEL.annotate(BYTE_LEVEL.tokens("The sea."), 3, "letters")


# --- any tokens at all ------------------------------------------------------------------------


@settings(max_examples=at_least(200), deadline=None)
@given(
    where=st.sampled_from([BYTE_LEVEL, METASPACE]),
    seeds=st.lists(st.integers(0, 479), max_size=30),
    n=st.integers(1, 8),
    convention=st.sampled_from(CONVENTIONS),
)
def test_definitions_hold_for_any_tokens(where: Answers, seeds, n, convention):
    """Each column against its definition, every prefix decoded and counted afresh.

    Of boundaries only those between whole characters: for the others see the cases above.
    """
    tokens = [seed % len(where.tokenizer) for seed in seeds]
    steps = where.annotate(tokens, n, convention)
    counts = [count_words(where.text(tokens[:end]), convention) for end in range(len(tokens) + 1)]
    assert steps.words_before.tolist() == counts[:-1]
    assert steps.words_after.tolist() == counts[1:]
    assert (steps.words_after[:-1] == steps.words_before[1:]).all()
    stop, ender, word = (
        [bool(mask[token]) for token in tokens]
        for mask in (where.vocabulary.stop, where.vocabulary.ender, where.vocabulary.word)
    )
    assert steps.is_stop.tolist() == stop
    for step in range(len(tokens)):
        after = counts[step + 1]
        keeps = after == n if stop[step] else after <= n
        assert steps.sign[step] == (1 if keeps else -1)

    qualifying = np.flatnonzero(steps.boundary & (steps.words_before == n))
    assert np.flatnonzero(steps.decision).tolist() == qualifying[:1].tolist()

    whole = [not where.text(tokens[:end]).endswith("\ufffd") for end in range(len(tokens) + 1)]
    for step in range(len(tokens)):
        if ender[step]:
            assert steps.boundary[step]
        elif whole[step] and whole[step + 1]:
            grew = counts[step + 1] > counts[step]
            assert steps.boundary[step] == (grew or word[step])
