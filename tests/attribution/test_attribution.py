"""Folded attribution and its sums, against explicit vectors and against interventions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import tiny_model
from explicit import explicit_scores
from synthetic_attribution import shifted
from toys import CLASSES, NO_STOP, as_batch, ragged_prompts

from lengthlens.attribution import dla
from lengthlens.attribution.dla import (
    KINDS,
    TARGETS,
    at_decision,
    attribute_batch,
    attribute_steps,
    end_contrast,
)
from lengthlens.decoding.choose import Forced
from lengthlens.decoding.decode import Decoder
from lengthlens.decoding.intervention import Intervention
from lengthlens.generation.records import Batch, Steps
from lengthlens.models.anatomy import dissect
from lengthlens.models.readout import readout_of

ROWS = ["llama", "gemma2:biased", "olmo2:biased", "granite", "starcoder2", "gpt2", "gpt_neox"]
LIMITS = [6, 9, 4, 7]
# NOTE a shared beginning, because transformers' own attention of Gemma 2 turns padding at the very
# start into NaN in float64 (and there only).
PROMPTS = ragged_prompts([3, 9, 5, 7], seed=21, shared=2)


def marks(seed: int) -> list[dict[str, np.ndarray]]:
    """Signs, boundaries and decisions as they may come; sample 2 never decides."""
    rng = np.random.default_rng(seed)
    made = []
    for sample, n in enumerate(LIMITS):
        boundary = rng.random(n) < 0.6
        boundary[[0, 3]] = True
        decision = np.zeros(n, dtype=bool)
        decision[3] = sample != 2
        sign = np.where(rng.random(n) < 0.7, 1, -1).astype(np.int8)
        sign[-2] = -1
        made.append({"sign": sign, "boundary": boundary, "decision": decision})
    return made


def captured(model, seed: int = 0) -> Batch:
    # NOTE of one length in float64, where transformers' mask of padding is infinite for a softmax
    # in float32, and padding would have nothing to attend to.
    short = model.dtype == torch.float64
    prompts = [prompt[: min(map(len, PROMPTS))] for prompt in PROMPTS] if short else PROMPTS
    decoded = Decoder(model, dissect(model), NO_STOP).decode(prompts, LIMITS, capture=True)
    return as_batch(decoded, marks(seed))


@pytest.mark.parametrize("row", ROWS)
def test_folding_equals_explicit_vectors(row: str) -> None:
    """<W_O^T u_y, x> = <u_y, W_O x> for every head, MLP, embedding and bias, and all targets.

    In float64. Measured: 6e-16 of the largest score; 2e-8 where norms follow attention and MLP,
    which transformers computes in float32, so that the sum of explicit vectors, made in float64,
    has another length than the model's stream.
    """
    model = tiny_model(row, torch.float64)
    batch = captured(model)
    scores = attribute_steps(readout_of(model), batch.steps, batch.residuals)
    explicit = explicit_scores(model, batch)
    size = max(np.abs(values).max() for values in explicit.values())
    has_bias = dissect(model).layers[0].attention.module.bias is not None
    tolerance = 1e-7 if dissect(model).architecture.attention_norm else 1e-14
    for kind, expected in explicit.items():
        assert np.abs(getattr(scores, kind) - expected).max() <= tolerance * size, kind
        if kind != "bias" or has_bias:
            assert np.abs(expected).max() > 1e-3 * size, f"{kind}: nothing is compared"


@pytest.mark.parametrize("row", ["llama", "gpt2"])
def test_sums_over_an_answer(row: str) -> None:
    """CWA = sum_t s_t DLA_t = plus + minus, its null; contrast: by a loop over explicit scores."""
    model = tiny_model(row, torch.float64)
    batch = captured(model, seed=5)
    data, explicit = attribute_batch(readout_of(model), batch), explicit_scores(model, batch)
    steps = batch.steps
    assert data["target"].to_numpy().tolist() == list(TARGETS)
    for kind, dims in KINDS.items():
        for sample in range(len(LIMITS)):
            mine = np.flatnonzero(steps.sample == sample)
            sums = {name: 0.0 for name in ("", "_plus", "_minus")}
            for i in mine:
                score = explicit[kind][:, i]
                sums[""] += steps.sign[i] * score
                sums["_plus" if steps.sign[i] > 0 else "_minus"] += steps.sign[i] * score
            found = {name: data[f"cwa_{kind}{name}"] for name in ("", "_plus", "_minus")}
            found["variance"] = data[f"null_variance_{kind}"]
            sums["variance"] = shifted(
                explicit[kind][:, mine], steps.sign[mine], steps.boundary[mine]
            )
            for name, expected in sums.items():
                values = found[name].transpose("target", "sample", *dims).to_numpy()[:, sample]
                assert np.abs(values - expected).max() <= 1e-12, (kind, name)
            contrast = data[f"end_contrast_{kind}"].transpose("sample", *dims).to_numpy()[sample]
            end = explicit[kind][TARGETS.index("end")]
            decision = [i for i in mine if steps.decision[i]]
            if not decision:
                assert sample == 2 and np.isnan(contrast).all()
                continue
            earlier = [i for i in mine if steps.boundary[i] and i < decision[0]]
            expected = end[decision[0]] - end[earlier].mean(0)
            assert np.abs(contrast - expected).max() <= 1e-12, kind
    for sample in range(len(LIMITS)):
        mine = steps.sample == sample
        counts = data.isel(sample=sample)
        assert counts["n_steps"] == LIMITS[sample]
        assert counts["n_negative"] == (steps.sign[mine] < 0).sum() > 0
        assert counts["n_boundary"] == steps.boundary[mine].sum()
        assert counts["n_boundary_negative"] == (steps.boundary & (steps.sign < 0))[mine].sum()
        assert counts["logit_scale"] == np.abs(steps.logit[mine]).max()


def test_the_completeness_error_is_the_largest_deviation() -> None:
    model = tiny_model("llama", torch.float64)
    batch = captured(model)
    steps = batch.steps
    broken = Steps(**(steps.columns() | {"logit": steps.logit + np.eye(len(steps))[7] * 0.25}))
    data = attribute_batch(readout_of(model), Batch(batch.samples, broken, batch.residuals))
    error = data["completeness_error"].to_numpy()
    assert error[steps.sample[7]] == pytest.approx(0.25, abs=1e-6)
    assert np.delete(error, steps.sample[7]).max() < 1e-6


def test_end_contrast_by_hand() -> None:
    """Hand-made steps: a plain case, no decision, no earlier boundary, boundaries afterwards."""
    rows = [  # sample, boundary, decision, share
        (0, True, False, 1.0),
        (0, False, False, 100.0),
        (0, True, False, 3.0),
        (0, True, True, 10.0),
        (0, True, False, 50.0),
        (1, True, False, 4.0),
        (1, True, False, 5.0),
        (2, False, False, 7.0),
        (2, True, True, 6.0),
        (3, True, False, -2.0),
        (3, True, True, -1.0),
    ]
    sample, boundary, decision, share = (np.array(column) for column in zip(*rows, strict=True))
    zeros = np.zeros(len(rows))
    names = Steps.__dataclass_fields__
    columns = {
        name: zeros if name.endswith(("logit", "scale")) else zeros.astype(int) for name in names
    }
    columns |= {"is_stop": zeros > 0, "sample": sample, "boundary": boundary, "decision": decision}
    steps = Steps(**columns)
    expected = np.array([10.0 - 2.0, np.nan, np.nan, 1.0])
    np.testing.assert_array_equal(end_contrast(share, steps, 4), expected)
    np.testing.assert_array_equal(at_decision(share, steps, 4), [10.0, np.nan, 6.0, -1.0])
    wide = share[:, None, None] * np.array([[1.0, 2.0, 0.0]])
    np.testing.assert_array_equal(
        end_contrast(wide, steps, 4)[:, 0], expected[:, None] * [1.0, 2.0, 0.0]
    )


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gemma2", torch.float64)
    batch = captured(model)
    whole = attribute_steps(readout_of(model), batch.steps, batch.residuals)
    monkeypatch.setattr(dla, "_FOLDED_ELEMENTS", 64 * 5)  # 5 of 26 steps at a time
    parts = attribute_steps(readout_of(model), batch.steps, batch.residuals)
    for kind in KINDS:
        assert np.abs(getattr(whole, kind) - getattr(parts, kind)).max() <= 1e-14


@pytest.mark.parametrize(
    "row", ["llama", "gemma2", "olmo2", "granite", "gpt2", "gpt_neox", "mixtral"]
)
def test_removing_the_last_mlp_changes_the_logit_as_predicted(row: str) -> None:
    """z - z' = DLA(mlp) + <u_y, r'> (1/σ - 1/σ'), at every step of every answer.

    z' is the logit after removing the last layer's MLP at its source, σ' the norm's denominator
    then; <u_y, r'> = (z' - constant) σ'. Nothing is fitted. Measured: 3.7e-7 of max |z|.
    """
    model = tiny_model(row)
    anatomy, readout = dissect(model), readout_of(model)
    answers = Decoder(model, anatomy, NO_STOP).decode(PROMPTS, LIMITS).tokens
    n = len(PROMPTS)
    removed = Intervention(
        torch.zeros(n, anatomy.n_layers, anatomy.n_heads, dtype=torch.bool),
        torch.arange(anatomy.n_layers).expand(n, -1) == anatomy.n_layers - 1,
    )
    clean, ablated = (
        as_batch(
            Decoder(model, anatomy, NO_STOP).decode(
                PROMPTS, LIMITS, choose=Forced(answers), capture=True, intervention=intervention
            )
        )
        for intervention in (None, removed)
    )
    before, after = clean.steps, ablated.steps
    dla = attribute_steps(readout, before, clean.residuals).mlp[TARGETS.index("logit"), :, -1]
    constant = readout.constants(torch.from_numpy(before.token)).numpy()
    rescaled = (after.logit - constant) * (after.scale / before.scale - 1)
    change = before.logit - after.logit
    size = np.abs(before.logit).max()
    assert np.abs(change).max() > 0.05 * size
    assert np.abs(change - (dla + rescaled)).max() <= 2e-6 * size
    assert np.abs(change - dla).max() > 1e-3 * size  # the scale term is really needed


def test_only_boundary_steps_have_an_end_margin() -> None:
    model = tiny_model("llama")
    batch = captured(model)
    scores = attribute_steps(readout_of(model), batch.steps, batch.residuals)
    boundary = batch.steps.boundary
    assert 0 < boundary.sum() < len(boundary)
    for kind in KINDS:
        values = getattr(scores, kind)[TARGETS.index("end")]
        assert (values[~boundary] == 0).all()
        assert (values[boundary] != 0).any()
    assert set(batch.steps.ender_token) <= set(CLASSES.enders.tolist())
