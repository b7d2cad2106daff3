"""Models as GGUF files, written with the library `gguf`, as llama.cpp's converter would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

CONTROL, NORMAL = 3, 1


def write_gguf(
    path: Path,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    kind: str = "F32",
    settings: Mapping[str, Any] | None = None,
    without: str = "-",
    further: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a Llama or Qwen model.

    Args:
        kind: how matrices are stored: F32, F16, Q8_0, Q4_1 …
        settings: keys of the header that are set, added or (None) left out.
        without: tensors whose name begins like this are left out.
        further: tensors that are added.
    """
    writer = gguf.GGUFWriter(path, model.config.model_type)
    for key, value in (_settings(model) | _vocabulary(tokenizer) | dict(settings or {})).items():
        _add(writer, key, value)
    tensors = dict(_tensors(model)) | dict(further or {})
    for name, values in tensors.items():
        quantization = gguf.GGMLQuantizationType[kind if values.ndim == 2 else "F32"]
        if not name.startswith(without):
            stored = gguf.quants.quantize(values, quantization)
            writer.add_tensor(name, stored, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if key == "general.architecture":
        writer.kv_data[0][key].value = value
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif value is not None:
        writer.add_array(key, value)


def _settings(model: PreTrainedModel) -> dict[str, Any]:
    config, name = model.config, model.config.model_type
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return {
        "general.name": "Tiny",
        f"{name}.block_count": config.num_hidden_layers,
        f"{name}.context_length": config.max_position_embeddings,
        f"{name}.embedding_length": config.hidden_size,
        f"{name}.feed_forward_length": config.intermediate_size,
        f"{name}.attention.head_count": config.num_attention_heads,
        f"{name}.attention.head_count_kv": config.num_key_value_heads,
        f"{name}.attention.key_length": size,
        f"{name}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        f"{name}.rope.freq_base": config.rope_parameters["rope_theta"],
        f"{name}.rope.dimension_count": size,
        f"{name}.vocab_size": config.vocab_size,
    }


def _vocabulary(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    ids = tokenizer.get_vocab()
    special = set(tokenizer.all_special_tokens)

    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    tokens = sorted(ids, key=ids.get)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [CONTROL if t in special else NORMAL for t in tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in merges],
        "tokenizer.ggml.bos_token_id": tokenizer.bos_token_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eos_token_id,
        "tokenizer.chat_template": tokenizer.chat_template,
    }


def _tensors(model: PreTrainedModel):
    config = model.config
    architecture = getattr(gguf.MODEL_ARCH, config.model_type.upper())
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, _, ending = name.rpartition(".")
        values = tensor.to(torch.float32).numpy()
        stored = names.get_name(stem)
        n_heads = heads.get(stored.rpartition(".")[2])
        if config.model_type == "llama" and n_heads is not None:
            values = _interleaved(values, n_heads)
        yield f"{stored}.{ending}", np.ascontiguousarray(values)


def _interleaved(values: np.ndarray, n_heads: int) -> np.ndarray:
    """Rows of queries and keys as GGUF has them for Llama: the two halves of a head in turn."""
    size = values.shape[0] // n_heads
    halves = values.reshape(n_heads, 2, size // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)
