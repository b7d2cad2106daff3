"""Routed and shared experts apart: what the modules of a mixture give, by hand."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from lens_models import pair
from slow_params import some_slow
from tiny_tokenizers import word_piece_tokenizer
from transformers.models.qwen2_moe import modeling_qwen2_moe

from lengthlens.errors import LengthlensError
from lengthlens.lens.lens import Lens
from lengthlens.models.anatomy import dissect
from lengthlens.models.every_type import any_model
from lengthlens.models.experts import with_experts

# Layers with routed experts, and whether these have shared ones beside them.
MIXTURES = {
    "mixtral": ([True] * 3, False),
    "qwen2_moe": ([True] * 3, True),
    "qwen3_moe": ([True] * 3, False),
    "qwen3_next": ([True] * 3, True),
    "qwen3_5_moe_text": ([True] * 3, True),
    "deepseek_v2": ([False, True, True], True),
    "deepseek_v3": ([False, True, True], True),
    "llama4_text": ([True] * 3, True),
    "gpt_oss": ([True] * 3, False),
    "olmoe": ([True] * 3, False),
    "granitemoe": ([True] * 3, False),
    "granitemoeshared": ([True] * 3, True),
    "granitemoehybrid": ([True] * 3, True),
    "hunyuan_v1_moe": ([True] * 3, True),
}
PROMPTS = ["sea a b . sea", "a sea"]
ANSWERS = [" b a , sea . a", " sea ."]  # the second leaves the batch before the first
APART = {"dla_routed", "dla_shared", "has_routed", "has_shared"}


@functools.cache
def model_of(kind: str):
    return any_model(kind)


@functools.cache
def found_of(kind: str) -> xr.Dataset:
    lens = Lens(model_of(kind), word_piece_tokenizer(), experts=True)
    return lens.attribute(PROMPTS, ANSWERS)


Values = dict[str, tuple[torch.Tensor, torch.Tensor]]


@contextlib.contextmanager
def seen(layer, names: list[str]):
    """What modules below a layer take in and give out, by plain hooks."""
    values: Values = {}

    def hook(name: str) -> Callable:
        def read(module, args, output) -> None:
            first = output[0] if isinstance(output, tuple) else output
            values[name] = (args[0].clone(), first.clone())

        return read

    handles = [layer.get_submodule(n).register_forward_hook(hook(n)) for n in names]
    yield values
    for handle in handles:
        handle.remove()


def of_experts(layer, values: Values):
    return values["mlp.experts"][1], None


def of_qwen2_moe(layer, values: Values):
    x = values["mlp.experts"][0]
    gate = torch.sigmoid(layer.mlp.shared_expert_gate(x))
    return values["mlp.experts"][1], gate * layer.mlp.shared_expert(x)


def of_deepseek_v3(layer, values: Values):
    return values["mlp.experts"][1], values["mlp.shared_experts"][1]


def of_llama4(layer, values: Values):
    by_expert = values["feed_forward.experts"][1].unflatten(0, (layer.feed_forward.num_experts, -1))
    return by_expert.sum(0), layer.feed_forward.shared_expert(values["feed_forward.router"][0])


def of_granitemoeshared(layer, values: Values):
    return 0.4 * values["block_sparse_moe"][1], 0.4 * values["shared_mlp"][1]


BY_HAND = {
    "mixtral": (of_experts, ["mlp.experts"]),
    "gpt_oss": (of_experts, ["mlp.experts"]),
    "qwen2_moe": (of_qwen2_moe, ["mlp.experts"]),
    "deepseek_v3": (of_deepseek_v3, ["mlp.experts", "mlp.shared_experts"]),
    "llama4_text": (of_llama4, ["feed_forward.experts", "feed_forward.router"]),
    "granitemoeshared": (of_granitemoeshared, ["block_sparse_moe", "shared_mlp"]),
}


FEW = {"gpt_oss", "granitemoeshared"}  # the gate runs all


@pytest.mark.parametrize("kind", some_slow(MIXTURES, MIXTURES.keys() - FEW))
def test_parts_add_up_to_the_mlp(kind: str) -> None:
    """dla_routed + dla_shared = dla_mlp, at every step; NaN where there are no such experts.

    Measured: at most 1.2e-7 of the largest.
    """
    found = found_of(kind)
    routed, shared = MIXTURES[kind]
    assert found["has_routed"].to_numpy().tolist() == routed
    assert found["has_shared"].to_numpy().tolist() == [shared and layer for layer in routed]
    for name in ("routed", "shared"):
        part = found[f"dla_{name}"]
        assert part.dims == found["dla_mlp"].dims and part.dtype == found["dla_mlp"].dtype
        defined = found["dla_mlp"].notnull() & found[f"has_{name}"]
        xr.testing.assert_equal(part.notnull(), defined)
        largest = abs(part).max(("sample", "step", "target"))
        assert (largest[found[f"has_{name}"]] > 1e-3).all()
        assert part.attrs["units"] == "logits"
    whole = (found["dla_routed"] + found["dla_shared"].fillna(0)).sel(layer=routed)
    mlp = found["dla_mlp"].sel(layer=routed)
    np.testing.assert_allclose(whole, mlp, rtol=0, atol=5e-7 * float(abs(mlp).max()))


@pytest.mark.parametrize("kind", some_slow(BY_HAND, BY_HAND.keys() - FEW))
def test_parts_are_what_modules_give_in_one_plain_pass(kind: str) -> None:
    """dla(part) = <W_U[y] * weight of the final norm, part> / its scale, without cache or batch.

    Measured: at most 2e-6 of the largest.
    """
    model, found = model_of(kind), found_of(kind).sel(target="logit")
    compute, names = BY_HAND[kind]
    for row, prompt in enumerate(PROMPTS):
        start = len(word_piece_tokenizer()(prompt)["input_ids"])
        tokens = found["token_id"][row, : int(found["n_steps"][row])].to_numpy()
        ids = torch.tensor([word_piece_tokenizer()(prompt)["input_ids"] + tokens.tolist()])
        for index in np.flatnonzero(found["has_routed"]):
            layer = model.model.layers[index]
            with torch.no_grad(), seen(model.model, ["norm"]) as last, seen(layer, names) as values:
                model(input_ids=ids, use_cache=False)
                stream = last["norm"][0][0]
                scale = (stream.square().mean(-1) + model.config.rms_norm_eps).sqrt()
                u = model.lm_head.weight[ids[0, 1:]] * model.model.norm.weight
                parts = compute(layer, values)
            for name, part in zip(("routed", "shared"), parts, strict=True):
                own = found[f"dla_{name}"][row, : len(tokens), index].to_numpy()
                if part is None:
                    assert np.isnan(own).all()
                    continue
                part = part.reshape(stream.shape)
                expected = ((u * part[:-1]).sum(-1) / scale[:-1])[start - 1 :].numpy()
                assert abs(expected).max() > 1e-3
                np.testing.assert_allclose(own, expected, rtol=0, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("kind", ["qwen2_moe", "llama4_text"])
def test_all_else_is_as_it_is_without(kind: str) -> None:
    """To the last bit; and none of it is there unless it is asked for."""
    plain = Lens(model_of(kind), word_piece_tokenizer()).attribute(PROMPTS, ANSWERS)
    assert not APART & set(plain.variables)
    found = found_of(kind)
    assert set(found.variables) == set(plain.variables) | APART
    xr.testing.assert_identical(found.drop_vars(APART), plain)


@pytest.mark.slow
def test_half_precision() -> None:
    """What is not recorded is a difference of scores, so that the parts still add up."""
    model = copy.deepcopy(model_of("qwen2_moe")).bfloat16()
    found = Lens(model, word_piece_tokenizer(), experts=True).generate(PROMPTS, max_new_tokens=5)
    whole = found["dla_routed"] + found["dla_shared"]
    np.testing.assert_allclose(whole, found["dla_mlp"], rtol=0, atol=1e-6)
    exact = Lens(model.float(), word_piece_tokenizer(), experts=True)
    steps = exact.generate(PROMPTS, max_new_tokens=1)
    for name in ("dla_routed", "dla_shared"):
        np.testing.assert_allclose(found[name][:, 0], steps[name][:, 0], atol=0.05)


def test_what_stands_in_for_an_mlp_is_of_no_experts() -> None:
    lens = Lens(model_of("qwen2_moe"), word_piece_tokenizer(), experts=True)
    means = lens.generate(PROMPTS, max_new_tokens=4)
    for given in (None, means):
        found = lens.generate(PROMPTS, max_new_tokens=4, without=["L1M", "L2H0"], means=given)
        assert found["has_routed"].to_numpy().tolist() == [True, False, True]
        whole = found["dla_routed"] + found["dla_shared"]
        assert np.isnan(whole.sel(layer=1)).all() and found["dla_mlp"].sel(layer=1).notnull().any()
        kept = [0, 2]
        np.testing.assert_allclose(whole[:, :, kept], found["dla_mlp"][:, :, kept], atol=1e-6)


def test_models_without_experts() -> None:
    with pytest.raises(LengthlensError, match=r"'llama' has no experts to tell apart.*Leave out"):
        Lens(*pair("llama"), experts=True)


def test_a_norm_after_the_sum() -> None:
    reason = r"experts of 'afmoe' cannot be told apart in model.layers.1 .*no module gives.*a norm"
    with pytest.raises(LengthlensError, match=reason):
        Lens(model_of("afmoe"), word_piece_tokenizer(), experts=True)


def through_one_scale(block, x):
    return FORWARD(block, x * (1 + block.shared_expert_gate.weight[0]))


def multiplied(block, x):
    return FORWARD(block, x) * (1 + block.shared_expert_gate.weight[0])


def unrouted(block, x):
    flat = x.reshape(-1, x.shape[-1])
    chosen = torch.arange(2).expand(len(flat), 2)
    experts = block.experts(flat, chosen, torch.full(chosen.shape, 0.5)).reshape(x.shape)
    return experts + block.shared_expert(x)


FORWARD = modeling_qwen2_moe.Qwen2MoeSparseMoeBlock.forward


@pytest.mark.parametrize(
    "forward, reason",
    [
        (through_one_scale, "mlp.shared_expert_gate.weight changes what both of them add"),
        (multiplied, "no module gives what either of them adds"),
        (unrouted, "no router chooses among them"),
    ],
)
def test_parts_that_depend_on_each_other(monkeypatch, forward: Callable, reason: str) -> None:
    model = model_of("qwen2_moe")
    anatomy = dissect(model)
    monkeypatch.setattr(modeling_qwen2_moe.Qwen2MoeSparseMoeBlock, "forward", forward)
    with pytest.raises(LengthlensError, match=reason):
        with_experts(model, anatomy)
