"""Norms of outputs: the Gram form against head vectors that are built, from both paths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import tiny_model
from toys import NO_STOP, as_batch, ragged_prompts

from lengthlens.attribution.output_norms import mean_norms, output_norms
from lengthlens.attribution.per_sample import attribute_batches
from lengthlens.decoding.decode import Decoder
from lengthlens.models.anatomy import dissect
from lengthlens.models.readout import readout_of

LIMITS = [6, 3, 4]


def captured(model):
    prompts = ragged_prompts([3, 9, 5], seed=4, shared=2)
    decoded = Decoder(model, dissect(model), NO_STOP).decode(prompts, LIMITS, capture=True)
    signs = [{"sign": np.ones(n, dtype=np.int8)} for n in LIMITS]
    return as_batch(decoded, signs)


def built_norms(model, residuals) -> np.ndarray:
    """||a[l, h]|| with a[l, h] built from the modules' own weights, in float64."""
    anatomy = dissect(model)
    offset = 1.0 if "gemma" in model.config.model_type else 0.0
    times = getattr(model.config, "residual_multiplier", 1.0)
    norms = []
    for index, layer in enumerate(anatomy.layers):
        module = layer.attention.module
        weight = module.weight if isinstance(module, torch.nn.Linear) else module.weight.T
        blocks = weight.double().unflatten(1, (anatomy.n_heads, anatomy.d_head))
        vectors = torch.einsum("dhe,she->shd", blocks, residuals.head[:, index].double())
        if layer.attention_norm is None:
            vectors = vectors * times
        else:
            bias = 0.0 if module.bias is None else module.bias.double()
            whole = vectors.sum(1) + bias
            norm = layer.attention_norm
            eps = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
            scale = (whole.square().mean(-1) + eps).sqrt()[:, None, None]
            vectors = vectors * (norm.weight.double() + offset) / scale
        norms.append(vectors.norm(dim=-1))
    return torch.stack(norms, 1).detach().numpy()


@pytest.mark.parametrize("row", ["llama", "gemma2:biased", "olmo2:biased", "granite", "gpt2"])
def test_the_gram_form_is_the_norm_of_the_head_vector(row: str) -> None:
    """sqrt(x^T (W^T W) x) = ||W x||, norms after attention and multipliers included."""
    model = tiny_model(row)
    batch = captured(model)
    head, mlp = output_norms(readout_of(model), batch.residuals)
    np.testing.assert_allclose(head, built_norms(model, batch.residuals), rtol=2e-5)
    own = batch.residuals.mlp.double().norm(dim=-1).numpy()
    np.testing.assert_allclose(mlp, own, rtol=1e-5)
    assert (head > 0).all() and (mlp > 0).all()


def test_means_are_over_the_steps_of_each_answer() -> None:
    """In an attribution file, too: of every sample the mean of its own steps."""
    model = tiny_model("llama")
    batch, readout = captured(model), readout_of(model)
    head, mlp = output_norms(readout, batch.residuals)
    found = mean_norms(readout, batch)
    start = 0
    for sample, n in enumerate(LIMITS):
        steps = slice(start, start + n)
        np.testing.assert_allclose(found["norm_head"][sample], head[steps].mean(0), rtol=1e-6)
        np.testing.assert_allclose(found["norm_mlp"][sample], mlp[steps].mean(0), rtol=1e-6)
        start += n
    scores, _, _ = attribute_batches(readout, [batch], set())
    np.testing.assert_array_equal(scores["norm_head"], found["norm_head"])
    np.testing.assert_array_equal(scores["norm_mlp"], found["norm_mlp"])
    assert scores["norm_head"].dims == ("sample", "layer", "head")


def test_a_head_without_columns_has_no_norm() -> None:
    """W_O[:, h] = 0: exactly 0, not NaN, whatever x is."""
    model = tiny_model("llama")
    width = dissect(model).d_head
    with torch.no_grad():
        dissect(model).layers[1].attention.module.weight[:, width : 2 * width] = 0.0
    head, _ = output_norms(readout_of(model), captured(model).residuals)
    assert (head[:, 1, 1] == 0).all() and np.isfinite(head).all()


@pytest.mark.parametrize(
    ("row", "expected"), [("llama", 2), ("gpt2", 4), ("gpt_neox", 4), ("gemma2:biased", 2)]
)
def test_key_value_heads_are_those_of_the_config(row: str, expected: int) -> None:
    assert dissect(tiny_model(row)).n_kv_heads == expected
