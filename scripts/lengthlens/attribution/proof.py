"""Proofs that attribution is complete on a model, made before the study uses it.

Two probes compare the sum of all components' DLA with the model's own logits, on given tokens in a
padded batch decoded with cache, capture and folding, as the study decodes:

(a) on a small random model of the same class and flags in float32 (`small_model`), for
    architectures that are detected rather than listed: within `SMALL_TOLERANCE` of max |logit|, in
    both the decode itself and a plain pass without hooks, cache or padding;
(b) on the real weights, for every model: within `TOLERANCES` of its precision.

A model that fails is refused: its scores would be wrong without looking wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lengthlens.attribution.dla import TARGETS, attribute_steps
from lengthlens.decoding.choose import Forced
from lengthlens.decoding.decode import Decoded, TokenClasses, decode
from lengthlens.errors import LengthlensError
from lengthlens.generation.records import Steps
from lengthlens.models.anatomy import Anatomy, dissect
from lengthlens.models.architectures import ARCHITECTURES
from lengthlens.models.detect import refusal
from lengthlens.models.readout import readout_of
from lengthlens.models.small_model import small_model

# Measured, of max |logit|: small models of 15 architectures 3.7e-6 (Granite; all others 4.5e-7).
SMALL_TOLERANCE = 2e-5
# Measured on random Llama, GPT-2 and Gemma 2 models of 2, 8, 32 and 64 layers and on the pocket
# pair: float32 2.6e-7, float16 1.6e-3, bfloat16 8.7e-3 (at 2 layers 2.6e-4 and 2.4e-3; half
# precisions grow with about the square root of depth, whence the factor of 5).
TOLERANCES = {"float64": 5e-6, "float32": 2e-5, "float16": 8e-3, "bfloat16": 4e-2}
PROBE_TEXTS = (
    "The old harbour was quiet, and nobody counted the boats.",
    "Scrivi una frase di cinque parole sul mare.",
)
_STEPS = 4  # tokens at the end of each text that are decoded one by one
_SMALL_PROMPTS = ((3, 9, 27, 81, 44, 132), (7, 49, 145))
_SMALL_ANSWERS = ((11, 121, 135, 90, 5, 160), (13, 169, 8, 104))


def probe_tokens(tokenizer, vocabulary_size: int) -> list[list[int]]:
    """Token ids of the probe texts; ids without a row in the model become 0."""
    texts = [tokenizer(text)["input_ids"] for text in PROBE_TEXTS]
    return [[token if token < vocabulary_size else 0 for token in text] for text in texts]


def prove(model: nn.Module, anatomy: Anatomy, texts: Sequence[Sequence[int]], name: str) -> float:
    """Refuse a model on which attribution is not complete.

    Args:
        model: the model, with its weights.
        anatomy: its components.
        texts: token ids of the probe texts, at least two each.
        name: what the model is called in the configuration.

    Returns:
        The deviation of probe (b), relative to max |logit|.

    Raises:
        LengthlensError: a probe failed, with its numbers and the cure.
    """
    kind = model.config.model_type
    if kind not in ARCHITECTURES:
        _prove_small(model, kind)
    cut = [min(_STEPS, len(text) - 1) for text in texts]
    prompts = [text[:-n] for text, n in zip(texts, cut, strict=True)]
    answers = [text[-n:] for text, n in zip(texts, cut, strict=True)]
    deviation = completeness(model, anatomy, prompts, answers)
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    if not deviation <= TOLERANCES[dtype]:
        raise LengthlensError(
            f"Model {name}: on a probe text its components' attributions miss its own logits by "
            f"{deviation:.1e} of the largest, more than the {TOLERANCES[dtype]:g} that {dtype} "
            f"explains; its modelling code is not that of {kind!r} in the transformers version "
            "that lengthlens was tested with. Install the versions of envs/requirements.txt, or "
            "see docs/architectures.md."
        )
    return deviation


def _prove_small(model: nn.Module, kind: str) -> None:
    """Probe (a), for an architecture that was detected."""
    small = small_model(model)
    try:
        deviation = completeness(small, dissect(small), _SMALL_PROMPTS, _SMALL_ANSWERS, plain=True)
    except Exception as error:  # whatever a model of unknown kind may raise
        raise refusal(
            kind, f"a small random model of its class cannot be decoded ({error})"
        ) from error
    if not deviation <= SMALL_TOLERANCE:
        raise refusal(
            kind,
            f"on a small random model of its class the attributions miss the logits by "
            f"{deviation:.1e} of the largest, more than {SMALL_TOLERANCE:g}",
        )


class _Listener:
    """Feeds given answers and keeps what the model itself says of their tokens."""

    def __init__(self, answers: Sequence[Sequence[int]]) -> None:
        self._forced = Forced(answers)
        self._own: list[tuple[Tensor, Tensor]] = []
        self.largest = 0.0

    def __call__(self, step: int, rows: Tensor, logits: Tensor) -> Tensor:
        chosen = self._forced(step, rows, logits)
        self.largest = max(self.largest, float(logits.abs().max()))
        self._own.append((rows, logits.gather(-1, chosen[:, None])[:, 0].double()))
        return chosen

    def own(self, row: int, n_steps: int) -> np.ndarray:
        """The model's own logits of a row's answer."""
        values = [float(logits[rows == row]) for rows, logits in self._own[:n_steps]]
        return np.array(values)


def completeness(
    model: nn.Module,
    anatomy: Anatomy,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    plain: bool = False,
) -> float:
    """Largest |sum of DLA - the model's own logit| of given answers' tokens, over max |logit|.

    The model's own logits are its output: after multipliers, biases and soft cap.

    Args:
        model: a causal language model.
        anatomy: its components.
        prompts: token ids; of different lengths, to prove padding too.
        answers: token ids that follow each prompt.
        plain: compare also with one plain pass a text, without hooks, cache or padding.
    """
    listener = _Listener(answers)
    none = torch.tensor([], dtype=torch.long)
    place = next(model.parameters()).device
    classes = TokenClasses(*(ids.to(place) for ids in (none, torch.tensor([0]), torch.tensor([1]))))
    lengths = [len(answer) for answer in answers]
    decoded = decode(model, anatomy, prompts, classes, lengths, choose=listener, capture=True)
    steps, row, step = _steps(decoded)
    readout = readout_of(model)
    total = attribute_steps(readout, steps, decoded.residuals[step, row]).total()
    summed = total[TARGETS.index("logit")]
    if anatomy.soft_cap is not None:
        summed = anatomy.soft_cap * np.tanh(summed / anatomy.soft_cap)
    own = [listener.own(i, n) for i, n in enumerate(lengths)]
    gaps = [np.abs(summed - np.concatenate(own))]
    if plain:
        passes = [_plain(model, *pair) for pair in zip(prompts, answers, strict=True)]
        gaps.append(np.abs(summed - np.concatenate(passes)))
    return float(np.max(gaps) / listener.largest)


@torch.inference_mode()
def _plain(model: nn.Module, prompt: Sequence[int], answer: Sequence[int]) -> np.ndarray:
    """The model's own logits of an answer's tokens, from one pass over prompt and answer."""
    ids = torch.tensor([[*prompt, *answer[:-1]]])
    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :]
    return logits.gather(-1, torch.tensor(answer)[:, None])[:, 0].double().numpy()


def _steps(decoded: Decoded) -> tuple[Steps, np.ndarray, np.ndarray]:
    """The steps of forced answers as attribution takes them in, and each one's row and step."""
    lengths = np.array([len(tokens) for tokens in decoded.tokens])
    row = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(len(row)) - np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
    count = np.zeros(len(row), dtype=np.int64)
    logits = {
        name: values.cpu().numpy()[row, step] for name, values in vars(decoded.logits).items()
    }
    return (
        Steps(
            sample=row,
            token=np.concatenate([np.asarray(tokens) for tokens in decoded.tokens]),
            is_stop=count > 0,
            words_before=count,
            words_after=count,
            sign=count + 1,
            boundary=count == 0,
            decision=count > 0,
            scale=decoded.residuals.scale.cpu().numpy()[step, row],
            **logits,
        ),
        row,
        step,
    )
