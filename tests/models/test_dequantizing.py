"""A GGUF file becomes the model that it was made from, or is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from adapters import write_adapter
from architectures import tiny_model
from gguf_files import write_gguf
from tiny_tokenizers import byte_level_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

from lengthlens.errors import LengthlensError
from lengthlens.models.dequantizing import dequantize
from lengthlens.models.loading import load_tokenizer
from lengthlens.settings.sections import Gguf
from lengthlens.weights.checkpoints import ModelSpec, check_files, weights_manifest
from lengthlens.weights.gguf_header import ARCHITECTURES, SPLITS, gguf_problem
from lengthlens.weights.made import made_folder, read_origin
from lengthlens.weights.presence import check_model

ROWS = {
    "llama": {"tie_word_embeddings": False, "attention_bias": False, "mlp_bias": False},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"tie_word_embeddings": False, "attention_bias": False, "head_dim": 128},
}


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level_tokenizer()


def small(row: str, tokenizer):
    """Sizes that blocks of 32 numbers divide, and a vocabulary for the tokenizer."""
    return tiny_model(
        row, vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, **ROWS[row]
    )


@pytest.fixture(scope="module")
def llama(tokenizer):
    return small("llama", tokenizer)


def read(path: Path, folder: Path, **declared):
    dequantize(Gguf(file=str(path), **declared), path, folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype="auto")


@pytest.mark.parametrize("row", ARCHITECTURES)
def test_the_model_comes_back_exactly(row, tokenizer, tmp_path):
    model = small(row, tokenizer)
    path = write_gguf(tmp_path / "tiny.gguf", model, tokenizer)
    found = read(path, tmp_path / "made")
    assert found.dtype == torch.float32
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], weight, rtol=0, atol=0)
    ids = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    torch.testing.assert_close(found(ids).logits, model(ids).logits, rtol=1e-6, atol=1e-6)
    again = load_tokenizer(ModelSpec("t", "base", path=str(tmp_path / "made")))
    text = "Write 15 words about the sea!\n\nIl mare è calmo, 1984  7."
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert again.chat_template == tokenizer.chat_template
    assert found.generation_config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1"])
def test_quantized_blocks_are_read_as_the_library_reads_them(kind, llama, tokenizer, tmp_path):
    import gguf

    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, kind=kind)
    found = read(path, tmp_path / "made").state_dict()["model.layers.1.mlp.up_proj.weight"]
    written = {t.name: t for t in gguf.GGUFReader(path).tensors}["blk.1.ffn_up.weight"]
    wanted = gguf.dequantize(written.data, written.tensor_type)
    np.testing.assert_array_equal(found.numpy(), wanted)
    assert not torch.equal(found, llama.state_dict()["model.layers.1.mlp.up_proj.weight"])


def test_texts_begin_as_the_header_says(llama, tokenizer, tmp_path):
    settings = {"tokenizer.ggml.add_bos_token": False}
    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, settings=settings)
    read(path, tmp_path / "made")
    ids = tokenizer("The sea.", add_special_tokens=False)["input_ids"]
    assert AutoTokenizer.from_pretrained(tmp_path / "made")("The sea.")["input_ids"] == ids


def test_each_digit_by_itself(llama, tokenizer, tmp_path):
    split = {"tokenizer.ggml.pre": "smollm"}
    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, settings=split)
    read(path, tmp_path / "made")
    pieces = AutoTokenizer.from_pretrained(tmp_path / "made").backend_tokenizer.pre_tokenizer
    assert [text for text, _ in pieces.pre_tokenize_str("in  15.")] == ["in", "ĠĠ", "1", "5", "."]


def test_what_it_was_made_of_is_told(llama, tokenizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, kind="Q8_0")
    spec = ModelSpec("tiny", "instruct", gguf=str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    folder = Path("results/weights") / made_folder(spec)
    read(path, folder, sha256=digest)
    assert check_files(spec) == folder
    origin = read_origin(folder)
    assert origin["gguf"]["sha256"] == digest and origin["precision"] == "float32"
    assert origin["gguf"]["tensors"]["Q8_0"] == 3 * 7 + 2
    manifest = weights_manifest(spec)
    assert manifest["origin"] == origin and "origin.json" not in manifest["files"]
    assert manifest["source"] == "…/tiny.gguf" and manifest["shape"]["dtype"] == "float32"


def test_a_file_with_another_hash_is_refused(llama, tokenizer, tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    with pytest.raises(LengthlensError, match=r"has the SHA-256 [0-9a-f]{64}, but .* says 0000"):
        read(path, tmp_path / "made", sha256="0" * 64)
    assert not (tmp_path / "made").exists()


def test_a_tensor_that_is_missing_is_refused(llama, tokenizer, tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, without="blk.1.ffn_up")
    with pytest.raises(LengthlensError, match=r"^/.*lacks 1 weights .*layers\.1\.mlp\.up_proj"):
        read(path, tmp_path / "made")


def test_a_tensor_without_a_place_is_refused(llama, tokenizer, tmp_path):
    bias = {"blk.0.attn_q.bias": np.ones(64, np.float32)}
    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, further=bias)
    with pytest.raises(LengthlensError, match="a place for .*: the others would be left out"):
        read(path, tmp_path / "made")


REFUSED = {
    "another architecture": (
        {"general.architecture": "mamba"},
        r"architecture 'mamba', and only GGUF files of llama, qwen2, qwen3 are read here",
    ),
    "scaled positions": (
        {"llama.rope.scaling.type": "yarn"},
        r"sets rope\.scaling\.type to yarn, which would be left out",
    ),
    "other heads": ({"llama.attention.key_length": 32}, r"has heads of size 32"),
    "partly rotated": (
        {"qwen2.rope.dimension_count": 8},
        r"heads of size 8 \(rope.dimension_count",
    ),
    "a part": ({"split.count": 2}, "is one of 2 parts"),
    "no eps": (
        {"llama.attention.layer_norm_rms_epsilon": None},
        r"does not tell attention\.layer_norm_rms_epsilon",
    ),
    "no end": ({"tokenizer.ggml.eos_token_id": None}, "names no token that ends answers"),
    "no begin": ({"tokenizer.ggml.bos_token_id": None}, "with which token texts begin"),
    "unknown split": ({"tokenizer.ggml.pre": "chameleon"}, "splits text by the rule 'chameleon'"),
    "unknown tokenizer": ({"tokenizer.ggml.model": "rwkv"}, "tokenizer of the kind 'rwkv'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_left_out_is_refused_by_its_header(name, llama, tokenizer, tmp_path):
    settings, told = REFUSED[name]
    model = small("qwen2", tokenizer) if "qwen2" in str(settings) else llama
    path = write_gguf(tmp_path / "tiny.gguf", model, tokenizer, settings=settings)
    with pytest.raises(LengthlensError, match=told):
        read(path, tmp_path / "made")


def test_the_frequencies_of_llama_3_are_refused(llama, tokenizer, tmp_path):
    scaled = {"rope_freqs.weight": np.ones(8, np.float32)}
    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, further=scaled)
    assert "'rope_freqs.weight' (scaled rotary positions)" in gguf_problem(path)


def test_an_adapter_is_held_against_the_file_before_anything_is_made(llama, tokenizer, tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer, kind="Q8_0")
    llama.save_pretrained(tmp_path / "same")
    wide = tiny_model("mistral", vocab_size=len(tokenizer), hidden_size=96, intermediate_size=96)
    wide.save_pretrained(tmp_path / "other")

    def problem(base: str) -> str | None:
        adapter = write_adapter(tmp_path / f"to-{base}", tmp_path / base)
        made = {"gguf": str(path), "adapter": str(adapter), "made_below": str(tmp_path / "made")}
        return check_model(ModelSpec("m", "base", **made), False).problem

    assert problem("same") is None
    told = problem("other")
    assert told.startswith("Model m: the adapter") and f"of {path} has" in told


def test_damaged_files(llama, tokenizer, tmp_path):
    path = write_gguf(tmp_path / "tiny.gguf", llama, tokenizer)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(path.read_bytes()[:5000])
    other = tmp_path / "other.gguf"
    other.write_bytes(b"PK\x03\x04")
    assert "is damaged or cut short" in gguf_problem(cut)
    assert "is no GGUF file" in gguf_problem(other)
    assert "there is no file" in gguf_problem(tmp_path / "none.gguf")


def test_transformers_knows_what_is_accepted():
    assert set(ARCHITECTURES) <= set(GGUF_SUPPORTED_ARCHITECTURES)
    assert set(SPLITS) - {"smollm", "gpt-2"} <= set(GGUF_PRE_TOKENIZER_SPLITS)
    assert not {"smollm", "gpt-2"} & set(GGUF_PRE_TOKENIZER_SPLITS)
