"""Llamas of an unlisted type in which something changes the stream that no name tells.

`REASONS` has a part of the message with which each must be refused.
"""

from __future__ import annotations

import torch
from tiny_llama import SIZES
from transformers import LlamaConfig, LlamaForCausalLM


class HiddenConfig(LlamaConfig):
    model_type = "hidden"


class HiddenModel(LlamaForCausalLM):
    """A Llama in which `spoil` changes something that no name tells."""

    config_class = HiddenConfig

    def __init__(self, config) -> None:
        super().__init__(config)
        SPOIL[config.spoilt](self)


def _changing_output(change):
    """A forward hook that changes a module's tensor."""

    def hook(module, args, output):
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return hook


def _extra_in_layer(model) -> None:
    model.model.layers[1].register_forward_hook(
        _changing_output(lambda r: r + 0.02 * r.roll(1, -1))
    )


def _scaled_stream(model) -> None:
    model.model.layers[0].register_forward_hook(_changing_output(lambda r: 1.01 * r))


def _between_layers(model) -> None:
    model.model.layers[1].register_forward_pre_hook(lambda m, args: (args[0] * 1.01, *args[1:]))


def _before_norm(model) -> None:
    model.model.norm.register_forward_pre_hook(lambda m, args: (args[0] + 0.01,))


def _odd_norm(model) -> None:
    model.model.norm.register_forward_hook(lambda m, args, y: y + 0.01 * y.square())


def _shifted_logits(model) -> None:
    model.lm_head.register_forward_pre_hook(lambda m, args: (args[0] + 0.01,))


def _mixed_heads(model) -> None:
    """A head reaches into its neighbour before the output projection."""
    for layer in model.model.layers:
        layer.self_attn.o_proj.register_forward_pre_hook(
            lambda m, args: (args[0] + 0.1 * args[0].roll(16, -1),)
        )


def _rescale_mlp(model) -> None:
    """What is added of the MLP is not what the MLP gives out."""
    for layer in model.model.layers:
        kept = {}
        layer.mlp.register_forward_hook(lambda m, a, y, kept=kept: kept.update(y=y))
        layer.register_forward_hook(_changing_output(lambda r, kept=kept: r + 0.5 * kept["y"]))


SPOIL = {
    "nothing": lambda model: None,
    "extra term in a layer": _extra_in_layer,
    "scaled stream": _scaled_stream,
    "between layers": _between_layers,
    "before the norm": _before_norm,
    "odd norm": _odd_norm,
    "shifted logits": _shifted_logits,
    "mixed heads": _mixed_heads,
    "rescaled MLP": _rescale_mlp,
}
REASONS = {
    "extra term in a layer": "layers.1 adds to the stream is not the sum.*left unexplained",
    "scaled stream": "layers.0 adds to the stream is not the sum.*left unexplained",
    "between layers": "something changes the stream between model.layers.0 and the next",
    "before the norm": "no norm takes in what model.layers.1 gives out",
    "odd norm": "model.norm .*is neither LayerNorm nor RMSNorm",
    "shifted logits": "no norm takes in what model.layers.1 gives out",
    "mixed heads": "takes in the heads side by side, each apart from the others",
    "rescaled MLP": "multiplies what mlp gives by 1.5, a number that its config does not hold",
}


def hidden_model(spoilt: str) -> HiddenModel:
    """A random Llama of an unlisted type that hides something."""
    sizes = {"hidden_size": 48, "num_hidden_layers": 3, "head_dim": 16}
    config = HiddenConfig(vocab_size=160, **(SIZES | sizes))
    config.spoilt = spoilt
    torch.manual_seed(0)
    return HiddenModel(config).eval().requires_grad_(False)
