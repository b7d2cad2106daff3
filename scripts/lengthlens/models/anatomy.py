"""Where a model keeps the terms that add up to its residual stream.

`dissect` binds an architecture to a loaded model: the row that `architectures` lists for its
`config.model_type`, or what `detect` finds where it lists none.

A decoder's final residual is the sum of its components,
``r = embedding + sum_l (sum_h a[l, h] + m[l]) + biases``, where head (l, h) adds
``a[l, h] = k * g * W_O[l][:, h] @ x[l, h] / s``: `x` is the input of the output projection, `k` the
residual multiplier, and `g`, `s` weight and scale of a norm applied to the projection's output
(1 where there is none).

Layers may differ (hybrids). The heads of a mixer lie where those of an attention would; a layer
with both has those of one after those of the other. A mixer without heads is head 0 of its layer:
`x` is what it gives, and W_O the identity. Arrays are as wide as the layer with the most heads and
the widest heads, and zero where a layer has no such head; `Anatomy.layout` tells what there is.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from torch import nn

from lengthlens.models.architectures import (
    ARCHITECTURES,
    ATTENTION,
    MLP,
    OF_CONFIG,
    Architecture,
    Branch,
)
from lengthlens.models.detect import detect
from lengthlens.models.layout import Layout
from lengthlens.models.small_model import (
    layer_config,
    mixer_groups,
    n_attention_heads,
    text_config,
)
from lengthlens.statistics.blocks import Block
from lengthlens.weights.shape import Shape


@dataclass(frozen=True)
class Site:
    """A branch of one layer, bound to its modules.

    Attributes:
        module: the output projection, or the module of the whole branch.
        norm: applied to its output, or None.
        factor: by which what it gives is multiplied before it is added, and later in the stream.
        heads: their places in the layer; empty for an MLP.
        width: of each head's part of the projection's input.
        group: how many neighbouring heads share keys and values, or a mixer's maps.
    """

    branch: Branch
    module: nn.Module
    norm: nn.Module | None
    factor: float
    heads: slice
    width: int
    group: int = 1

    @property
    def n_heads(self) -> int:
        return self.heads.stop - self.heads.start

    @property
    def last(self) -> nn.Module:
        """The module whose output is added to the stream."""
        return self.norm if self.norm is not None else self.module


@dataclass(frozen=True)
class Experts:
    """The experts of a layer's MLP, told apart by a module that gives what some of them add.

    Attributes:
        module: its name below the layer.
        mlp: the place of the MLP that it is a part of.
        routed: whether it gives what the routed experts add; else what the shared ones do.
        shared: whether there are shared ones.
    """

    module: str
    mlp: int
    routed: bool
    shared: bool


@dataclass(frozen=True)
class LayerSites:
    """Modules of one layer at which its components are read or replaced.

    Attributes:
        first: the layer itself: its input is the stream before it.
        mixing: attention and mixers; none in a layer that is an MLP alone.
        mlps: the MLP or mixture of experts; several (shared experts apart) are one component.
        biases: what is added by itself.
        scale: by which everything that the layer adds is multiplied until the end of the stream.
    """

    first: nn.Module
    mixing: tuple[Site, ...]
    mlps: tuple[Site, ...]
    biases: tuple[nn.Parameter, ...] = ()
    scale: float = 1.0

    @property
    def mlp(self) -> Site | None:
        """The MLP that is computed last, or None."""
        return self.mlps[-1] if self.mlps else None

    @property
    def attention(self) -> Site | None:
        """The softmax attention, or None."""
        return next((site for site in self.mixing if site.branch.kind == ATTENTION), None)

    @property
    def attention_norm(self) -> nn.Module | None:
        """The norm after the projection of the heads; a layer has one at most."""
        norms = (site.norm for site in self.mixing if not site.branch.whole)
        return next((norm for norm in norms if norm is not None), None)

    @property
    def kind(self) -> str:
        """Kinds of what mixes positions: `attention`, `mixer`, both with a + between, or none."""
        return "+".join(site.branch.kind for site in self.mixing)


@dataclass(frozen=True)
class Anatomy:
    """A model's architecture bound to its modules, with the sizes that every array needs.

    Attributes:
        experts: of every layer, where they are to be told apart (`experts.with_experts`); None for
            a layer without.
    """

    architecture: Architecture
    layers: tuple[LayerSites, ...]
    final_norm: nn.Module
    unembedding: nn.Module
    n_heads: int  # of the layer with the most
    n_kv_heads: int  # groups of neighbouring heads that share keys and values
    d_head: int  # of the widest heads
    d_model: int
    vocabulary_size: int
    logit_multiplier: float
    soft_cap: float | None
    shares_keys: bool = False  # later layers read the keys and values of earlier ones
    experts: tuple[Experts | None, ...] = ()

    @property
    def embedding_factor(self) -> float:
        """By which the stream that enters the first layer is multiplied until its end."""
        return self.layers[0].scale

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @functools.cached_property
    def layout(self) -> Layout:
        """Which heads and MLPs there are."""
        blocks = tuple(
            Block(index, site.heads.start, site.heads.stop, site.group)
            for index, layer in enumerate(self.layers)
            for site in layer.mixing
        )
        mlps = tuple(index for index, layer in enumerate(self.layers) if layer.mlp is not None)
        return Layout(self.n_layers, blocks, mlps)

    @functools.cached_property
    def uniform(self) -> bool:
        """Whether every layer has the same heads, of one width, and an MLP."""
        widths = {site.width for layer in self.layers for site in layer.mixing}
        norms = {layer.attention_norm is None for layer in self.layers}
        single = all(len(layer.mixing) == 1 for layer in self.layers)
        whole = bool(self.layout.has_head.all() and self.layout.has_mlp.all())
        return single and whole and len(widths) == len(norms) == 1

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


def down_projection(anatomy: Anatomy, layer: int) -> nn.Module | None:
    """The linear map that takes in the neurons of a layer's MLP, gated or plain.

    None where there is not exactly one: among experts, or where the neurons are as many as the
    stream has dimensions and the map into them looks alike.
    """
    site = anatomy.layers[layer].mlp
    if len(anatomy.layers[layer].mlps) != 1 or any(
        hasattr(module, "experts") for module in site.module.modules()
    ):
        return None
    found = [
        module
        for module in site.module.modules()
        if getattr(module, "out_features", getattr(module, "nf", None)) == anatomy.d_model
    ]
    return found[0] if len(found) == 1 else None


def key_value_heads(config) -> int:
    """How many heads of keys and values a layer has; as many as query heads where none are shared.

    Falcon names them otherwise, and says of one that all share by `multi_query`.
    """
    heads = n_attention_heads(config)
    if getattr(config, "multi_query", False) and not getattr(
        config, "new_decoder_architecture", False
    ):
        return 1
    # NOTE a config keeps any key that it is given; only those that its class knows are used.
    known = inspect.signature(type(config).__init__).parameters
    names = [name for name in ("num_key_value_heads", "num_kv_heads") if name in known]
    found = next((n for name in names if (n := getattr(config, name, None))), heads)
    return found if found and heads % found == 0 else heads


def dissect(model: nn.Module) -> Anatomy:
    """Find the components of a causal language model.

    Args:
        model: a model loaded by transformers' `AutoModelForCausalLM` (any device, also meta).

    Raises:
        LengthlensError: the architecture is not listed and cannot be detected.
        LookupError: layers scale the stream by numbers that are on the meta device.
    """
    return bound(model, ARCHITECTURES.get(model.config.model_type) or detect(model))


def bound(model: nn.Module, row: Architecture) -> Anatomy:
    """An architecture bound to a model's modules."""
    config = text_config(model.config)
    first = layer_config(config, 0)
    unembedding = model.get_submodule(row.unembedding)
    found = list(model.get_submodule(row.layers))
    layers = tuple(
        _sites(layer, row, layer_config(config, index), unembedding.in_features, scale)
        for index, (layer, scale) in enumerate(zip(found, _scales(found, row), strict=True))
    )
    mixing = [site for layer in layers for site in layer.mixing]
    return Anatomy(
        architecture=row,
        layers=layers,
        final_norm=model.get_submodule(row.final_norm),
        unembedding=unembedding,
        n_heads=max((site.heads.stop for site in mixing), default=1),
        n_kv_heads=key_value_heads(first),
        d_head=max((site.width for site in mixing), default=1),
        d_model=unembedding.in_features,
        vocabulary_size=unembedding.out_features,
        logit_multiplier=float(row.logit_multiplier(config)),
        soft_cap=getattr(config, row.soft_cap) if row.soft_cap else None,
        shares_keys=bool(getattr(config, "num_kv_shared_layers", 0)),
    )


