"""The declared architectures: one row for each `config.model_type`.

A row says under which names the output projections, MLPs and norms of a decoder are found and
which multipliers apply. `anatomy.dissect` binds it to a loaded model. What is not listed here is
detected by `detect`, where that can be proven; a row is worth adding for what cannot be detected,
or to spare its models the detection. See docs/architectures.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from torch import nn

from lengthlens.errors import LengthlensError

ATTENTION, MIXER, MLP = "attention", "mixer", "mlp"
OF_CONFIG = "config."  # before the name of a number of the config


def _one(config) -> float:
    return 1.0


@dataclass(frozen=True)
class Branch:
    """What a layer adds to the stream at one place, by names relative to the layer.

    Attributes:
        kind: `attention` (softmax attention), `mixer` (linear attention, a state space, a
            convolution: anything else that carries information between positions) or `mlp` (works
            on each position alone; also a mixture of experts).
        module: the output projection, whose input is the heads side by side; or, where the branch
            has no heads, the module that gives what is added.
        norm: a norm applied to the module's output before it is added.
        norm_weight_offset: added to the weight of that norm.
        heads: the parameter or buffer with one number a head, which tells how many there are, or
            the name of that number in the config (`OF_CONFIG` before it); None for its
            `num_attention_heads`, or where there are none.
        whole: whether the branch is one component.
        flat: whether the module sees rows and positions as one axis.
        factor: by which what it gives is multiplied.
    """

    kind: str
    module: str
    norm: str | None = None
    norm_weight_offset: float = 0.0
    heads: str | None = None
    whole: bool = False
    flat: bool = False
    factor: Callable[[object], float] = field(default=_one, compare=False)


@dataclass(frozen=True)
class Layer:
    """Everything that a layer of one kind adds to the stream.

    Attributes:
        branches: in the order in which they are computed; of several MLPs, none is read by what
            mixes positions.
        biases: parameters that are added by themselves.
        scale: the parameter or buffer, of one number, by which the whole stream is multiplied in
            the end; None where it is not.
    """

    branches: tuple[Branch, ...]
    biases: tuple[str, ...] = ()
    scale: str | None = None


def structure(layer: nn.Module) -> Hashable:
    """What a layer consists of, sizes left aside: layers of one structure add the same."""
    modules = ((name, type(module).__qualname__) for name, module in layer.named_modules())
    weights = ((name, "") for name, _ in layer.named_parameters())
    # NOTE numbers aside: there may be any number of experts.
    parts = ((re.sub(r"\d+", "*", name), what) for name, what in (*modules, *weights))
    return tuple(dict.fromkeys(parts))


@dataclass(frozen=True)
class Architecture:
    """Names of the parts of a decoder layer, relative to the model or to the layer.

    `attention_norm` and `mlp_norm` are norms applied to a block's *output* before it is added to
    the stream; norms applied to a block's input need no mention, for they add nothing themselves.
    Where `kinds` is given, it tells the parts of a layer by its `structure`, and the names of
    layers' parts are not used.
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
    kinds: Mapping[Hashable, Layer] | None = None

    def layer(self, layer: nn.Module) -> Layer:
        """What a layer adds to the stream."""
        if self.kinds is not None:
            found = self.kinds.get(structure(layer))
            if found is None:
                raise LengthlensError(
                    "the model has a layer of another kind than the small model of its class and "
                    "config, so that what it adds to the stream is not known"
                )
            return found
        attention = Branch(
            ATTENTION,
            self.attention_output,
            norm=self.attention_norm,
            norm_weight_offset=self.norm_weight_offset,
            factor=self.residual_multiplier,
        )
        mlp = Branch(MLP, self.mlp, norm=self.mlp_norm, whole=True, factor=self.residual_multiplier)
        return Layer((attention, mlp))


_OUTPUT_NORMS = {
    "attention_norm": "post_attention_layernorm",
    "mlp_norm": "post_feedforward_layernorm",
}

ARCHITECTURES: dict[str, Architecture] = {
    **dict.fromkeys(
        ("llama", "mistral", "qwen2", "qwen3", "phi3", "mixtral", "qwen3_moe"), Architecture()
    ),
    "gemma": Architecture(norm_weight_offset=1.0),
    **dict.fromkeys(
        ("gemma2", "gemma3_text"),
        Architecture(**_OUTPUT_NORMS, norm_weight_offset=1.0, soft_cap="final_logit_softcapping"),
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
