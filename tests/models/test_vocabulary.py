"""The vocabulary's sorting: each id one class, and the right one, on each family of tokenizers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizers import byte_level_tokenizer, with_added, word_piece_tokenizer
from transformers import ByT5Tokenizer

from lengthlens.errors import LengthlensError
from lengthlens.models.vocabulary import (
    CLASSES,
    Vocabulary,
    class_of,
    classify_vocabulary,
    surfaces,
)

LLAMA3_STOPS = (128_001, 128_008, 128_009)
LLAMA3_ROWS = 128_256

# What a token of each class adds to a text that ends in a complete word.
FINAL = [".", " .", "!", "?", "…", "...", " ...", "?!", "!!!", '."', '?"', "!)", ".)", '.")', ").",
         ".”", ".“", "?»", " ».", "!’", "。", "！", "？", "。」", "؟", "।", ".\n", ".\n\n",
         '."\n\n', "...\n", "!\n\n", ".*", "\n."]  # fmt: skip
WORD = [" sea", " Sea", " è", " l'acqua", " d'", ' "The', " (the", " «Il", " 'tis", " „Et", " 3",
        " 1984", "\nThe", "\n\nIl", "\tx", " -side", "\u00a0mare", " ë", " 海", " .com", ".\nThe",
        ", and", " \ufffd", "\n\ufffd", " th\ufffd"]  # fmt: skip
CONTINUATION = ["ing", "The", "s", "'s", "’ac", "-side", "ë", "é", "3", ".com", '"The', "(the",
                "海", "\ufffd", "\ufffd\ufffd", "e\ufffd", "\u0301", "a.", "d'",
                "of the", "\ufffd the"]  # fmt: skip
OTHER = ["", " ", "\n", "\n\n", " \n", "\t", ",", ";", ":", "-", " –", "—", "'", '"', ' "', " (",
         ")", ")\n\n", " «", ' "...', "¿", " ¡", "€", " 😀", "**", ".(", "./", ".,",
         "...("]  # fmt: skip


@pytest.fixture(scope="module")
def llama3_vocabulary(llama3) -> Vocabulary:
    return classify_vocabulary(llama3, LLAMA3_STOPS, LLAMA3_ROWS)


# --- one text, one class ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [(text, kind)
     for kind, texts in (("final", FINAL), ("word", WORD), ("continuation", CONTINUATION),
                         ("other", OTHER))
     for text in texts],
)  # fmt: skip
def test_class_of_a_surface(text, kind):
    assert CLASSES[class_of(text)] == kind


@given(st.text("aé3 \n.!?…\"')»(,*-\ufffd", max_size=6) | st.text(max_size=4))
def test_every_text_has_a_class_that_fits_it(text):
    kind = CLASSES[class_of(text)]
    if kind == "word":
        assert any(character.isspace() for character in text)
    if any(character.isalpha() for character in text):
        assert kind in ("word", "continuation")


# --- whole vocabularies -----------------------------------------------------------------------


@pytest.mark.parametrize("family", ["byte_level", "metaspace"])
def test_each_id_has_exactly_one_class(family, request):
    tokenizer = request.getfixturevalue(family)
    rows = len(tokenizer) + 16
    vocabulary = classify_vocabulary(tokenizer, [tokenizer.eos_token_id], rows)
    masks = [vocabulary.stop, vocabulary.final, vocabulary.word, vocabulary.continuation,
             vocabulary.other]  # fmt: skip
    assert (np.sum(masks, axis=0) == 1).all()
    assert vocabulary.summary() == {
        name: int(mask.sum()) for name, mask in zip(CLASSES, masks, strict=True)
    }
    assert sum(vocabulary.summary().values()) == len(vocabulary) == rows
    assert (vocabulary.ender == (vocabulary.stop | vocabulary.final)).all()
    assert vocabulary.other[len(tokenizer) :].all()
    assert np.flatnonzero(vocabulary.stop).tolist() == [tokenizer.eos_token_id]
    assert not vocabulary.classes.flags.writeable and not vocabulary.ender.flags.writeable


def check_classes(tokenizer, vocabulary, expected: dict[str, list[str]]) -> None:
    """Pieces of a vocabulary are of the classes under which they are listed."""
    ids = tokenizer.get_vocab()
    for kind, pieces in expected.items():
        found = {piece: CLASSES[vocabulary.classes[ids[piece]]] for piece in pieces}
        assert found == dict.fromkeys(pieces, kind)


def test_byte_level_pieces(byte_level):
    vocabulary = classify_vocabulary(byte_level, [byte_level.eos_token_id], len(byte_level))
    expected = {
        "final": [".", "!", "?", "...", '."', ".)"],
        "word": ["Ġthe", "ĠÃ¨", "Ġmare", "ĠM"],
        "continuation": ["ing", "The", "Ã¨", "'acqua", "Ã", "©", "19", "s"],
        "other": ["Ġ", "Ċ", "ĊĊ", ",", ":", 'Ġ"', "Ġ(", "'", "<|begin|>", "<|pad|>", "<|start|>"],
    }
    check_classes(byte_level, vocabulary, expected)


def test_metaspace_pieces(metaspace):
    vocabulary = classify_vocabulary(metaspace, [metaspace.eos_token_id], len(metaspace))
    expected = {
        "final": [".", "!", "?", "...", '."', ".)", "<0x2E>", "<0x21>", "<0x3F>"],
        "word": ["▁the", "▁è", "▁mare", "▁3"],
        "continuation": ["ing", "The", "è", "acqua", "<0xC3>", "<0xA9>", "<0x41>", "19"],
        "other": ["▁", "<0x0A>", "<0x20>", "<0x2C>", ",", ":", '▁"', "▁(", "'", "<s>", "<unk>"],
    }
    check_classes(metaspace, vocabulary, expected)


def test_word_piece_marks_continuations_instead_of_beginnings():
    tokenizer = word_piece_tokenizer()
    vocabulary = classify_vocabulary(tokenizer, [tokenizer.eos_token_id], len(tokenizer))
    kinds = {piece: CLASSES[vocabulary.classes[token]]
             for piece, token in tokenizer.get_vocab().items()}  # fmt: skip
    assert kinds["sea"] == "word" and kinds["##side"] == "continuation"
    assert kinds["."] == "final" and kinds[","] == "other" and kinds["[SEP]"] == "stop"


def test_a_tokenizer_without_the_fast_library():
    tokenizer = ByT5Tokenizer(extra_ids=0)
    assert not tokenizer.is_fast
    vocabulary = classify_vocabulary(tokenizer, [tokenizer.eos_token_id], len(tokenizer))
    kinds = {character: CLASSES[vocabulary.classes[tokenizer.convert_tokens_to_ids(character)]]
             for character in "a7. ,"}  # fmt: skip
    assert kinds == {"a": "continuation", "7": "continuation", ".": "final", " ": "other",
                     ",": "other"}  # fmt: skip


def test_added_tokens_are_other_unless_they_are_plain_words():
    tokenizer = with_added(byte_level_tokenizer(), " zug", "tromp", "<think>", "  ", " [a]")
    vocabulary = classify_vocabulary(tokenizer, [tokenizer.eos_token_id], len(tokenizer))
    last = [CLASSES[kind] for kind in vocabulary.classes[-5:]]
    assert last == ["word", "continuation", "other", "other", "other"]


def test_special_tokens_are_other_whatever_they_look_like():
    tokenizer = byte_level_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["assistant"]})
    vocabulary = classify_vocabulary(tokenizer, [tokenizer.eos_token_id], len(tokenizer))
    assert vocabulary.other[tokenizer.convert_tokens_to_ids("assistant")]


def test_stop_tokens_are_stop_whatever_they_look_like(byte_level):
    full_stop, line_break = byte_level.convert_tokens_to_ids([".", "Ċ"])
    vocabulary = classify_vocabulary(byte_level, [full_stop, line_break], len(byte_level))
    assert vocabulary.stop[[full_stop, line_break]].all()
    assert not vocabulary.final[full_stop] and vocabulary.ender[full_stop]


def test_a_model_with_fewer_rows_than_the_tokenizer_has_tokens(byte_level):
    vocabulary = classify_vocabulary(byte_level, [1], 300)
    whole = classify_vocabulary(byte_level, [1], len(byte_level))
    assert (vocabulary.classes == whole.classes[:300]).all()


def test_stop_tokens_without_a_row_are_refused(byte_level):
    with pytest.raises(LengthlensError, match=r"Stop tokens \[128001\] are outside"):
        classify_vocabulary(byte_level, [1, 128_001], len(byte_level))


def test_a_tokenizer_without_letters_is_refused():
    tokenizer = word_piece_tokenizer(letters="b")
    with pytest.raises(LengthlensError, match="without letters"):
        classify_vocabulary(tokenizer, [0], len(tokenizer))


# --- Llama 3's own tokenizer ------------------------------------------------------------------


def test_llama3_surfaces_are_the_bytes_of_its_vocabulary(llama3):
    """Decoding after a word gives what GPT-2's byte table gives, for each of the 128,000 tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in printable}
    rest = [byte for byte in range(256) if byte not in set(printable)]
    table |= {chr(256 + place): byte for place, byte in enumerate(rest)}
    pieces = llama3.convert_ids_to_tokens(range(128_000))
    expected = [
        bytes(table[character] for character in piece).decode("utf-8", errors="replace")
        for piece in pieces
    ]
    assert surfaces(llama3, range(128_000)) == expected