def _scales(layers: Sequence[nn.Module], row: Architecture) -> list[float]:
    """By how much the stream is multiplied from the end of each layer on."""
    scales, product = [], 1.0
    for layer in reversed(layers):
        name = row.layer(layer).scale
        if name is not None:
            scale = attrgetter(name)(layer)
            if scale.is_meta:
                raise LookupError(name)
            product *= float(scale)
        scales.append(product)
    return scales[::-1]


def _sites(layer: nn.Module, row: Architecture, config, d_model: int, scale: float) -> LayerSites:
    parts = row.layer(layer)
    mixing: list[Site] = []
    mlps: list[Site] = []
    for branch in parts.branches:
        module = layer.get_submodule(branch.module)
        start = mixing[-1].heads.stop if mixing else 0
        n_heads, width = 0, 0
        if branch.kind != MLP:
            n_heads, width = (1, d_model) if branch.whole else _heads(layer, branch, module, config)
        site = Site(
            branch,
            module,
            norm=None if branch.norm is None else layer.get_submodule(branch.norm),
            factor=float(branch.factor(config)) * scale,
            heads=slice(start, start + n_heads),
            width=width,
            group=_group(layer, branch, n_heads, config),
        )
        (mlps if branch.kind == MLP else mixing).append(site)
    biases = tuple(layer.get_parameter(name) for name in parts.biases)
    return LayerSites(layer, tuple(mixing), tuple(mlps), biases, scale)


def _heads(layer: nn.Module, branch: Branch, module: nn.Module, config) -> tuple[int, int]:
    """Number and width of the heads that a projection takes in."""
    if branch.heads is not None and branch.heads.startswith(OF_CONFIG):
        n_heads = getattr(config, branch.heads.removeprefix(OF_CONFIG))
    elif branch.heads is not None:
        n_heads = attrgetter(branch.heads)(layer).numel()
    else:
        n_heads = n_attention_heads(config)
    # Columns are all heads side by side. GPT-2's Conv1D is transposed.
    return n_heads, module.weight.shape[1 if isinstance(module, nn.Linear) else 0] // n_heads


def _group(layer: nn.Module, branch: Branch, n_heads: int, config) -> int:
    """How many neighbouring heads share what they attend with."""
    if branch.kind == MLP or branch.whole:
        return 1
    if branch.kind != ATTENTION:
        shared = mixer_groups(config)
        return n_heads // shared if shared and n_heads % shared == 0 else 1
    # Layers of one config may differ in it (Gemma 4), and their modules tell.
    holder = layer.get_submodule(branch.module.rpartition(".")[0])
    group = getattr(holder, "num_key_value_groups", None) or n_heads // key_value_heads(config)
    return group if group and n_heads % group == 0 else 1
