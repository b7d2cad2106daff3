"""What is complete passes the probes, what was altered is refused."""

from __future__ import annotations

import pytest
import torch
from architectures import ROWS, tiny_model
from hidden import HiddenModel, hidden_model
from unlisted import ACCEPTED, unlisted_model

from lengthlens.attribution.proof import TOLERANCES, probe_tokens, prove
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import load
from lengthlens.models.anatomy import dissect
from lengthlens.weights.checkpoints import ModelSpec

TEXTS = [list(range(20, 33)), list(range(60, 67))]
HALVES = ["float16", "bfloat16"]


@pytest.mark.parametrize("row", ROWS)
def test_listed_architectures_pass(row: str) -> None:
    model = tiny_model(row)
    assert prove(model, dissect(model), TEXTS, "m") <= 2e-6  # measured: 5e-7


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("row", ["llama", "gemma2", "gpt2", "mixtral"])
def test_half_precision_passes_with_room(row: str, dtype: str) -> None:
    """Rounding alone stays well below the tolerance, with three layers."""
    model = tiny_model(row, getattr(torch, dtype))
    assert prove(model, dissect(model), TEXTS, "m") <= TOLERANCES[dtype] / 5


@pytest.mark.parametrize("kind", ["cohere", "glm4", "bloom"])
def test_detected_architectures_pass_both_probes(kind: str) -> None:
    model = unlisted_model(kind, ACCEPTED[kind])
    assert prove(model, dissect(model), TEXTS, "m") <= 2e-6


class Forgetful(HiddenModel):
    """A model that sees padding: nothing of its modules is odd, but its batches are wrong."""

    def forward(self, *args, attention_mask=None, **kwargs):
        return super().forward(*args, attention_mask=None, **kwargs)


class Contrary(HiddenModel):
    """A model that cannot continue: it takes no cache."""

    def forward(self, *args, past_key_values=None, **kwargs):
        if past_key_values is not None:
            raise TypeError("no cache here")
        return super().forward(*args, **kwargs)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Forgetful, r"small random model of its class the attributions miss the logits by \d"),
        (Contrary, r"small random model of its class cannot be decoded \(no cache here\)"),
    ],
)
def test_decoding_that_goes_wrong_is_refused(kind: type, reason: str) -> None:
    model = kind(hidden_model("nothing").config).eval()
    anatomy = dissect(model)
    with pytest.raises(LengthlensError, match=f"'hidden' is not listed.*{reason}.*see docs/arch"):
        prove(model, anatomy, TEXTS, "m")


def test_altered_code_of_a_listed_architecture_is_refused() -> None:
    """One per cent of the stream, added unseen, in a Llama by its config."""
    model = tiny_model("llama")
    model.model.layers[1].register_forward_hook(lambda m, args, r: r + 0.01 * r.roll(1, -1))
    message = r"Model m: on a probe text .* miss its own logits by .*2e-05 that float32 explains"
    with pytest.raises(LengthlensError, match=message):
        prove(model, dissect(model), TEXTS, "m")


def test_weights_that_are_not_numbers_are_refused() -> None:
    model = tiny_model("llama")
    model.model.norm.weight[3] = torch.nan
    with pytest.raises(LengthlensError, match="not finite"):
        prove(model, dissect(model), TEXTS, "m")


def test_probe_tokens_have_a_row(tiny_llama_dir) -> None:
    tokenizer = load(ModelSpec("t", "base", path=str(tiny_llama_dir))).tokenizer
    texts = probe_tokens(tokenizer, 300)
    assert all(len(text) > 5 for text in texts)
    assert 0 < max(max(text) for text in texts) < 300
