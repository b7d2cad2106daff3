"""Norms: their denominator, their epsilon, and which of the two kinds one is."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lengthlens.errors import LengthlensError

TOLERANCE = 1e-5  # of the largest value compared, in float32; measured: at most 1.2e-6


def norm_epsilon(norm: nn.Module) -> float:
    """The constant that a norm adds to the variance before the square root.

    Raises:
        LengthlensError: it is neither an attribute of the norm nor can it be measured.
    """
    if (found := _epsilon(norm)) is None:
        raise LengthlensError(
            f"the norm {type(norm).__name__} has no attribute variance_epsilon, eps or epsilon; "
            "name its epsilon in lengthlens.models.norms.norm_epsilon"
        )
    return found


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
    power = stream.var(-1, unbiased=False) if centred else stream.square().mean(-1)
    return (power + epsilon).sqrt()


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
    for kind in itertools.starmap(NormKind, itertools.product((False, True), (0.0, 1.0))):
        moved = x - x.mean(-1, keepdim=True) if kind.centred else x
        unit = moved / rms(x, epsilon, kind.centred)[..., None]
        if equal(unit * (weight + kind.weight_offset) + (0.0 if bias is None else bias), y):
            return kind
    return None


def equal(a: Tensor, b: Tensor) -> bool:
    """Whether values are of one shape and equal but for rounding, within `TOLERANCE`."""
    return a.shape == b.shape and bool((a - b).abs().max() <= TOLERANCE * b.abs().max())
