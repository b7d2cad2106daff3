"""A tiny random model of every type that transformers loads as a causal language model.

Sizes are guessed by their names; what is no size is the config class's default.
"""

from __future__ import annotations

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

TYPES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
VOCABULARY = 160
LARGEST = 20_000_000  # weights of a model that still counts as tiny

_LATENT = ("qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "linear_key_head_dim")
_SIZES: dict[str, int | bool] = (
    dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCABULARY)
    | dict.fromkeys(("hidden_size", "n_embd", "d_model"), 48)
    | dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner"), 80)
    | dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim"), 80)
    | dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers"), 3)
    | dict.fromkeys(("decoder_layers", "encoder_layers"), 3)
    | dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads"), 4)
    | dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), 4)
    | dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 4)
    | dict.fromkeys(("num_key_value_heads", "num_experts_per_tok", "linear_num_key_heads"), 2)
    | dict.fromkeys(("head_dim", "global_head_dim", "d_kv", "linear_value_head_dim", *_LATENT), 12)
    | dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32)
    | dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 256)
    | dict.fromkeys(("q_lora_rank", "kv_lora_rank", "mamba_d_state", "mamba_d_head"), 16)
    | dict.fromkeys(("mamba_head_dim", "mamba_headdim"), 16)
    | dict.fromkeys(("mamba_n_heads", "mamba_num_heads", "n_mamba_heads"), 6)
    | dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace"), 1)
    | dict.fromkeys(("rotary_dim", "hidden_size_per_layer_input"), 8)
    | {"linear_num_value_heads": 4, "mamba_d_ssm": 96, "num_kv_shared_layers": 0}
    | {"is_decoder": True, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
)
# Of the towers of multimodal types, which text does not run.
_TOWER = (
    dict.fromkeys(("hidden_size", "intermediate_size", "embed_dim"), 32)
    | dict.fromkeys(("num_hidden_layers", "num_layers", "depth"), 1)
    | dict.fromkeys(("num_attention_heads", "num_key_value_heads", "num_heads"), 2)
    | {"head_dim": 16, "image_size": 28, "patch_size": 14}
)
# Towers that a type has only where its config names them.
_TOWERS = {"gemma4": {"vision_config": _TOWER}}
# What a type needs beyond sizes, and windows that are shorter than the rows of a test.
_HYBRID = ["linear_attention", "full_attention", "linear_attention"]
_OWN: dict[str, dict] = {
    "gpt_neo": {"attention_types": [[["global", "local", "local"], 1]], "window_size": 24},
    "stablelm": {"partial_rotary_factor": 0.5},
    # Latent attention has keys and values for every head.
    **dict.fromkeys(
        ("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite")
        + ("glm_moe_dsa", "longcat_flash", "minicpm3", "youtu"),
        {"num_key_value_heads": 4},
    ),
    # Of hybrids, layers of every kind.
    **dict.fromkeys(
        ("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text", "minimax")
        + ("olmo_hybrid", "granitemoehybrid"),
        {"layer_types": _HYBRID},
    ),
    "bamba": {"attn_layer_indices": [1]},
    "granitemoeshared": {"shared_intermediate_size": 40, "residual_multiplier": 0.4},
    "jamba": {"num_hidden_layers": 4, "attn_layer_period": 4, "attn_layer_offset": 2},
    "lfm2": {"layer_types": ["conv", "full_attention", "conv"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"], "num_dense_layers": 1},
    "nemotron_h": {
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "moe", "full_attention", "mlp"],
        "n_groups": 2,
    },
    "recurrent_gemma": {"block_types": ["recurrent", "recurrent", "attention"], "lru_width": 48},
    **dict.fromkeys(
        ("zamba", "zamba2"),
        {"layers_block_type": ["linear_attention", "hybrid", "linear_attention"]},
    ),
    "mamba2": {"num_heads": 6, "head_dim": 16, "n_groups": 2},
    "dots1": {"num_experts_per_tok": 2, "n_routed_experts": 4, "n_shared_experts": 1},
    **dict.fromkeys(
        ("kimi_linear", "bailing_hybrid"),
        {"layer_types": _HYBRID, "mlp_layer_types": ["dense", "sparse", "sparse"]}
        | {"num_experts_per_token": 2, "linear_head_dim": 12, "linear_num_heads": 4}
        | {"num_expert_group": 1, "num_key_value_heads": 4},
    ),
    # As in the small Gemma 4, the last layers read the keys and values of earlier ones.
    "gemma4": {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True,
        "global_head_dim": 24,
    },
    # Four layers, for it has another list of three modules.
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "activation_sparsity_pattern": [0.9, 0.0, 0.0, 0.0],
    },
    "zaya": {"num_experts_per_tok": 1},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 1e4}},
}
_LEFT_OUT = ((), ("head_dim",), ("is_decoder",), ("num_layers", "n_layers"), ("pad_token_id",))


class NotBuilt(Exception):
    """The guessed sizes do not fit this type."""


def any_model(kind: str):
    """A tiny random float32 model of a type, in eval mode.

    Raises:
        NotBuilt: no guess of its sizes gives a tiny model.
    """
    reason: Exception | None = None
    for left_out in _LEFT_OUT:
        sizes = {name: size for name, size in _SIZES.items() if name not in left_out}
        try:
            return _built(CONFIG_MAPPING[kind], sizes, _OWN.get(kind, {}))
        except Exception as error:  # whatever a config of unknown kind may raise
            reason = error
    raise NotBuilt(f"{kind}: {reason}") from reason


def _built(config_class, sizes: dict, own: dict):
    default = config_class()
    known = {n: size for n, size in sizes.items() if hasattr(default.get_text_config(), n)} | own
    if hasattr(default, "text_config"):
        known = {"text_config": known} | _TOWERS.get(config_class.model_type, {})
    config = config_class(**known)
    for part in vars(config).values():
        if isinstance(part, PreTrainedConfig) and part is not config.get_text_config():
            part.update({name: size for name, size in _TOWER.items() if hasattr(part, name)})
    torch.manual_seed(0)
    with torch.device("meta"):
        weights = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if weights > LARGEST:
        raise ValueError(f"{weights} weights are not tiny")
    model = made_to_matter(AutoModelForCausalLM.from_config(config).float().eval())
    with torch.inference_mode():
        model(input_ids=torch.arange(5, 9)[None], use_cache=False)  # raises where sizes do not fit
    return model


def made_to_matter(model):
    """The model with large weights, and with norm weights and biases away from 1 and 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 or "bias" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.mul_(8.0)
    return model.requires_grad_(False)
