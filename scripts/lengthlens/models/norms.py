"""Norms: their denominator, their epsilon, and which of the two kinds one is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lengthlens.errors import LengthlensError


def norm_epsilon(norm: nn.Module) -> float:
    """The constant that a norm adds to the variance before the square root."""
    for name in ("variance_epsilon", "eps", "epsilon"):
        if hasattr(norm, name):
            return float(getattr(norm, name))
    raise LengthlensError(
        f"the norm {type(norm).__name__} has no attribute variance_epsilon, eps or epsilon; name "
        "its epsilon in lengthlens.models.norms.norm_epsilon"
    )


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
    norm: nn.Module, x: Float[Tensor, "*row d_model"], y: Float[Tensor, "*row out"]
) -> NormKind | None:
    """The kind of norm that turns `x` into `y`, or None where it is neither of the known kinds.

    Args:
        norm: the module, in float32.
        x: its input.
        y: its output.
    """
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    if weight is None or weight.shape != x.shape[-1:] or y.shape != x.shape:
        return None
    epsilon = norm_epsilon(norm)
    for centred in (False, True):
        moved = x - x.mean(-1, keepdim=True) if centred else x
        unit = moved / rms(x, epsilon, centred)[..., None]
        for offset in (0.0, 1.0):
            expected = unit * (weight + offset) + (0.0 if bias is None else bias)
            if (expected - y).abs().max() <= 1e-5 * y.abs().max():
                return NormKind(centred, offset)
    return None
