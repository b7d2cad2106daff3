"""Proofs made on a model before the study uses it.

Two things are proven on given tokens, in batches that are decoded as the study decodes them
(`decoding.invariance`): attribution is *complete*, that is, the sum of all components' DLA is the
model's own logit; and rows are *independent*, that is, each gives in a batch the logits that it
gives alone, in one plain pass.

(a) on a small random model of the same class and flags in float32 (`small_model`), and on one whose
    windows are shorter than the rows: within `SMALL_TOLERANCE` of max |logit|;
(b) on the real weights: within `TOLERANCES` and `BATCH_TOLERANCES` of its precision.

A model that fails is refused: its scores would be wrong without looking wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lengthlens.attribution.dla import TARGETS, attribute_steps
from lengthlens.decoding.decode import Decoded
from lengthlens.decoding.forward import keeps_states
from lengthlens.decoding.invariance import (
    Rows,
    alone,
    cause,
    decoded_as_given,
    deviation,
    in_one_pass,
    probe_batches,
)
from lengthlens.errors import LengthlensError
from lengthlens.generation.records import recorded_steps
from lengthlens.models.anatomy import Anatomy, bound
from lengthlens.models.architectures import ARCHITECTURES, Architecture
from lengthlens.models.detect import refusal
from lengthlens.models.loading import dtype_name
from lengthlens.models.readout import readout_of
from lengthlens.models.small_model import has_experts, has_window, small_model

# Measured, of max |logit|: small models of 15 architectures 3.7e-6 (Granite; all others 4.5e-7).
SMALL_TOLERANCE = 2e-5
# Measured on random Llama, GPT-2 and Gemma 2 models of 2, 8, 32 and 64 layers and on the pocket
# pair: float32 2.6e-7, float16 1.6e-3, bfloat16 1.1e-2 (at 2 layers 2.6e-4 and 2.4e-3; half
# precisions grow with about the square root of depth, whence the room above).
TOLERANCES = {"float64": 5e-6, "float32": 2e-5, "float16": 8e-3, "bfloat16": 4e-2}
# Of rows in a batch beside rows alone. Measured on random Llama and GPT-2 models of 2 to 64 layers
# and on the pocket pair: float32 1.1e-6, bfloat16 3.4e-2.
BATCH_TOLERANCES = {"float64": 5e-6, "float32": 2e-5, "float16": 3e-2, "bfloat16": 0.15}
# A router may choose another expert where two are all but equal: up to .15 in a Mixtral of 32
# layers in bfloat16. Of real models with experts only what is gross is seen; (a) sees the rest.
EXPERTS_TOLERANCE = 0.3
PROBE_TEXTS = (
    "The old harbour was quiet, and nobody counted the boats.",
    "Scrivi una frase di cinque parole sul mare.",
)
_SMALL_TEXTS = (
    (3, 9, 27, 81, 44, 132, 11, 121, 135, 90, 5, 160, 52, 77, 38, 186, 64, 150, 29),
    (7, 49, 145, 13, 169, 8, 104, 56, 194, 19, 88),
)
_SMALL_WINDOW = 16  # positions; the shared prefix alone is longer


@dataclass(frozen=True)
class Proof:
    """What was found, as shares of max |logit|.

    Attributes:
        deviation: largest |sum of DLA - the model's own logit| of given answers' tokens.
        batch_deviation: largest difference of a row's logits from those that it gives alone.
    """

    deviation: float
    batch_deviation: float


def probe_tokens(tokenizer, vocabulary_size: int) -> list[list[int]]:
    """Token ids of the probe texts; ids without a row in the model become 0."""
    texts = [tokenizer(text)["input_ids"] for text in PROBE_TEXTS]
    return [[token if token < vocabulary_size else 0 for token in text] for text in texts]


def proven(model: nn.Module, anatomy: Anatomy, texts: Sequence[Sequence[int]], name: str) -> Proof:
    """Refuse a model on which attribution is not complete or rows depend on each other.

    Args:
        model: the model, with its weights.
        anatomy: its components.
        texts: token ids of the probe texts, at least two each.
        name: what the model is called in the configuration.

    Returns:
        Both deviations of probe (b).

    Raises:
        LengthlensError: a probe failed, with its numbers and the cure.
    """
    kind = model.config.model_type
    _prove_small(model, anatomy.architecture, kind)
    dtype = dtype_name(model)
    batches, tolerance = probe_batches(texts), batch_tolerance(model)
    try:
        found = measure(model, anatomy, batches)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise _refusal(kind, f"the model cannot be decoded ({error})") from error
    if not found.batch_deviation <= tolerance:
        reason = cause(model, anatomy, batches[0], tolerance)
        raise LengthlensError(
            f"Model {name}: {_apart(found, tolerance)}: {reason}. Use a model whose "
            "code keeps rows apart; the transformers version that lengthlens was tested with is in "
            "envs/requirements.txt, and docs/architectures.md says what is proven."
        )
    if not found.deviation <= TOLERANCES[dtype]:
        raise LengthlensError(
            f"Model {name}: on a probe text its components' attributions miss its own logits by "
            f"{found.deviation:.1e} of the largest, more than the {TOLERANCES[dtype]:g} that "
            f"{dtype} explains; its modelling code is not that of {kind!r} in the transformers "
            "version that lengthlens was tested with. Install the versions of "
            "envs/requirements.txt, or see docs/architectures.md."
        )
    return found


def batch_tolerance(model: nn.Module) -> float:
    """By how much of max |logit| a row's logits may differ in a batch, on a model's own weights."""
    return EXPERTS_TOLERANCE if has_experts(model.config) else BATCH_TOLERANCES[dtype_name(model)]


def _apart(found: Proof, tolerance: float) -> str:
    return (
        "rows that are decoded together give other logits than each gives alone, by "
        f"{found.batch_deviation:.1e} of the largest, more than {tolerance:g}"
    )


def _prove_small(model: nn.Module, row: Architecture, kind: str) -> None:
    """Probe (a)."""
    batches = probe_batches(_SMALL_TEXTS)
    for window in (None, _SMALL_WINDOW) if has_window(model.config) else (None,):
        try:
            small = small_model(model, window=window)
            anatomy = bound(small, row)
            found = measure(small, anatomy, batches)
        except Exception as error:  # whatever a model of unknown kind may raise
            reason = f"a small random model of its class cannot be decoded ({error})"
            raise _refusal(kind, reason) from error
        of = f" with windows of {window}" if window else ""
        if not found.batch_deviation <= SMALL_TOLERANCE:
            reason = f"of a small random model of its class{of}, {_apart(found, SMALL_TOLERANCE)}: "
            raise _refusal(kind, reason + cause(small, anatomy, batches[0], SMALL_TOLERANCE))
        if not found.deviation <= SMALL_TOLERANCE:
            raise _refusal(
                kind,
                f"on a small random model of its class{of} the attributions miss the logits by "
                f"{found.deviation:.1e} of the largest, more than {SMALL_TOLERANCE:g}",
            )


def _refusal(kind: str, reason: str) -> LengthlensError:
    """The error for a model that cannot be used, whether its architecture is listed or detected."""
    if kind not in ARCHITECTURES:
        return refusal(kind, reason)
    return LengthlensError(
        f"architecture {kind!r}, with this model's settings, is not what lengthlens was tested "
        f"with: {reason}. Install the versions of envs/requirements.txt, or see "
        "docs/architectures.md."
    )


def measure(model: nn.Module, anatomy: Anatomy, batches: Sequence[Rows]) -> Proof:
    """Both deviations, the larger over all batches; those of batches, also of one pass a row.

    The model's own logits are its output: after multipliers, biases and soft cap.
    """
    attribution, together = [], []
    for rows in batches:
        decoded, logits = decoded_as_given(model, anatomy, rows, capture=True)
        attribution.append(_incompleteness(model, anatomy, decoded, logits))
        references = [alone(model, *row) for row in rows]
        if not keeps_states(model):  # which go on token by token
            longest = max(range(len(rows)), key=lambda row: len(rows[row][1]))
            logits.append(in_one_pass(model, *rows[longest]))
            references.append(references[longest])
        together.append(deviation(logits, references))
    return Proof(float(np.max(attribution)), float(np.max(together)))


def _incompleteness(model: nn.Module, anatomy: Anatomy, decoded: Decoded, logits: list) -> float:
    """Largest |sum of DLA - the model's own logit| of a batch's tokens, over max |logit|."""
    zero = np.zeros(sum(map(len, decoded.tokens)), dtype=np.int64)
    columns = dict.fromkeys(("words_before", "words_after"), zero) | {"sign": zero + 1}
    columns |= dict.fromkeys(("is_stop", "decision"), zero > 0) | {"boundary": zero == 0}
    total = attribute_steps(
        readout_of(model, anatomy=anatomy), *recorded_steps(decoded, columns)
    ).total()
    summed = total[TARGETS.index("logit")]
    if anatomy.soft_cap is not None:
        summed = anatomy.soft_cap * np.tanh(summed / anatomy.soft_cap)
    own = [
        values.gather(-1, values.new_tensor(tokens, dtype=torch.long)[:, None])[:, 0]
        for values, tokens in zip(logits, decoded.tokens, strict=True)
    ]
    gaps = np.abs(summed - torch.cat(own).double().cpu().numpy())
    return float(gaps.max()) / max(float(values.abs().max()) for values in logits)
