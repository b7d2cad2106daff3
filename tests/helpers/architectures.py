"""Tiny random models of every architecture that `architectures` lists, at least one row each.

A row is named by its model type, or `type:variant` where there are several. The rows vary what
attribution could get wrong: head_dim that is not d_model / heads, grouped queries, tied and untied
embeddings, biases, multipliers, soft caps, norms before and after. Every norm weight and bias is
moved away from 1 and 0, so that forgetting one shows.
"""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from lengthlens.models.every_type import VOCABULARY, made_to_matter

COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_WIDE = {"head_dim": 16}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}

ROWS: dict[str, dict] = {
    "llama": _WIDE | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    "mistral": _WIDE | {"sliding_window": None, "tie_word_embeddings": False},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": _WIDE | {"attention_bias": True, "tie_word_embeddings": True},
    "phi3": {"tie_word_embeddings": False},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "qwen3_moe": _WIDE | _EXPERTS | {"num_experts": 4, "decoder_sparse_step": 1},
    "gemma": _WIDE,
    "gemma2": _WIDE | {"final_logit_softcapping": 3.0, "query_pre_attn_scalar": 16},
    "gemma3_text": _WIDE | {"query_pre_attn_scalar": 16, "sliding_window": 512},
    "olmo2": {"tie_word_embeddings": False},
    "starcoder2": {"use_bias": True, "sliding_window": None},
    "granite": {
        "residual_multiplier": 0.37,
        "embedding_multiplier": 5.0,
        "logits_scaling": 3.0,
        "attention_multiplier": 0.2,
        "attention_bias": True,
    },
    "gpt2": {},
    "gpt_neox": {"use_parallel_residual": True, "attention_bias": True},
    "gemma2:biased": _WIDE | {"attention_bias": True, "final_logit_softcapping": None},
    "olmo2:biased": _WIDE | {"attention_bias": True, "tie_word_embeddings": True},
    "gpt_neox:sequential": {"use_parallel_residual": False, "tie_word_embeddings": True},
}

# transformers has no grouped matrix product for their experts in float64.
FLOAT32_ONLY = ("mixtral", "qwen3_moe")


def tiny_config(row: str):
    """The row's config; GPT-2 names its sizes in its own way."""
    model_type = row.partition(":")[0]
    values = COMMON | ROWS[row]
    if model_type == "gpt2":
        values = {
            "vocab_size": VOCABULARY,
            "n_embd": 48,
            "n_layer": 3,
            "n_head": 4,
            "n_positions": 256,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
    return AutoConfig.for_model(model_type, **values)


def tiny_model(row: str, dtype: torch.dtype = torch.float32, seed: int = 0, **changes):
    """A random model of the row, in eval mode, with every norm weight and bias made to matter.

    `changes` are set in the row's config.
    """
    torch.manual_seed(seed)
    config = tiny_config(row)
    for name, value in changes.items():
        assert hasattr(config, name), f"{row} has no {name}"
        setattr(config, name, value)
    model = AutoModelForCausalLM.from_config(config).to(dtype).eval()
    return made_to_matter(model)
