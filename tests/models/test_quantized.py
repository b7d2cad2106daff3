"""Quantized checkpoints become the numbers that they stand for, or are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from adapters import write_adapter
from architectures import tiny_model
from quantized_files import change, write_fp8, write_mxfp4
from safetensors.torch import load_file
from tiny_tokenizers import byte_level_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from lengthlens import Lens
from lengthlens.attribution.proof import proven
from lengthlens.errors import LengthlensError
from lengthlens.generation.described import describe
from lengthlens.generation.loaded import load
from lengthlens.models import lazyweights
from lengthlens.models.every_type import made_to_matter
from lengthlens.models.lazyweights import read_readout
from lengthlens.models.loading import load_model
from lengthlens.models.merging import merge
from lengthlens.models.readout import readout_of
from lengthlens.weights.checkpoints import ModelSpec, check_files, weights_manifest
from lengthlens.weights.quantized import plain_tensors
from lengthlens.weights.tensors import Tensor
from lengthlens.workflow.footprint import decoding_need

GPT_OSS = {
    "hidden_size": 64,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
SIZES = {"hidden_size": 64, "intermediate_size": 96}


def saved(folder: Path, kind: str) -> Path:
    """A tiny model in bfloat16, with a tokenizer."""
    tokenizer = byte_level_tokenizer()
    if kind == "gpt_oss":
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), eos_token_id=1, **GPT_OSS)
        model = made_to_matter(AutoModelForCausalLM.from_config(config).eval())
    else:
        sizes = SIZES | ({"moe_intermediate_size": 32} if kind == "qwen3_moe" else {})
        model = tiny_model(kind, vocab_size=len(tokenizer), eos_token_id=1, **sizes)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def spec_of(folder: Path, **more) -> ModelSpec:
    return ModelSpec("q", "instruct", path=str(folder), **more)


def quantized(folder: Path, kind: str, blocks=(16, 16), scales=torch.float32):
    """A quantized checkpoint; its plain twin, quantized and dequantized in this test."""
    meant = write_mxfp4(folder) if kind == "gpt_oss" else write_fp8(folder, blocks, scales)
    assert meant
    return meant


KINDS = {
    "FP8": ("llama", (16, 16), torch.float32),
    "FP8 with short scales": ("llama", (32, 16), torch.bfloat16),
    "FP8 with one scale": ("llama", None, torch.float32),
    "FP8 of experts": ("qwen3_moe", (16, 16), torch.float32),
    "MXFP4": ("gpt_oss", None, None),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", KINDS)
def test_weights_are_the_numbers_that_are_meant(tmp_path, name, dtype, monkeypatch):
    """Compared with a plain checkpoint that holds what this test says they stand for."""
    kind, blocks, scales = KINDS[name]
    folder, plain = saved(tmp_path / "q", kind), saved(tmp_path / "p", kind)
    meant = quantized(folder, kind, blocks, scales)
    change(plain, lambda tensors: tensors.update(meant))
    assert check_files(spec_of(folder)) == folder
    found = load_model(spec_of(folder), dtype, "cpu")
    wanted = load_model(spec_of(plain), dtype, "cpu")
    assert {p.dtype for p in found.parameters()} == {getattr(torch, dtype)}
    assert found.state_dict().keys() == wanted.state_dict().keys()
    for key, weight in wanted.state_dict().items():
        assert torch.equal(found.state_dict()[key], weight), key
    ids = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    assert torch.equal(found(ids).logits, wanted(ids).logits)
    if kind == "llama":  # read without the rest of the model
        monkeypatch.setattr(lazyweights, "load_model", None)
    lazily, own = read_readout(spec_of(folder), dtype), readout_of(wanted)
    assert torch.equal(lazily.unembedding, own.unembedding)
    assert torch.equal(lazily.norm_weight, own.norm_weight)
    assert all(map(torch.equal, lazily.output, own.output))


@pytest.mark.parametrize("name", ["FP8", "MXFP4"])
def test_attribution_is_complete_and_the_precision_is_told(tmp_path, name):
    kind, blocks, scales = KINDS[name]
    folder = saved(tmp_path / "q", kind)
    quantized(folder, kind, blocks, scales)
    loaded = load(spec_of(folder), dtype="float32", device="cpu")
    ids = loaded.tokenizer(["The sea is calm in the morning.", "The wind sings across the sea."])
    proof = proven(loaded.model, loaded.anatomy, ids["input_ids"], "q")
    assert proof.deviation < 2e-6
    [note] = [n for n in describe(loaded, "2024-07-26")["notes"] if "quantized" in n]
    told = {"FP8": r"(FP8, blocks of 16 × 16; ", "MXFP4": "(MXFP4, blocks of 1 × 32; "}[name]
    assert told in note and note.endswith("are dequantized into float32 as they are loaded")
    found = weights_manifest(spec_of(folder))
    numbers = sum(p.numel() for p in loaded.model.parameters())
    assert found["quantization"]["numbers"] == numbers
    generation = {"max_new_tokens": 1, "dtype": "auto", "memory_gb": 0, "threads": 1}
    need = decoding_need(found, generation, "cpu", 1, recorded=False)
    assert need.mem_mb == pytest.approx(1500 + 4 * numbers / 1e6, abs=1)


def test_the_library_reads_a_dequantized_model(tmp_path):
    folder = saved(tmp_path / "q", "llama")
    write_fp8(folder, (16, 16), torch.float32)
    model = load_model(spec_of(folder), "float32", "cpu")
    found = Lens(model, byte_level_tokenizer()).generate("The sea", max_new_tokens=3)
    assert float(found["completeness_error"].max()) < 1e-4


@pytest.mark.parametrize("name", ["FP8", "MXFP4"])
def test_a_dequantized_model_is_saved_as_a_plain_one(tmp_path, name):
    """transformers would quantize it again, or call plain numbers by the names of packed ones."""
    kind, blocks, scales = KINDS[name]
    folder = saved(tmp_path / "q", kind)
    quantized(folder, kind, blocks, scales)
    model = load_model(spec_of(folder), "float32", "cpu")
    model.save_pretrained(tmp_path / "again")
    stored = load_file(tmp_path / "again/model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "again")
    for key, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], weight), key


def test_an_adapter_is_merged_into_the_dequantized_weights(tmp_path):
    plain, folder = saved(tmp_path / "p", "llama"), saved(tmp_path / "q", "llama")
    meant = write_fp8(folder, (16, 16), torch.float32)
    change(plain, lambda tensors: tensors.update(meant))
    adapter = str(write_adapter(tmp_path / "a", plain))
    made = []
    for base in (folder, plain):
        spec = spec_of(base, adapter=adapter, made_below=str(tmp_path / "made"))
        merge(spec, tmp_path / "made" / base.name)
        made.append(load_file(tmp_path / "made" / base.name / "model.safetensors"))
    assert made[0].keys() == made[1].keys()
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[1])
    config = json.loads((tmp_path / "made/q/config.json").read_text())
    assert "quantization_config" not in config
    origin = json.loads((tmp_path / "made/q/origin.json").read_text())
    assert "FP8, blocks of 16 × 16" in origin["notes"][0]


UP = "model.layers.0.mlp.up_proj.weight"
EXPERTS = "model.layers.0.mlp.experts.down_proj_scales"


def odd_type(tensors):
    tensors[UP] = tensors[UP].float().to(torch.float8_e5m2)


REFUSED = {
    "no scales": ("llama", lambda t: t.pop(UP + "_scale_inv"), "has no scales"),
    "scales alone": ("llama", lambda t: t.pop(UP), "there are scales .* but no"),
    "scales of plain numbers": (
        "llama",
        lambda t: t.update({UP: t[UP].float()}),
        "there are scales .* but no .* in FP8",
    ),
    "other FP8": ("llama", odd_type, "is of type F8_E5M2"),
    "other blocks": (
        "llama",
        lambda t: t.update({UP + "_scale_inv": t[UP + "_scale_inv"][:3]}),
        r"with scales \[3, 4\] is not made of whole blocks of \[16, 16\]",
    ),
    "parts of blocks": (
        "llama",
        lambda t: t.update({UP: t[UP][:88]}),
        r"shape \[88, 64\] with scales \[6, 4\] is not made of whole blocks",
    ),
    "other formats besides": (
        "llama",
        lambda t: t.update({"lm_head.qweight": torch.ones(2, 2).int()}),
        "quantized .GPTQ or AWQ",
    ),
    "no exponents": ("gpt_oss", lambda t: t.pop(EXPERTS), "down_proj_blocks' .*scales None"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_transformers_would_misread_is_refused_by_its_header(tmp_path, name):
    kind, edit, words = REFUSED[name]
    folder = saved(tmp_path / "q", kind)
    quantized(folder, kind)
    change(folder, edit)
    with pytest.raises(LengthlensError, match=words):
        check_files(spec_of(folder))


def test_blocks_that_transformers_would_take_for_others_are_refused():
    """96 rows in blocks of 64 have two scales a column; transformers would take 48 for each."""
    tensors = {UP: Tensor("F8_E4M3", (96, 64)), UP + "_scale_inv": Tensor("F32", (2, 4))}
    settings = {"quant_method": "fp8", "weight_block_size": [64, 16]}
    with pytest.raises(LengthlensError, match=r"\[96, 64\] with scales \[2, 4\] is not made of"):
        plain_tensors(settings, tensors)
    small = {UP: Tensor("F8_E4M3", (48, 64)), UP + "_scale_inv": Tensor("F32", (1, 4))}
    assert plain_tensors(settings, small) == {UP: Tensor("F32", (48, 64))}


@pytest.mark.parametrize("blocks", [0, [128], [128, 0], ["a", "b"]])
def test_odd_sizes_of_blocks_are_refused(blocks):
    settings = {"quant_method": "fp8", "weight_block_size": blocks}
    with pytest.raises(LengthlensError, match="weight_block_size is .* not two numbers"):
        plain_tensors(settings, {UP: Tensor("BF16", (96, 64))})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "with the package bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "with the package compressed-tensors"),
        ({"quant_method": "gptq", "bits": 4}, r"\(gptq\), .*no way that was proven"),
        ({"quant_method": "awq", "bits": 4}, r"\(awq\), .*no way that was proven"),
        ({"bits": 4}, "no way that was proven"),
    ],
)
def test_other_methods_are_refused_with_their_reason(tmp_path, settings, words):
    folder = saved(tmp_path / "q", "llama")
    change(folder, lambda tensors: None, settings)
    for read in (check_files, load_model):
        with pytest.raises(LengthlensError, match=words + ".*or one in FP8, MXFP4 or GGUF"):
            read(spec_of(folder))
