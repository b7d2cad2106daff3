"""Architectures that are not listed: found by what their modules compute, or refused."""

from __future__ import annotations

import pytest
import torch
from architectures import COMMON, ROWS, tiny_model
from hidden import REASONS, hidden_model
from test_anatomy import completeness
from transformers import AutoConfig, AutoModelForCausalLM
from unlisted import ACCEPTED, REFUSED, unlisted_model

from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import bound, dissect
from lengthlens.models.architectures import ARCHITECTURES
from lengthlens.models.detect import detect
from lengthlens.models.small_model import LAYERS, small_config, small_model


@pytest.mark.parametrize("row", ROWS)
def test_detection_finds_what_the_table_says(row: str) -> None:
    """Every listed architecture, detected from its class and config alone."""
    model = tiny_model(row)
    listed, found = dissect(model), bound(model, detect(model))
    assert found.architecture.centred_norm == listed.architecture.centred_norm
    assert found.architecture.norm_weight_offset == listed.architecture.norm_weight_offset
    assert found.logit_multiplier == pytest.approx(listed.logit_multiplier, rel=1e-12)
    assert found.soft_cap == listed.soft_cap
    assert found.final_norm is listed.final_norm
    assert found.unembedding is listed.unembedding
    assert len(found.layers) == len(listed.layers) == 3
    for own, layer in zip(found.layers, listed.layers, strict=True):
        assert own.first is layer.first and own.biases == layer.biases == ()
        assert own.kind == layer.kind == "attention"
        for site, other in ((own.attention, layer.attention), (own.mlp, layer.mlp)):
            assert site.module is other.module and site.norm is other.norm
            assert (site.factor, site.heads, site.width) == (other.factor, other.heads, other.width)
            assert (
                site.norm is None
                or site.branch.whole
                or (site.branch.norm_weight_offset == other.branch.norm_weight_offset)
            )


@pytest.mark.slow  # `.ci/run` makes them all
@pytest.mark.parametrize("kind", ACCEPTED)
def test_unlisted_architectures_are_complete(kind: str) -> None:
    """As for the listed ones, on a model of three layers. Measured: 5.7e-7 of max |logit|.

    Mamba computes its states in another order token by token than at once: 1.3e-5 of the logits
    that it gives in one pass.
    """
    assert kind not in ARCHITECTURES
    model = unlisted_model(kind, ACCEPTED[kind])
    deviations = completeness(model, torch.float32)
    own = deviations.pop("own")
    assert max(deviations.values()) <= 2e-6, deviations
    assert own <= (2e-5 if kind == "mamba" else 2e-6)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_detected_is_refused_with_reason_and_cure(kind: str) -> None:
    values, reason = REFUSED[kind]
    model = unlisted_model(kind, values)
    message = rf"'{kind}' is not listed.*{reason}.*To add it, see docs/architectures.md"
    with pytest.raises(LengthlensError, match=message):
        dissect(model)


# --- layers that have settings of their own -------------------------------------------------------

