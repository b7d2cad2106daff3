"""Models of kinds that are not studied here, told by their config.json: what they are, in words.

Attribution splits one residual stream over its components. Of a model that reads images or sounds
beside text, the text part is studied, as transformers names it (`text_config`). Models with other
mixers beside attention (hybrids) are studied, too. Models with an encoder have two streams; and
recurrent models have neither heads nor MLPs that the workflow could compare.
"""

from __future__ import annotations

from collections.abc import Mapping

from lengthlens.weights.shape import text_part

_SENSES = ("vision", "audio", "speech", "image", "video", "thinker", "talker", "vq")
# Recurrent models, which have no attention at all.
_RECURRENT = ("mamba", "mamba2", "falcon_mamba", "rwkv", "rwkv7", "xlstm")


def odd_kind(config: Mapping) -> str | None:
    """What a model is, if the workflow does not study its kind; and what to give instead."""
    if odd := beside_text(config):
        return odd
    kind = str(text_part(config).get("model_type", config.get("model_type")))
    if kind not in _RECURRENT:
        return None
    return (
        f"it is a recurrent model ({kind!r}): it has no attention, and the workflow compares heads "
        "and MLPs; give a transformer or a hybrid, or read this one with lengthlens.Lens"
    )


def beside_text(config: Mapping) -> str | None:
    """What keeps a model from having one stream of text, if anything; and what to give instead."""
    kind = str(config.get("model_type"))
    senses = [
        name
        for name, value in config.items()
        if name.endswith("_config") and name.startswith(_SENSES) and isinstance(value, dict)
    ]
    text = text_part(config)
    if senses and text is config:
        return (
            f"it is a multimodal model ({kind!r}, with {', '.join(sorted(senses))}) whose config "
            "has no text_config, so that its language model is not found; give its language "
            "model, where one is published"
        )
    if any(part.get("is_encoder_decoder") is True for part in (config, text)):
        return f"it is an encoder-decoder ({kind!r}); only decoder-only language models are studied"
    return None