def test_llama3_whole_vocabulary(llama3, llama3_vocabulary):
    counts = llama3_vocabulary.summary()
    assert counts["stop"] == 3 and sum(counts.values()) == LLAMA3_ROWS
    special = np.setdiff1d(np.arange(128_000, LLAMA3_ROWS), LLAMA3_STOPS)
    assert llama3_vocabulary.other[special].all()
    texts = surfaces(llama3, range(128_000))
    led = np.array([text[:1] == " " and text[1:2].isalnum() for text in texts])
    bare = np.array([text.isalnum() for text in texts])
    spaced = np.array([any(map(str.isspace, text)) for text in texts])
    assert led.sum() > 50_000 and llama3_vocabulary.word[:128_000][led].all()
    assert bare.sum() > 40_000 and llama3_vocabulary.continuation[:128_000][bare].all()
    assert not llama3_vocabulary.word[:128_000][~spaced].any()
    final = set(surfaces(llama3, np.flatnonzero(llama3_vocabulary.final).tolist()))
    assert {".", "!", "?", "…", "...", " .", ".\n", ".\n\n", '."', '!"', '?"', ".”", "!)\n\n",
            "。", "！", "？", "…\n\n", '."\n\n', ").", "؟"} <= final  # fmt: skip
    assert all(any(mark in text for mark in ".!?…。！？．｡؟।") for text in final)


