"""The weights through which a component of the residual stream reaches a logit.

`Readout` holds the output projections, the final norm and the unembedding: all that direct logit
attribution needs. It is taken from a loaded model or read lazily from a checkpoint's safetensors,
without ever loading the rest of the model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lengthlens.models.anatomy import Anatomy, LayerSites, Site, dissect
from lengthlens.models.layout import Layout

_MEAN_ROWS = 8192  # of the unembedding, converted at a time


@dataclass(frozen=True)
class Readout:
    """Linear maps from components to logits, with the norms' scales left out.

    Attributes:
        output: W_O of every layer, as added to the stream (residual multiplier and the weight of a
            norm after attention included), in float32 or better where it is not the weight itself;
            columns are head-major, 0 for heads that a layer lacks; the identity for a mixer without
            heads. Each lies where its layer does, all else with the unembedding.
        output_bias: bias of every output projection, treated alike; None where there is none.
        unembedding: W_U.
        unembedding_bias: b; None where there is none.
        norm_weight: the final norm's effective weight.
        norm_bias: its bias; None where there is none.
        logit_multiplier: κ.
        centred: whether the final norm subtracts the mean (LayerNorm).
        layout: which heads and MLPs there are.
    """

    output: tuple[Float[Tensor, "d_model head_d_head"], ...]
    output_bias: Float[Tensor, "layer d_model"] | None
    unembedding: Float[Tensor, "vocabulary d_model"]
    unembedding_bias: Float[Tensor, " vocabulary"] | None
    norm_weight: Float[Tensor, " d_model"]
    norm_bias: Float[Tensor, " d_model"] | None
    logit_multiplier: float
    centred: bool
    n_heads: int
    layout: Layout

    @property
    def compute_dtype(self) -> torch.dtype:
        """Attribution's arithmetic: the weights' precision, at least float32."""
        return torch.promote_types(self.unembedding.dtype, torch.float32)

    @functools.cached_property
    def gram(self) -> tuple[Float[Tensor, "head d_head d_head"], ...]:
        """W_O[:, h]^T W_O[:, h] of every head, layer by layer, in the compute precision."""
        found = []
        for output in self.output:
            by_head = output.to(self.unembedding.device, self.compute_dtype)
            by_head = by_head.unflatten(-1, (self.n_heads, -1)).transpose(0, 1)
            found.append(by_head.transpose(1, 2) @ by_head)
        return tuple(found)

    def directions(self, tokens: Int[Tensor, " token"]) -> Float[Tensor, "token d_model"]:
        """u_y for every token: the direction of the residual stream that raises its logit."""
        return self._directions(self.unembedding[tokens])

    def mean_direction(self) -> Float[Tensor, " d_model"]:
        """The mean of u_y over the vocabulary."""
        return self._directions(self._mean_row[None])[0]

    @functools.cached_property
    def _mean_row(self) -> Float[Tensor, " d_model"]:
        """The mean of W_U over the vocabulary, in the compute precision."""
        weight, dtype = self.unembedding, self.compute_dtype
        if weight.dtype == dtype:
            return weight.mean(0)
        # NOTE in parts: `mean(0, dtype=…)` converts the whole of it first on a CPU, 2.1 GB more for
        # Llama 3.1 8B.
        total = torch.zeros(weight.shape[1], dtype=dtype, device=weight.device)
        for rows in weight.split(_MEAN_ROWS):
            total += rows.to(dtype).sum(0)
        return total / len(weight)

    def _directions(self, rows: Float[Tensor, "token d_model"]) -> Float[Tensor, "token d_model"]:
        u = self.logit_multiplier * rows.to(self.compute_dtype) * self.norm_weight
        return u - u.mean(-1, keepdim=True) if self.centred else u

    def constants(self, tokens: Int[Tensor, " token"]) -> Float[Tensor, " token"]:
        """κ(⟨β, W_U[y]⟩ + b_y): the part of each token's logit that no component explains."""
        bias = None if self.unembedding_bias is None else self.unembedding_bias[tokens]
        return self._constants(self.unembedding[tokens], bias)

    def mean_constant(self) -> Float[Tensor, ""]:
        """The mean of the constants over the vocabulary."""
        dtype = self.compute_dtype
        bias = self.unembedding_bias
        mean_bias = None if bias is None else bias.mean(0, dtype=dtype)[None]
        return self._constants(self._mean_row[None], mean_bias)[0]

    def _constants(self, rows: Tensor, bias: Tensor | None) -> Tensor:
        total = torch.zeros(len(rows), dtype=self.compute_dtype, device=rows.device)
        if self.norm_bias is not None:
            total = total + rows.to(total.dtype) @ self.norm_bias
        if bias is not None:
            total = total + bias.to(total.dtype)
        return self.logit_multiplier * total


