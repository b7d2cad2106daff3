"""Every architecture's components add up to the model's own logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import FLOAT32_ONLY, ROWS, tiny_model
from torch import nn
from toys import NO_STOP, as_batch, capped, own_logits, ragged_prompts

from lengthlens.attribution.dla import TARGETS, attribute_steps
from lengthlens.decoding.decode import Decoder
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import dissect
from lengthlens.models.architectures import ARCHITECTURES
from lengthlens.models.norms import norm_epsilon
from lengthlens.models.readout import readout_of

# What each row must really have, found in the modules and not in the config, which keeps any key.
TRAITS = {
    "llama": {"wide", "grouped", "output bias", "mlp bias", "untied"},
    "mistral": {"wide", "grouped", "untied"},
    "qwen2": {"grouped", "input bias", "tied"},
    "qwen3": {"wide", "grouped", "output bias", "tied"},
    "phi3": {"untied"},
    "mixtral": {"grouped", "experts", "untied"},
    "qwen3_moe": {"wide", "grouped", "experts", "untied"},
    "gemma": {"wide", "grouped", "tied"},
    "gemma2": {"wide", "grouped", "tied", "output norms", "soft cap"},
    "gemma3_text": {"wide", "grouped", "tied", "output norms"},
    "olmo2": {"grouped", "output norms", "untied"},
    "starcoder2": {"grouped", "centred", "output bias", "mlp bias", "tied"},
    "granite": {"grouped", "output bias", "residual multiplier", "logit multiplier", "untied"},
    "gpt2": {"centred", "positions", "output bias", "mlp bias", "tied"},
    "gpt_neox": {"centred", "parallel", "output bias", "mlp bias", "untied"},
    "gemma2:biased": {"wide", "grouped", "tied", "output norms", "output bias"},
    "olmo2:biased": {"wide", "grouped", "output norms", "output bias", "tied"},
    "gpt_neox:sequential": {"centred", "output bias", "mlp bias", "tied"},
}

PROMPTS = ragged_prompts([3, 9, 5, 12, 7], shared=2)
STEPS = 8


def traits(model) -> set[str]:
    """What could make attribution wrong if it were forgotten, as the model really has it."""
    anatomy, config = dissect(model), model.config
    layer = anatomy.layers[0]
    output, mlp = layer.attention.module, layer.mlp.module
    names = dict(layer.first.named_modules())
    key = next((module for name, module in names.items() if name.endswith("k_proj")), None)
    last_mlp = [m for m in mlp.modules() if getattr(m, "bias", None) is not None]
    output_bias = output.bias is not None
    embedding, unembedding = model.get_input_embeddings().weight, anatomy.unembedding.weight
    has = {
        "wide": anatomy.n_heads * anatomy.d_head != anatomy.d_model,
        "grouped": key is not None and key.weight.shape[0] < anatomy.n_heads * anatomy.d_head,
        "output bias": output_bias,
        "input bias": not output_bias and getattr(key, "bias", None) is not None,
        "mlp bias": bool(last_mlp),
        "tied": unembedding is embedding,
        "untied": unembedding is not embedding,
        "experts": any("expert" in name for name in names),
        "output norms": layer.attention_norm is not None and layer.mlp.norm is not None,
        "centred": isinstance(anatomy.final_norm, nn.LayerNorm),
        "positions": any("wpe" in name for name, _ in model.named_modules()),
        "parallel": getattr(config, "use_parallel_residual", False),
        "residual multiplier": layer.attention.factor != 1 and layer.mlp.factor != 1,
        "logit multiplier": anatomy.logit_multiplier != 1,
        "soft cap": anatomy.soft_cap is not None,
    }
    return {name for name, found in has.items() if found}


def test_every_listed_architecture_has_a_row() -> None:
    assert {row.partition(":")[0] for row in ROWS} == set(ARCHITECTURES)
    assert set(TRAITS) == set(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_rows_really_have_what_they_claim(row: str) -> None:
    model = tiny_model(row)
    assert traits(model) == TRAITS[row]
    assert dissect(model).n_layers == 3
    assert sum(weight.numel() for weight in model.parameters()) < 200_000
    small = [(n, p) for n, p in model.named_parameters() if p.dim() == 1 or "bias" in n]
    for name, parameter in small:
        from_neutral = min((parameter - neutral).abs().mean() for neutral in (0.0, 1.0))
        assert from_neutral > 0.03, name


@pytest.mark.parametrize("row", ROWS)
def test_components_add_up_to_the_models_own_logit(row: str) -> None:
    """sum_c DLA(c; logit) = the model's output, with its soft cap applied again.

    The output is that of a plain pass without hooks, cache or padding. Largest deviation measured
    over all rows: 5.3e-7 of max |logit|.
    """
    model = tiny_model(row)
    deviations = completeness(model, torch.float32)
    assert max(deviations.values()) <= 2e-6, deviations


@pytest.mark.parametrize("row", [row for row in ROWS if row not in FLOAT32_ONLY])
def test_components_add_up_in_double_precision(row: str) -> None:
    """The deviations in float32 are rounding and nothing else.

    Measured in float64: 7e-16 of max |logit| with LayerNorm; 1.2e-7 with RMSNorm, which
    transformers computes in float32 whatever the model's precision.
    """
    model = tiny_model(row, torch.float64)
    # NOTE of one length: Gemma's softmax is in float32, where the mask of padding, the smallest
    # float64, is infinite and leaves padding nothing to attend to.
    shortest = min(map(len, PROMPTS))
    prompts = [prompt[:shortest] for prompt in PROMPTS]
    deviations = completeness(model, torch.float64, prompts)
    centred = dissect(model).architecture.centred_norm
    assert max(deviations.values()) <= (1e-14 if centred else 5e-7), deviations


def completeness(model, dtype: torch.dtype, prompts=PROMPTS) -> dict[str, float]:
    """Largest deviations of the three targets, and from the plain pass, relative to max |logit|."""
    anatomy = dissect(model)
    decoded = Decoder(model, anatomy, NO_STOP).decode(prompts, STEPS, capture=True)
    batch = as_batch(decoded)
    steps = batch.steps
    total = attribute_steps(readout_of(model), steps, batch.residuals).total()
    expected = {
        "token": steps.logit - steps.mean_logit,
        "logit": steps.logit,
        "end": steps.ender_logit - steps.word_logit,
    }
    size = np.abs(steps.logit).max()
    assert size > 0.5  # else the comparison is empty
    own = torch.cat([own_logits(model, p, t) for p, t in zip(prompts, decoded.tokens, strict=True)])
    assert own.dtype == dtype
    own_logit = own.gather(1, torch.from_numpy(steps.token)[:, None])[:, 0]
    summed = capped(torch.from_numpy(total[TARGETS.index("logit")]), anatomy.soft_cap)
    deviations = {
        target: float(np.abs(total[place] - expected[target]).max() / size)
        for place, target in enumerate(TARGETS)
    }
    return deviations | {"own": float((summed - own_logit).abs().max() / own.abs().max())}


@pytest.mark.parametrize("row", ["gemma2"])
def test_the_soft_cap_really_bends_the_logits(row: str) -> None:
    model = tiny_model(row)
    decoded = Decoder(model, dissect(model), NO_STOP).decode(PROMPTS, STEPS)
    own = own_logits(model, PROMPTS[0], decoded.tokens[0])
    cap = model.config.final_logit_softcapping
    assert own.abs().max() < cap < decoded.logits.logit.max()


def test_unknown_norms_are_refused() -> None:
    with pytest.raises(LengthlensError, match="Identity has no attribute variance_epsilon, eps"):
        norm_epsilon(nn.Identity())
