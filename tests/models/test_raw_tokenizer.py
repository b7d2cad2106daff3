"""The tokenizer that runs gives the ids that tokenizer.json says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_tokenizers import byte_level_tokenizer, metaspace_tokenizer, with_added
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from lengthlens.models.loading import load_tokenizer
from lengthlens.models.raw_tokenizer import TEXTS, as_in_file, difference
from lengthlens.weights.checkpoints import ModelSpec

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "resources/pocket/instruct"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer that splits numbers by threes, as Llama 3's does, under a config of Qwen 2."""
    byte_level_tokenizer().save_pretrained(tmp_path)
    config = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "vocab_size": 480}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


def test_a_tokenizer_that_is_built_anew_is_replaced_and_told(folder: Path):
    """Read digit by digit, "19" is two tokens where the model was trained on one."""
    built = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert built.tokenize("In 19 words") != byte_level_tokenizer().tokenize("In 19 words")
    assert "Write exactly 19 words" in difference(folder, built)
    tokenizer = load_tokenizer(ModelSpec("m", "instruct", path=str(folder)))
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text in TEXTS:
        assert tokenizer(text, add_special_tokens=False).input_ids == (
            raw.encode(text, add_special_tokens=False).ids
        )
    assert "Qwen2Tokenizer, which transformers makes of it" in tokenizer.instead_of
    assert tokenizer.padding_side == "left" and tokenizer.chat_template


def test_a_tokenizer_as_in_its_file_is_kept():
    tokenizer = load_tokenizer(ModelSpec("m", "instruct", path=str(POCKET)))
    assert not hasattr(tokenizer, "instead_of")
    assert difference(POCKET, tokenizer) is None


@pytest.mark.parametrize("make", [byte_level_tokenizer, metaspace_tokenizer])
def test_tokens_that_only_the_settings_add_are_no_difference(tmp_path: Path, make):
    tokenizer = make()
    tokenizer.save_pretrained(tmp_path)
    with_added(tokenizer, "<|new|>")
    assert difference(tmp_path, tokenizer, ["The sea<|new|> is calm."]) is None


def test_another_vocabulary_is_a_difference(tmp_path: Path):
    byte_level_tokenizer(420).save_pretrained(tmp_path)
    found = difference(tmp_path, byte_level_tokenizer())
    assert found.startswith("'Write exactly 1 words.' as [")


def test_without_a_file_there_is_nothing_to_compare(tmp_path: Path):
    tokenizer = byte_level_tokenizer()
    assert difference(tmp_path, tokenizer) is None
    assert as_in_file(tmp_path, tokenizer) is tokenizer
    assert type(tokenizer) is PreTrainedTokenizerFast