@pytest.mark.parametrize(
    "marked",
    [
        "cThe|w small|w boats|w sail|w across|w a|w quiet|w sea|f.",
        'cHe|w said|o:|o "|cIt|w is|w late|f!"\n\n',
        "cIn|o |c202|c4|w it|c's|o |c3|f.|c5|w km|o (|cabout|o),|w I|w think|f...",
        "cL|o'|cac|cqua|w dell|o'|cis|cola|w è|w più|w chi|cara|f.",
        "cScr|civi|w s|cull|o'|conda|o,|w perché|w no|f?",
        "cUn|c'al|ctra|w città|o,|w così|w bella|f!",
        "cD|c'M|ceer|w ass|w haut|w rou|ceg|w a|w sch|cé|cin|f.",
        "cMir|w g|cinn|w an|w d|c'S|ct|cad|o,|w well|w d|c'S|conn|w sch|cé|cng|ct|f…",
    ],
)
def test_llama3_classes_in_sentences(llama3, llama3_vocabulary, marked):
    """English, Italian, Luxembourgish; before each token the first letter of its class."""
    sentence = "".join(token[1:] for token in marked.split("|"))
    ids = llama3.encode(sentence, add_special_tokens=False)
    kinds = [CLASSES[kind][0] for kind in llama3_vocabulary.classes[ids]]
    found = [kind + text for kind, text in zip(kinds, surfaces(llama3, ids), strict=True)]
    assert "|".join(found) == marked