# Gemma 4 as it is published: what makes its sizes differ.
_WIDTHS = {"head_dim": 256, "global_head_dim": 512, "final_logit_softcapping": 30.0}
GEMMA4 = {
    "E2B": {"hidden_size": 1536, "intermediate_size": 6144, "num_hidden_layers": 35}
    | {"num_attention_heads": 8, "num_key_value_heads": 1, "num_kv_shared_layers": 20}
    | {"layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 7}
    | {"use_double_wide_mlp": True, "hidden_size_per_layer_input": 256},
    "26B-A4B": {"hidden_size": 2816, "intermediate_size": 2112, "num_hidden_layers": 30}
    | {"num_attention_heads": 16, "num_key_value_heads": 8, "num_global_key_value_heads": 2}
    | {"attention_k_eq_v": True, "hidden_size_per_layer_input": 0, "enable_moe_block": True}
    | {"num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704},
    "31B": {"hidden_size": 5376, "intermediate_size": 21504, "num_hidden_layers": 60}
    | {"num_attention_heads": 32, "num_key_value_heads": 16, "num_global_key_value_heads": 4}
    | {"attention_k_eq_v": True, "hidden_size_per_layer_input": 0},
}
_LAYERS = {"E2B": 4, "26B-A4B": 2, "31B": 2}


@pytest.mark.slow
@pytest.mark.parametrize("size", GEMMA4)
def test_gemma_4_of_every_size_is_detected_on_a_small_model(size: str) -> None:
    """One layer of each kind, narrow, with the width of its heads and its share of keys."""
    config = AutoConfig.for_model("gemma4_text", **GEMMA4[size], **_WIDTHS)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config).eval()
    row = detect(model)
    assert len(row.kinds) == 2  # with keys and values of its own, or without one of these
    small = small_model(model)
    text = small.config
    assert text.num_hidden_layers == _LAYERS[size]
    assert sum(parameter.numel() for parameter in small.parameters()) < 1e8
    for index in range(text.num_hidden_layers):
        own = text.per_layer_config[index]
        full = text.layer_types[index] == "full_attention"
        assert own.head_dim == (512 if full else 256)
        assert own.num_key_value_heads == (1 if size == "E2B" else 2)
    shared = [mode == "reuse" for mode in text.kv_sharing_modes]
    assert shared == ([False, False, True, True] if size == "E2B" else [False, False])
    anatomy = bound(small, row)
    assert anatomy.shares_keys == (size == "E2B")
    assert all(layer.mlps and layer.attention for layer in anatomy.layers)


# --- models with something hidden in them ---------------------------------------------------------


def test_the_same_model_without_anything_hidden_is_accepted() -> None:
    assert dissect(hidden_model("nothing")).d_head == 16


@pytest.mark.parametrize("spoilt", REASONS)
def test_hidden_terms_are_refused(spoilt: str) -> None:
    with pytest.raises(LengthlensError, match=REASONS[spoilt]):
        dissect(hidden_model(spoilt))


# --- the small model ------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS)
def test_small_models_keep_every_flag_and_lose_only_size(row: str) -> None:
    model = tiny_model(row)
    config, small = model.config, small_config(model.config)
    assert small.num_hidden_layers == LAYERS < config.num_hidden_layers
    changed = {name for name, value in vars(config).items() if getattr(small, name, None) != value}
    sizes = {"vocab_size", "num_hidden_layers", "n_layer", "hidden_size", "n_embd"}
    sizes |= {"intermediate_size", "moe_intermediate_size", "layer_types", "pad_token_id"}
    sizes |= {"num_key_value_heads", "mlp_layer_types"}
    assert changed <= sizes, changed - sizes
    built = small_model(model)
    assert type(built) is type(model)
    ties = [
        m.get_input_embeddings().weight is m.get_output_embeddings().weight for m in (model, built)
    ]
    assert ties[0] == ties[1]
    parts = [{n.replace(".2.", ".1.") for n, _ in m.named_parameters()} for m in (model, built)]
    assert parts[0] == parts[1]
    for name, parameter in built.named_parameters():
        if parameter.dim() == 1:
            assert min((parameter - x).abs().mean() for x in (0.0, 1.0)) > 0.1, name


def test_small_models_keep_wide_heads_and_two_kinds_of_layers() -> None:
    config = tiny_model("gemma3_text").config
    config.num_hidden_layers = 6
    config.layer_types = [*["sliding_attention"] * 5, "full_attention"]
    small = small_config(config)
    assert small.layer_types == ["sliding_attention", "full_attention"]
    assert small.head_dim == config.head_dim
    assert small.num_attention_heads * small.head_dim != small.hidden_size


@pytest.mark.parametrize(
    "kind, sizes, experts",
    [
        ("qwen3_moe", {"num_experts": 64, "num_experts_per_tok": 10}, 20),  # as Qwen3-Next
        ("deepseek_v3", {"n_routed_experts": 64, "n_group": 8, "topk_group": 4}, 16),
        ("deepseek_v3", {"n_routed_experts": 12}, 8),
    ],
)
def test_small_models_keep_a_choice_among_experts(kind: str, sizes: dict, experts: int) -> None:
    """More than a token takes, and two in each of the groups that are ranked by their best two."""
    values = (ACCEPTED | {"qwen3_moe": COMMON | ROWS["qwen3_moe"]})[kind]
    small = small_model(unlisted_model(kind, values | sizes))
    counts = {"qwen3_moe": "num_experts", "deepseek_v3": "n_routed_experts"}
    assert getattr(small.config, counts[kind]) == experts
    small(input_ids=torch.arange(3, 12)[None], use_cache=False)


def test_making_small_models_leaves_the_random_state_alone() -> None:
    model = tiny_model("llama")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    small_model(model)
    assert torch.rand(1) == expected
