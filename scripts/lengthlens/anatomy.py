"""Where each architecture keeps the terms that add up to its residual stream.

This is the only module that knows architectures. A row of `ARCHITECTURES` says, for one
`config.model_type`, under which names the output projections, MLPs and norms are found and which
multipliers apply; `dissect` binds such a row to a loaded model. To add an architecture, add a row
here and one to `tests/architectures.py`; `tests/test_anatomy.py` proves it by completeness: the
components' direct logit attributions must add up to the model's own logit.

A decoder's final residual is the sum of its components,
``r = embedding + sum_l (sum_h a[l, h] + m[l]) + biases``, where head (l, h) adds
``a[l, h] = k * g * W_O[l][:, h] @ x[l, h] / s``: `x` is the input of the output projection, `k` the
residual multiplier, and `g`, `s` weight and scale of a norm applied to the attention's output
(1 where there is none).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter

from torch import nn

from lengthlens.errors import LengthlensError


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


@dataclass(frozen=True)
class LayerSites:
    """Modules of one layer at which its components are read or replaced."""

    first: nn.Module  # the layer itself: its input is the stream before it
    attention_output: nn.Module  # input: [..., head * d_head]
    mlp: nn.Module  # output: what the MLP adds to the stream, before the residual multiplier
    attention_norm: nn.Module | None
    mlp_norm: nn.Module | None

    @property
    def mlp_site(self) -> nn.Module:
        """The module whose output is added to the stream for the MLP."""
        return self.mlp_norm if self.mlp_norm is not None else self.mlp


@dataclass(frozen=True)
class Anatomy:
    """A model's architecture bound to its modules, with the sizes that every array needs."""

    architecture: Architecture
    layers: tuple[LayerSites, ...]
    final_norm: nn.Module
    unembedding: nn.Module
    n_heads: int
    d_head: int
    d_model: int
    vocabulary_size: int
    residual_multiplier: float
    logit_multiplier: float
    soft_cap: float | None

    @property
    def n_layers(self) -> int:
        return len(self.layers)


def architecture_of(config) -> Architecture:
    """The row for a model's config.

    Raises:
        LengthlensError: the architecture is not listed.
    """
    try:
        return ARCHITECTURES[config.model_type]
    except KeyError:
        raise LengthlensError(
            f"architecture {config.model_type!r} is not known, so its attribution cannot be "
            f"trusted. Known: {', '.join(sorted(ARCHITECTURES))}. To add one, add a row to "
            "scripts/lengthlens/anatomy.py and to tests/architectures.py."
        ) from None


def submodule(root: nn.Module, path: str | None) -> nn.Module | None:
    """The module at a dotted path below `root`, or None where the path is None."""
    return None if path is None else functools.reduce(getattr, path.split("."), root)


def norm_epsilon(norm: nn.Module) -> float:
    """The constant that a norm adds to the variance before the square root."""
    for name in ("variance_epsilon", "eps"):
        if hasattr(norm, name):
            return float(getattr(norm, name))
    raise LengthlensError(
        f"the norm {type(norm).__name__} has no attribute variance_epsilon or eps; name its "
        "epsilon in lengthlens.anatomy.norm_epsilon"
    )


def head_width(config) -> int:
    """Dimensions of one attention head's output, `d_head`."""
    explicit = getattr(config, "head_dim", None)
    return explicit or config.hidden_size // config.num_attention_heads


def dissect(model: nn.Module) -> Anatomy:
    """Find the components of a causal language model.

    Args:
        model: a model loaded by transformers' `AutoModelForCausalLM` (any device, also meta).

    Raises:
        LengthlensError: the architecture is not listed.
    """
    config = model.config
    row = architecture_of(config)
    layers = tuple(
        LayerSites(
            first=layer,
            attention_output=submodule(layer, row.attention_output),
            mlp=submodule(layer, row.mlp),
            attention_norm=submodule(layer, row.attention_norm),
            mlp_norm=submodule(layer, row.mlp_norm),
        )
        for layer in submodule(model, row.layers)
    )
    return Anatomy(
        architecture=row,
        layers=layers,
        final_norm=submodule(model, row.final_norm),
        unembedding=submodule(model, row.unembedding),
        n_heads=config.num_attention_heads,
        d_head=head_width(config),
        d_model=config.hidden_size,
        vocabulary_size=config.vocab_size,
        residual_multiplier=float(row.residual_multiplier(config)),
        logit_multiplier=float(row.logit_multiplier(config)),
        soft_cap=getattr(config, row.soft_cap) if row.soft_cap else None,
    )
