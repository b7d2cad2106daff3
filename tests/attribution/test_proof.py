"""What is complete passes the probes, what was altered is refused."""

from __future__ import annotations

import pytest
import torch
from architectures import ROWS, tiny_model
from hidden import HiddenModel, hidden_model
from unlisted import ACCEPTED, unlisted_model

from lengthlens.attribution.proof import (
    BATCH_TOLERANCES,
    TOLERANCES,
    probe_tokens,
    proven,
)
from lengthlens.decoding import forward
from lengthlens.decoding.invariance import decoded_as_given, deviation, probe_batches
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import load
from lengthlens.models.anatomy import dissect
from lengthlens.models.small_model import has_window, small_model
from lengthlens.weights.checkpoints import ModelSpec

TEXTS = [list(range(20, 33)), list(range(60, 67))]
HALVES = ["float16", "bfloat16"]


@pytest.mark.parametrize("row", ROWS)
def test_listed_architectures_pass(row: str) -> None:
    model = tiny_model(row)
    proof = proven(model, dissect(model), TEXTS, "m")
    assert proof.deviation <= 2e-6  # measured: 5e-7
    assert 0 < proof.batch_deviation <= 5e-6  # measured: 1.1e-6


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("row", ["llama", "gemma2", "gpt2", "mixtral"])
def test_half_precision_passes_with_room(row: str, dtype: str) -> None:
    """Rounding alone stays well below the tolerance, with three layers."""
    model = tiny_model(row, getattr(torch, dtype))
    proof = proven(model, dissect(model), TEXTS, "m")
    assert proof.deviation <= TOLERANCES[dtype] / 5
    assert proof.batch_deviation <= BATCH_TOLERANCES[dtype] / 5


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cohere", "glm4", "bloom"])
def test_detected_architectures_pass_both_probes(kind: str) -> None:
    model = unlisted_model(kind, ACCEPTED[kind])
    assert proven(model, dissect(model), TEXTS, "m").deviation <= 2e-6


class Forgetful(HiddenModel):
    """A model that sees padding: nothing of its modules is odd, but its batches are wrong."""

    def forward(self, *args, attention_mask=None, **kwargs):
        return super().forward(*args, attention_mask=None, **kwargs)


class Crowded(HiddenModel):
    """A model whose first MLP gives each row the less, the more rows there are."""

    def __init__(self, config) -> None:
        super().__init__(config)
        self.model.layers[0].mlp.register_forward_hook(divided)


def divided(module, args, output):
    return output / output.shape[0]


class Limited(HiddenModel):
    """A model whose first MLP, like experts of limited capacity, drops all but 24 tokens a pass."""

    def __init__(self, config) -> None:
        super().__init__(config)
        self.model.layers[0].mlp.register_forward_hook(self._drop)

    @staticmethod
    def _drop(module, args, output):
        kept = torch.arange(output.shape[0] * output.shape[1]) < 24
        return output * kept.view(output.shape[0], -1, 1)


class Contrary(HiddenModel):
    """A model that cannot continue: it takes no cache."""

    def forward(self, *args, past_key_values=None, **kwargs):
        if past_key_values is not None:
            raise TypeError("no cache here")
        return super().forward(*args, **kwargs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Forgetful, r"decoded together give other logits.*by \d.*: padding does"),
        (Crowded, r"decoded together give other logits.*by \d.*: the other rows do"),
        (Limited, r"decoded together give other logits.*by \d.*: decoding a row with a cache"),
        (Contrary, r"small random model of its class cannot be decoded \(no cache here\)"),
    ],
)
def test_decoding_that_goes_wrong_is_refused(kind: type, reason: str) -> None:
    model = kind(hidden_model("nothing").config).eval()
    anatomy = dissect(model)
    with pytest.raises(LengthlensError, match=f"'hidden' is not listed.*{reason}.*see docs/arch"):
        proven(model, anatomy, TEXTS, "m")


def test_altered_code_of_a_listed_architecture_is_refused() -> None:
    """One per cent of the stream, added unseen, in a Llama by its config."""
    model = tiny_model("llama")
    model.model.layers[1].register_forward_hook(lambda m, args, r: r + 0.01 * r.roll(1, -1))
    message = r"Model m: on a probe text .* miss its own logits by .*2e-05 that float32 explains"
    with pytest.raises(LengthlensError, match=message):
        proven(model, dissect(model), TEXTS, "m")


