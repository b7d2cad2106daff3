"""Norms: their denominator, their epsilon, and which of the two kinds one is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lengthlens.errors import LengthlensError


def norm_epsilon(norm: nn.Module) -> float:
    """The constant that a norm adds to the variance before the square root.

    Raises:
        LengthlensError: it is neither an attribute of the norm nor can it be measured.
    """
    found = _epsilon(norm)
    if found is not None:
        return found
    raise LengthlensError(
        f"the norm {type(norm).__name__} has no attribute variance_epsilon, eps or epsilon; name "
        "its epsilon in lengthlens.models.norms.norm_epsilon"
    )


def _epsilon(norm: nn.Module) -> float | None:
    """The epsilon that a norm names; where it keeps it in its code (OLMo 1), as measured.

    Of an input with the variance v, small enough for epsilon to show, the norm without weights
    gives out the variance v / (v + epsilon).
    """
    for name in ("variance_epsilon", "eps", "epsilon"):
        if hasattr(norm, name):
            return float(getattr(norm, name))
    shape = getattr(norm, "normalized_shape", None)
    if shape is None or next(norm.parameters(), None) is not None:
        return None
    x = 1e-3 * torch.sin(torch.arange(1.0, 1.0 + math.prod(shape), device="cpu"))
    x = x.reshape(shape) - x.mean()
    variance = x.var(unbiased=False)
    # NOTE not the norm itself, whose hooks may be what asks.
    return float(variance / norm.forward(x).var(unbiased=False) - variance)


def rms(
    stream: Float[Tensor, "*row d_model"], epsilon: float, centred: bool
) -> Float[Tensor, "*row"]:
    """The denominator by which a norm divides, in float32 or better."""
    stream = stream.to(torch.promote_types(stream.dtype, torch.float32))
    if centred:
        return (stream.var(-1, unbiased=False) + epsilon).sqrt()
    return (stream.square().mean(-1) + epsilon).sqrt()


@dataclass(frozen=True)
class NormKind:
    """What attribution must know of a norm.

    Attributes:
        centred: whether it subtracts the mean (LayerNorm) or not (RMSNorm).
        weight_offset: added to its weight (1 in Gemma).
    """

    centred: bool
    weight_offset: float


def norm_kind(
    norm: nn.Module, x: Float[Tensor, "*row d_model"], y: Float[Tensor, "*rows out"]
) -> NormKind | None:
    """The kind of norm that turns `x` into `y`, or None where it is neither of the known kinds.

    Args:
        norm: the module, in float32.
        x: its input.
        y: its output; of other shape, it is no norm.
    """
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    epsilon = _epsilon(norm)
    if epsilon is None or y.shape != x.shape:
        return None
    weight = x.new_ones(x.shape[-1:]) if weight is None else weight  # OLMo 1, nanochat
    if weight.shape != x.shape[-1:]:
        return None
    for centred in (False, True):
        moved = x - x.mean(-1, keepdim=True) if centred else x
        unit = moved / rms(x, epsilon, centred)[..., None]
        for offset in (0.0, 1.0):
            expected = unit * (weight + offset) + (0.0 if bias is None else bias)
            if (expected - y).abs().max() <= 1e-5 * y.abs().max():
                return NormKind(centred, offset)
    return None