def readout_of(
    model: nn.Module,
    weight: Callable[[str], Tensor] | None = None,
    anatomy: Anatomy | None = None,
) -> Readout:
    """The readout of a causal language model.

    Args:
        model: the model, or its skeleton on the meta device where `weight` is given.
        weight: reads a parameter by its name; by default from the model itself.
        anatomy: its components, where they are known.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def read(parameter: Tensor | None) -> Tensor | None:
        if parameter is None:
            return None
        return parameter.detach() if weight is None else weight(names[id(parameter)])

    anatomy = anatomy or dissect(model)
    unembedding = read(anatomy.unembedding.weight)
    exact, place = torch.promote_types(unembedding.dtype, torch.float32), unembedding.device
    norm_bias = read(getattr(anatomy.final_norm, "bias", None))
    layers = [_layer_output(anatomy, layer, read) for layer in anatomy.layers]
    outputs, biases = zip(*layers, strict=True)
    biased = None
    if any(bias is not None for bias in biases):
        zero = torch.zeros(anatomy.d_model)
        biased = torch.stack([(zero if b is None else b).to(place, exact) for b in biases])
    gain = _norm_weight(anatomy.final_norm, anatomy.architecture.norm_weight_offset, read)
    return Readout(
        output=outputs,
        output_bias=biased,
        unembedding=unembedding,
        unembedding_bias=read(getattr(anatomy.unembedding, "bias", None)),
        norm_weight=(torch.ones(anatomy.d_model) if gain is None else gain).to(place),
        norm_bias=None if norm_bias is None else norm_bias.to(place, exact),
        logit_multiplier=anatomy.logit_multiplier,
        centred=anatomy.architecture.centred_norm,
        n_heads=anatomy.n_heads,
        layout=anatomy.layout,
    )


def _exact(weight: Tensor) -> Tensor:
    """A weight in float32 or better."""
    return weight.to(torch.promote_types(weight.dtype, torch.float32))


def _norm_weight(norm: nn.Module, offset: float, read) -> Tensor | None:
    """The effective weight of a norm; None where it has none."""
    weight = read(getattr(norm, "weight", None))
    # NOTE in float32, as the norms do: in bfloat16 1 + weight would lose most of the weight.
    return None if weight is None else _exact(weight) + offset


def _layer_output(anatomy: Anatomy, layer: LayerSites, read) -> tuple[Tensor, Tensor | None]:
    """W_O of all heads of a layer, and what it adds without any head; see `Readout.output`."""
    parts, biases = [], [read(bias) * layer.scale for bias in layer.biases]
    for site in layer.mixing:
        if site.branch.whole:
            parts.append((site, site.factor * torch.eye(site.width)))
            continue
        weight, bias = read(site.module.weight), read(getattr(site.module, "bias", None))
        if not isinstance(site.module, nn.Linear):
            weight = weight.T  # of GPT-2's Conv1D
        gain = _gain(site, read)
        if isinstance(gain, Tensor):
            weight = _exact(weight) * gain[:, None]
        elif gain != 1.0:
            weight = _exact(weight) * gain
        parts.append((site, weight))
        if bias is not None:
            biases.append(_exact(bias) * gain)
    bias = sum(biases[1:], biases[0]) if biases else None
    if anatomy.uniform and not parts[0][0].branch.whole:
        return parts[0][1], bias
    like = parts[0][1] if parts else read(anatomy.unembedding.weight)
    whole = like.new_zeros(anatomy.d_model, anatomy.n_heads, anatomy.d_head)
    for site, weight in parts:
        whole[:, site.heads, : site.width] = weight.unflatten(1, (site.n_heads, site.width))
    return whole.flatten(1), bias


def _gain(site: Site, read) -> Tensor | float:
    """What multiplies a projection's output on its way into the stream."""
    offset = site.branch.norm_weight_offset
    weight = None if site.norm is None else _norm_weight(site.norm, offset, read)
    return site.factor if weight is None else site.factor * weight
