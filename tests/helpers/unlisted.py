"""Tiny random models of architectures that `lengthlens.models.architectures` does not list.

`ACCEPTED` are detected and proven; `REFUSED` are not, each with a part of the reason it must give.
"""

from __future__ import annotations

import torch
from architectures import COMMON
from transformers import AutoConfig, AutoModelForCausalLM

from lengthlens.models.every_type import VOCABULARY, made_to_matter

_OLD_NAMES = {"vocab_size": VOCABULARY, "n_layer": 3, "n_head": 4, "bos_token_id": 1}

ACCEPTED: dict[str, dict] = {
    "opt": COMMON | {"ffn_dim": 64, "word_embed_proj_dim": 48},  # rows and positions are one axis
    "bitnet": COMMON,  # a norm over all heads before the output projection
    "mamba": {"vocab_size": VOCABULARY, "hidden_size": 48, "num_hidden_layers": 3, "state_size": 8},
    "olmo": COMMON,  # a norm without weight that keeps its epsilon to itself
    "deepseek_v3": COMMON  # latent attention; values narrower than keys
    | dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16)
    | {"num_key_value_heads": 4, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 12}
    | {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1}
    | {"moe_intermediate_size": 32, "first_k_dense_replace": 1},
    "stablelm": COMMON | {"use_qkv_bias": True, "partial_rotary_factor": 0.5},
    "phi": COMMON | {"partial_rotary_factor": 0.5},
    "gptj": _OLD_NAMES | {"n_embd": 48, "n_positions": 256, "rotary_dim": 8},
    "cohere": COMMON | {"logit_scale": 0.125, "head_dim": 12},
    "olmo3": COMMON | {"sliding_window": 512, "head_dim": 12},
    "glm4": COMMON | {"head_dim": 16, "partial_rotary_factor": 0.5},
    "bloom": _OLD_NAMES | {"hidden_size": 48},
    "mpt": {"vocab_size": VOCABULARY, "d_model": 48, "n_layers": 3, "n_heads": 4},
    "falcon": COMMON | {"bias": True, "alibi": False, "num_kv_heads": 1},
    "smollm3": COMMON | {"no_rope_layers": [1, 1, 0]},
    "ernie4_5": COMMON | {"head_dim": 16, "use_bias": True},
}

REFUSED: dict[str, tuple[dict, str]] = {
    "nanochat": (COMMON, "its final norm, model.norm, is run elsewhere, too"),
    "diffllama": (COMMON, "softmax attention was computed 2 times in model.layers.0"),
    "gemma3n_text": (  # of which keys and values are shared, too
        COMMON
        | {"head_dim": 12, "vocab_size_per_layer_input": VOCABULARY, "laurel_rank": 8}
        | {"hidden_size_per_layer_input": 8, "num_hidden_layers": 4, "num_kv_shared_layers": 2}
        | {"layer_types": ["sliding_attention", "full_attention"] * 2}
        | {"activation_sparsity_pattern": [0.9, 0.0, 0.0, 0.0]},
        "model.layers.0 hands on several streams side by side, of the shape",
    ),
    "bert": (
        COMMON | {"is_decoder": True},
        "encoder.layer.* ends with a norm of the stream itself|cls.predictions.transform",
    ),
}


def unlisted_model(model_type: str, values: dict, dtype: torch.dtype = torch.float32):
    """A random model in eval mode, with every norm weight and bias made to matter."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, **values)
    return made_to_matter(AutoModelForCausalLM.from_config(config).to(dtype).eval())
