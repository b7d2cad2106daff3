"""Direct logit attribution by folding, and its sums over an answer.

Method (arXiv 2509.02075, and Elhage et al. 2021 for direct logit attribution):

1. The logit of token y is linear in the residual stream once the final norm's scale σ is frozen:
   ``logit = sum_c <u_y, c> / σ + constant``, with `u_y` from `readout`.
2. A head's term is never built. The direction is folded through the output projection instead,
   ``v = W_O^T u_y``, and ``DLA(l, h) = <v[l, h], x[l, h]> / σ``: one matrix product a layer for all
   distinct directions of a batch.
3. Three targets: `token`, the produced token's logit minus the vocabulary mean; `logit`, its raw
   logit; `end`, the end margin (best ender minus best word-beginning token), at boundary steps.
4. Cumulative weighted attribution sums DLA over an answer's steps with the adherence sign,
   ``CWA = sum_t s_t DLA_t``, stored whole and apart for the steps with s = +1 and s = -1
   (CWA = plus + minus), with the sum of squares that the sign-permutation null needs.
5. Completeness: the `logit` scores of all components add up to the model's own logit. The largest
   deviation of every sample is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from lengthlens.capture import Residuals
from lengthlens.readout import Readout
from lengthlens.records import Batch, Steps

TARGETS = ("token", "logit", "end")
KINDS = {"head": ("layer", "head"), "mlp": ("layer",), "embed": (), "bias": ()}
_FOLDED_ELEMENTS = 2**25  # elements of one folded layer held at once (128 MB in float32)


@dataclass(frozen=True)
class Scores:
    """DLA of every component at every step, for each of `TARGETS`.

    `end` is zero at steps that are not boundary steps.
    """

    head: Float[np.ndarray, "target step layer head"]
    mlp: Float[np.ndarray, "target step layer"]
    embed: Float[np.ndarray, "target step"]
    bias: Float[np.ndarray, "target step"]

    def total(self) -> Float[np.ndarray, "target step"]:
        """The sum over all components, in float64."""
        heads = self.head.sum((-1, -2), dtype=np.float64)
        return heads + self.mlp.sum(-1, dtype=np.float64) + self.embed + self.bias


def attribute_steps(readout: Readout, steps: Steps, residuals: Residuals) -> Scores:
    """DLA of every component at every step.

    Args:
        readout: of the model that produced the steps.
        steps: the steps' tokens and scales.
        residuals: the residual stream's terms at the same steps, on the readout's device.
    """
    chunk = max(1, _FOLDED_ELEMENTS // readout.output[0].shape[1])
    parts = []
    for start in range(0, len(steps), chunk):
        part = slice(start, start + chunk)
        parts.append(_attribute_chunk(readout, steps[part], residuals[part]))
    return Scores(
        *(
            np.concatenate([getattr(part, kind) for part in parts], axis=1)
            for kind in ("head", "mlp", "embed", "bias")
        )
    )


def _attribute_chunk(readout: Readout, steps: Steps, residuals: Residuals) -> Scores:
    device, dtype = readout.unembedding.device, readout.compute_dtype
    terms = Residuals(
        residuals.embed.to(device, dtype),
        residuals.head.to(device),
        residuals.mlp.to(device),
        residuals.scale.to(device, dtype),
        None if residuals.attention_scale is None else residuals.attention_scale.to(device, dtype),
    )

    def tokens(column: np.ndarray) -> Int[Tensor, " step"]:
        return torch.as_tensor(np.ascontiguousarray(column), dtype=torch.long, device=device)

    logit = _Directions.of_tokens(readout, tokens(steps.token))
    mean = _Directions.of_mean(readout, len(steps))
    margin = _Directions.of_margins(
        readout, tokens(steps.ender_token), tokens(steps.word_token), tokens(steps.boundary) > 0
    )
    raw, centre, end = (_project(readout, d, terms) for d in (logit, mean, margin))
    by_target = [[r - c for r, c in zip(raw, centre, strict=True)], raw, end]
    return Scores(*(torch.stack(kind).cpu().numpy() for kind in zip(*by_target, strict=True)))


@dataclass(frozen=True)
class _Directions:
    """Distinct directions and constants, and which of them each step uses, with a weight."""

    u: Float[Tensor, "distinct d_model"]
    constant: Float[Tensor, " distinct"]
    place: Int[Tensor, " step"]
    weight: Float[Tensor, " step"]  # 1, or 0 where the target is undefined

    @classmethod
    def of_tokens(cls, readout: Readout, tokens: Tensor) -> _Directions:
        distinct, place = tokens.unique(return_inverse=True)
        u = readout.directions(distinct)
        return cls(u, readout.constants(distinct), place, u.new_ones(len(tokens)))

    @classmethod
    def of_mean(cls, readout: Readout, n_steps: int) -> _Directions:
        u = readout.mean_direction()[None]
        place = torch.zeros(n_steps, dtype=torch.long, device=u.device)
        return cls(u, readout.mean_constant()[None], place, u.new_ones(n_steps))

    @classmethod
    def of_margins(cls, readout: Readout, enders, words, boundary) -> _Directions:
        pairs = torch.stack([enders, words], -1).clamp(min=0)
        distinct, place = pairs.unique(dim=0, return_inverse=True)
        ender, word = distinct.unbind(-1)
        return cls(
            readout.directions(ender) - readout.directions(word),
            readout.constants(ender) - readout.constants(word),
            place,
            boundary.to(readout.compute_dtype),
        )


def _project(readout: Readout, directions: _Directions, terms: Residuals) -> tuple[Tensor, ...]:
    """Scores of heads [step, layer, head], MLPs [step, layer], embedding and biases [step]."""
    weight = directions.weight / terms.scale
    u = (
        directions.u[directions.place]
        if len(directions.u) > 1
        else directions.u.expand(len(weight), -1)
    )
    heads, mlps = [], []  # converted layer by layer: never a copy of all layers
    for layer, output in enumerate(readout.output):
        folded = directions.u @ output.to(u)
        if len(folded) > 1:
            folded = folded[directions.place]
        folded = folded.unflatten(-1, (readout.n_heads, -1))
        score = (folded * terms.head[:, layer].to(u.dtype)).sum(-1)
        if terms.attention_scale is not None:
            score = score / terms.attention_scale[:, layer, None]
        heads.append(score)
        mlps.append(torch.einsum("sd,sd->s", terms.mlp[:, layer].to(u.dtype), u))
    bias = directions.weight * directions.constant[directions.place]
    if readout.output_bias is not None:
        by_layer = u @ readout.output_bias.to(u.dtype).T
        if terms.attention_scale is not None:
            by_layer = by_layer / terms.attention_scale
        bias = bias + by_layer.sum(-1) * weight
    return (
        torch.stack(heads, 1) * weight[:, None, None],
        torch.stack(mlps, 1) * weight[:, None],
        (terms.embed * u).sum(-1) * weight,
        bias,
    )


def attribute_batch(readout: Readout, batch: Batch) -> xr.Dataset:
    """Sums of DLA over each answer of a batch, as a labelled dataset.

    Returns:
        The variables of an attribution file (docs/files.md), dims (target, sample, layer, head).
    """
    scores = attribute_steps(readout, batch.steps, batch.residuals)
    n_samples, steps = len(batch.samples), batch.steps
    sample = steps.sample
    boundary = steps.boundary.astype(bool)
    data: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    used = np.stack([np.ones_like(boundary), np.ones_like(boundary), boundary])
    for kind, dims in KINDS.items():
        value = getattr(scores, kind).astype(np.float64)
        shape = (slice(None), slice(None)) + (None,) * len(dims)
        signed = value * steps.sign.astype(np.float64)[shape[1:]]
        positive = (steps.sign > 0)[shape[1:]]
        labels = ("target", "sample", *dims)
        plus = _sum_by_sample(np.where(positive, signed, 0.0), sample, n_samples)
        minus = _sum_by_sample(np.where(positive, 0.0, signed), sample, n_samples)
        data[f"cwa_{kind}"] = (labels, plus + minus)
        data[f"cwa_{kind}_plus"] = (labels, plus)
        data[f"cwa_{kind}_minus"] = (labels, minus)
        squares = np.where(used[shape], value, 0.0) ** 2
        data[f"dla_squares_{kind}"] = (labels, _sum_by_sample(squares, sample, n_samples))
        data[f"end_contrast_{kind}"] = (
            labels[1:],
            end_contrast(value[TARGETS.index("end")], steps, n_samples),
        )
    data |= _step_counts(steps, n_samples)
    error = np.abs(scores.total()[TARGETS.index("logit")] - steps.logit)
    data["completeness_error"] = (("sample",), _max_by_sample(error, sample, n_samples))
    data["logit_scale"] = (("sample",), _max_by_sample(np.abs(steps.logit), sample, n_samples))
    return xr.Dataset(
        data,
        coords={
            "target": list(TARGETS),
            "sample_id": ("sample", batch.samples.sample_id),
            "n": ("sample", batch.samples.n),
            "layer": np.arange(scores.head.shape[2]),
            "head": np.arange(scores.head.shape[3]),
        },
    )


def end_contrast(
    share: Float[np.ndarray, "step ..."], steps: Steps, n_samples: int
) -> Float[np.ndarray, "sample ..."]:
    """Share of the end margin at the decision step minus its mean at earlier boundary steps.

    NaN for samples without a decision step or without an earlier boundary step.
    """
    first_decision = np.full(n_samples, len(steps))
    np.minimum.at(first_decision, steps.sample[steps.decision], np.flatnonzero(steps.decision))
    earlier = steps.boundary & (np.arange(len(steps)) < first_decision[steps.sample])
    component = (None,) * (share.ndim - 1)
    counts = np.bincount(steps.sample[earlier], minlength=n_samples)
    decided = np.bincount(steps.sample[steps.decision], minlength=n_samples)
    at_decision = _sum_by_sample(
        share[None] * steps.decision[(None, slice(None), *component)], steps.sample, n_samples
    )[0]
    before = _sum_by_sample(
        share[None] * earlier[(None, slice(None), *component)], steps.sample, n_samples
    )[0]
    defined = ((counts > 0) & (decided > 0))[(slice(None), *component)]
    divisor = np.maximum(counts, 1)[(slice(None), *component)]
    return np.where(defined, at_decision - before / divisor, np.nan)


def _step_counts(steps: Steps, n_samples: int) -> dict[str, tuple[tuple[str], np.ndarray]]:
    negative = steps.sign < 0

    def count(mask: np.ndarray) -> tuple[tuple[str], np.ndarray]:
        return ("sample",), np.bincount(steps.sample[mask], minlength=n_samples)

    return {
        "n_steps": count(np.ones_like(negative)),
        "n_negative": count(negative),
        "n_boundary": count(steps.boundary),
        "n_boundary_negative": count(steps.boundary & negative),
    }


def _sum_by_sample(
    value: Float[np.ndarray, "target step *component"], sample: Int[np.ndarray, " step"], n: int
) -> Float[np.ndarray, "target sample *component"]:
    return np.add.reduceat(value, np.searchsorted(sample, np.arange(n)), axis=1)


def _max_by_sample(
    value: Float[np.ndarray, " step"], sample: Int[np.ndarray, " step"], n: int
) -> Float[np.ndarray, " sample"]:
    return np.maximum.reduceat(value, np.searchsorted(sample, np.arange(n)))
