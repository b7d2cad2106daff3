"""The declared architectures: one row for each `config.model_type`.

A row says under which names the output projections, MLPs and norms of a decoder are found and
which multipliers apply. `anatomy.dissect` binds it to a loaded model. What is not listed here is
detected by `detect`, where that can be proven; a row is worth adding for what cannot be detected,
or to spare its models the detection. See docs/architectures.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter


def _one(config) -> float:
    return 1.0


@dataclass(frozen=True)
class Architecture:
    """Names of the parts of a decoder layer, relative to the model or to the layer.

    `attention_norm` and `mlp_norm` are norms applied to a block's *output* before it is added to
    the stream; norms applied to a block's input need no mention, for they add nothing themselves.
    """

    layers: str = "model.layers"
    attention_output: str = "self_attn.o_proj"
    mlp: str = "mlp"
    attention_norm: str | None = None
    mlp_norm: str | None = None
    final_norm: str = "model.norm"
    unembedding: str = "lm_head"
    centred_norm: bool = False  # LayerNorm centres its input, RMSNorm does not
    norm_weight_offset: float = 0.0  # Gemma's norms multiply by 1 + weight
    residual_multiplier: Callable[[object], float] = field(default=_one)
    logit_multiplier: Callable[[object], float] = field(default=_one)
    soft_cap: str | None = None  # name of the config's soft cap, applied to the logits


_LLAMA = Architecture()
_OUTPUT_NORMS = {
    "attention_norm": "post_attention_layernorm",
    "mlp_norm": "post_feedforward_layernorm",
}

ARCHITECTURES: dict[str, Architecture] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "phi3": _LLAMA,
    "mixtral": _LLAMA,
    "qwen3_moe": _LLAMA,
    "gemma": Architecture(norm_weight_offset=1.0),
    "gemma2": Architecture(
        **_OUTPUT_NORMS, norm_weight_offset=1.0, soft_cap="final_logit_softcapping"
    ),
    "gemma3_text": Architecture(
        **_OUTPUT_NORMS, norm_weight_offset=1.0, soft_cap="final_logit_softcapping"
    ),
    "olmo2": Architecture(**_OUTPUT_NORMS),
    "starcoder2": Architecture(centred_norm=True),
    "granite": Architecture(
        residual_multiplier=attrgetter("residual_multiplier"),
        logit_multiplier=lambda config: 1.0 / config.logits_scaling,
    ),
    "gpt2": Architecture(
        layers="transformer.h",
        attention_output="attn.c_proj",
        final_norm="transformer.ln_f",
        centred_norm=True,
    ),
    "gpt_neox": Architecture(
        layers="gpt_neox.layers",
        attention_output="attention.dense",
        final_norm="gpt_neox.final_layer_norm",
        centred_norm=True,
    ),
}