def test_weights_that_are_not_numbers_are_refused() -> None:
    model = tiny_model("llama")
    model.model.norm.weight[3] = torch.nan
    with pytest.raises(LengthlensError, match="not finite"):
        proven(model, dissect(model), TEXTS, "m")


def test_probe_tokens_have_a_row(tiny_llama_dir) -> None:
    tokenizer = load(ModelSpec("t", "base", path=str(tiny_llama_dir))).tokenizer
    texts = probe_tokens(tokenizer, 300)
    assert all(len(text) > 5 for text in texts)
    assert 0 < max(max(text) for text in texts) < 300


def test_a_listed_architecture_whose_rows_change_each_other_is_refused() -> None:
    """On its own weights: the small model, built from class and config, knows no hook."""
    model = tiny_model("llama")
    model.model.layers[0].mlp.register_forward_hook(divided)
    message = r"Model m: rows that are decoded together.*2e-05: the other rows do.*keeps rows apart"
    with pytest.raises(LengthlensError, match=message):
        proven(model, dissect(model), TEXTS, "m")


def phi3(limit: int):
    """A tiny Phi-3 whose rotary frequencies change beyond so many positions."""
    factors = {"short_factor": [1.0] * 6, "long_factor": [3.0] * 6, "factor": 4.0}
    ropes = {"rope_type": "longrope", "rope_theta": 1e4, **factors}
    model = tiny_model("phi3", rope_parameters=ropes)
    # NOTE afterwards: transformers sets it to the config's default when the model is made.
    model.config.rope_parameters["original_max_position_embeddings"] = limit
    return model


def test_frequencies_by_the_longest_row_are_refused_where_they_would_change() -> None:
    model = phi3(limit=100)
    assert proven(model, dissect(model), TEXTS, "m").deviation <= 2e-6
    short = phi3(limit=40)
    message = r"may take \d+ positions, but beyond 40 this model \(phi3\).*by the longest row"
    with pytest.raises(LengthlensError, match=message):
        proven(short, dissect(short), TEXTS, "m")


def test_the_proof_decodes_as_the_study_does(monkeypatch) -> None:
    """A shared prefix apart, rows of unequal length, rows that leave, repeated rows, no prefix."""
    model = tiny_model("llama")
    shapes, kept = [], []
    model.register_forward_pre_hook(
        lambda m, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    select = forward.select_rows
    monkeypatch.setattr(forward, "select_rows", lambda c, r: (kept.append(len(r)), select(c, r)))
    shared, again, apart = probe_batches(TEXTS)
    decoded_as_given(model, dissect(model), shared)
    assert shapes == [(1, 32), (3, 9), (2, 1), (2, 1), (1, 1)]
    assert kept == [2, 1]
    shapes.clear(), kept.clear()
    decoded_as_given(model, dissect(model), again)
    assert shapes[:3] == [(1, 32), (3, 8), (4, 1)] and kept[:2] == [4, 3]
    shapes.clear()
    decoded_as_given(model, dissect(model), apart)
    assert shapes[0] == (2, 9)
    assert {len(prompt) for prompt, _ in apart} == {9, 3}


def test_windows_are_proven_shorter_than_the_rows() -> None:
    """A model that forgets the mask of its windowed layers only where rows leave the window."""
    model = tiny_model("gemma3_text")
    assert has_window(model.config) and not has_window(tiny_model("llama").config)
    small = small_model(model, window=16)
    windows = {layer.self_attn.sliding_window for layer in small.model.layers}
    assert 16 in windows
    assert small_model(model).config.sliding_window == 512


def test_what_is_not_a_number_is_no_agreement() -> None:
    sound, broken = torch.ones(2, 3), torch.full((2, 3), torch.nan)
    assert deviation([sound, sound], [sound, sound]) == 0
    for pair in ([sound, broken], [broken, sound]):
        assert not deviation(pair, [sound, sound]) <= 1
        assert not deviation([sound, sound], pair) <= 1
