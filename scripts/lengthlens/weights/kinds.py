"""Models of kinds that are not studied here, told by their config.json: what they are, in words.

Attribution splits one residual stream over its components. Models with encoders beside the language
model load and run; but what they are is told before that, instead of the name of a missing
attribute. Models with other parts in place of attention are attributed by `lengthlens.Lens`. The
workflow draws its controls among the heads of a layer and compares layers by their heads, so it
takes models whose layers all have the same.
"""

from __future__ import annotations

from collections.abc import Mapping

_SENSES = ("vision", "audio", "speech", "image", "video", "thinker", "talker", "vq")
_ATTENTION = ("attention", "sliding", "full", "global", "local", "moe", "dense")
# Recurrent models, which have no attention at all.
_RECURRENT = ("mamba", "mamba2", "falcon_mamba", "rwkv", "rwkv7", "xlstm")
# Hybrids whose config tells the kinds of layers by a rule instead of a list.
_HYBRIDS = {
    "jamba": "state-space layers",
    "bamba": "state-space layers",
    "zamba": "state-space layers",
    "zamba2": "state-space layers",
    "falcon_h1": "state-space mixers beside the heads",
    "nemotron_h": "state-space layers",
    "granitemoehybrid": "state-space layers",
    "recurrent_gemma": "recurrent layers",
    "lfm2": "convolutions",
    "lfm2_moe": "convolutions",
    "qwen3_next": "linear attention",
    "minimax": "linear attention",
    "kimi_linear": "linear attention",
}


def odd_kind(config: Mapping) -> str | None:
    """What a model is, if the workflow does not study its kind; and what to give instead."""
    return beside_text(config) or _odd_layers(config)


def beside_text(config: Mapping) -> str | None:
    """What a model has beside a decoder for text, if that is anything; and what to give instead."""
    kind = str(config.get("model_type"))
    senses = [
        name
        for name, value in config.items()
        if name.endswith("_config") and name.startswith(_SENSES) and isinstance(value, dict)
    ]
    if senses:
        return (
            f"it is a multimodal model ({kind!r}, with {', '.join(sorted(senses))}), and only "
            "language models alone are studied; give its language model, where one is published"
        )
    if config.get("is_encoder_decoder") is True:
        return f"it is an encoder-decoder ({kind!r}); only decoder-only language models are studied"
    return None


def _odd_layers(config: Mapping) -> str | None:
    """What the layers of a hybrid or a recurrent model have besides attention."""
    inner = config.get("text_config")
    text = inner if isinstance(inner, Mapping) else config
    kind = str(text.get("model_type", config.get("model_type")))
    if kind in _RECURRENT:
        return (
            f"it is a recurrent model ({kind!r}) and has no attention heads to compare; give a "
            "transformer, or read this one with lengthlens.Lens"
        )
    if others := _HYBRIDS.get(kind) or _other_layers(text):
        return (
            f"it is a hybrid ({kind!r}): it has {others} besides softmax attention, and the "
            "workflow compares heads across layers that all have the same; give a transformer, or "
            "read this one with lengthlens.Lens"
        )
    return None


def _other_layers(config: Mapping) -> str | None:
    """Layers without softmax attention that a config lists."""
    for key in ("layer_types", "layers_block_type", "block_types"):
        listed = config.get(key)
        if not isinstance(listed, list):
            continue
        odd = {
            str(kind)
            for kind in listed
            if "linear" in str(kind) or not any(name in str(kind) for name in _ATTENTION)
        }
        if odd:
            return f"layers of the kinds {', '.join(sorted(odd))} ({key} in config.json)"
    return None
