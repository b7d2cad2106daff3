"""Where a model keeps the terms that add up to its residual stream.

`dissect` binds an architecture to a loaded model: the row that `architectures` lists for its
`config.model_type`, or what `detect` finds where it lists none.

A decoder's final residual is the sum of its components,
``r = embedding + sum_l (sum_h a[l, h] + m[l]) + biases``, where head (l, h) adds
``a[l, h] = k * g * W_O[l][:, h] @ x[l, h] / s``: `x` is the input of the output projection, `k` the
residual multiplier, and `g`, `s` weight and scale of a norm applied to the attention's output
(1 where there is none).
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass

from torch import nn

from lengthlens.models.architectures import ARCHITECTURES, Architecture
from lengthlens.models.detect import detect
from lengthlens.models.small_model import text_config
from lengthlens.weights.shape import Shape


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
    n_kv_heads: int  # groups of neighbouring heads that share keys and values
    d_head: int
    d_model: int
    vocabulary_size: int
    residual_multiplier: float
    logit_multiplier: float
    soft_cap: float | None

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    def shape(self, dtype: str) -> Shape:
        """The sizes from which memory follows, with the precision of the weights."""
        return Shape(
            layers=self.n_layers,
            d_model=self.d_model,
            heads=self.n_heads,
            kv_heads=self.n_kv_heads,
            d_head=self.d_head,
            vocabulary=self.vocabulary_size,
            dtype=dtype,
        )


def n_components(anatomy: Anatomy) -> int:
    """Heads and MLPs of a model."""
    return anatomy.n_layers * (anatomy.n_heads + 1)


def submodule(root: nn.Module, path: str | None) -> nn.Module | None:
    """The module at a dotted path below `root`, or None where the path is None."""
    return None if path is None else functools.reduce(getattr, path.split("."), root)


def projection_width(projection: nn.Module) -> int:
    """Columns of an output projection: all heads side by side. GPT-2's Conv1D is transposed."""
    return projection.weight.shape[1 if isinstance(projection, nn.Linear) else 0]


def down_projection(anatomy: Anatomy, layer: int) -> nn.Module | None:
    """The linear map that takes in the neurons of a layer's MLP, gated or plain.

    None where there is not exactly one: among experts, or where the neurons are as many as the
    stream has dimensions and the map into them looks alike.
    """
    mlp = anatomy.layers[layer].mlp
    if any(hasattr(module, "experts") for module in mlp.modules()):
        return None
    found = [
        module
        for module in mlp.modules()
        if getattr(module, "out_features", getattr(module, "nf", None)) == anatomy.d_model
    ]
    return found[0] if len(found) == 1 else None


def key_value_heads(config) -> int:
    """How many heads of keys and values a layer has; as many as query heads where none are shared.

    Falcon names them otherwise, and says of one that all share by `multi_query`.
    """
    heads = config.num_attention_heads
    if getattr(config, "multi_query", False) and not getattr(
        config, "new_decoder_architecture", False
    ):
        return 1
    # NOTE a config keeps any key that it is given; only those that its class knows are used.
    known = inspect.signature(type(config).__init__).parameters
    names = [name for name in ("num_key_value_heads", "num_kv_heads") if name in known]
    found = next((n for name in names if (n := getattr(config, name, None))), heads)
    return found if heads % found == 0 else heads


def dissect(model: nn.Module) -> Anatomy:
    """Find the components of a causal language model.

    Args:
        model: a model loaded by transformers' `AutoModelForCausalLM` (any device, also meta).

    Raises:
        LengthlensError: the architecture is not listed and cannot be detected.
    """
    config = text_config(model.config)
    row = ARCHITECTURES.get(model.config.model_type) or detect(model)
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
        n_kv_heads=key_value_heads(config),
        d_head=projection_width(layers[0].attention_output) // config.num_attention_heads,
        d_model=config.hidden_size,
        vocabulary_size=config.vocab_size,
        residual_multiplier=float(row.residual_multiplier(config)),
        logit_multiplier=float(row.logit_multiplier(config)),
        soft_cap=getattr(config, row.soft_cap) if row.soft_cap else None,
    )
