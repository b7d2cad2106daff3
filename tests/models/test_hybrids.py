"""Models whose layers differ: linear attention, state spaces, convolutions, no MLP, no keys."""

from __future__ import annotations

import contextlib
import copy

import numpy as np
import pytest
import torch
from slow_params import some_slow
from test_anatomy import completeness
from three_ways import disagreements
from toys import NO_STOP, ragged_prompts
from transformers import AutoModelForCausalLM

from lengthlens.decoding.decode import Decoder
from lengthlens.decoding.donors import PassRecorder, placed
from lengthlens.decoding.intervention import Intervention, Surgeon
from lengthlens.models.anatomy import dissect
from lengthlens.models.every_type import any_model, made_to_matter
from lengthlens.models.hooks import added_by, with_added
from lengthlens.models.layout import Layout

# What each is chosen for: kinds of its layers, heads of each, layers with an MLP.
HYBRIDS = {
    "qwen3_next": (["mixer", "attention", "mixer"], [4, 4, 4], [True, True, True]),
    "bamba": (["mixer", "attention", "mixer"], [6, 4, 6], [True, True, True]),
    "jamba": (["mixer", "mixer", "attention", "mixer"], [1, 1, 4, 1], [True] * 4),
    "lfm2": (["mixer", "attention", "mixer"], [1, 4, 1], [True, True, True]),
    "falcon_h1": (["mixer+attention"] * 3, [10, 10, 10], [True, True, True]),
    "granitemoehybrid": (["mixer", "attention", "mixer"], [6, 4, 6], [True, True, True]),
    "mamba": (["mixer"] * 3, [1, 1, 1], [False] * 3),
    "gemma4": (["attention"] * 4, [4] * 4, [True] * 4),  # the last two read keys of the first two
}
IDS = torch.tensor([[5, 9, 33, 71, 12, 8, 90, 44, 17]])
PROMPTS = ragged_prompts([6, 9, 5], shared=2)


LONG = ("falcon_h1", "gemma4")  # take seconds; the gate runs them


@pytest.fixture(scope="module", params=some_slow(HYBRIDS, LONG))
def hybrid(request):
    return request.param, any_model(request.param)


def test_layers_have_the_parts_that_they_have(hybrid) -> None:
    kind, model = hybrid
    anatomy = dissect(model)
    kinds, heads, mlps = HYBRIDS[kind]
    assert [layer.kind for layer in anatomy.layers] == kinds
    assert anatomy.layout.has_head.sum(1).tolist() == heads
    assert anatomy.layout.has_mlp.tolist() == mlps


def test_components_add_up_to_the_models_own_logit(hybrid) -> None:
    """As for the listed types, in batches of unequal prompts from which rows leave.

    States are computed in another order token by token than at once: measured at most 9.3e-6.
    """
    deviations = completeness(hybrid[1], torch.float32, PROMPTS)
    own = deviations.pop("own")
    assert max(deviations.values()) <= 2e-6 and own <= 2e-5, (deviations, own)


@pytest.mark.slow
def test_answers_are_those_of_transformers(hybrid) -> None:
    kind, model = hybrid
    assert disagreements(model, shares=kind == "gemma4") == []


@pytest.mark.slow
def test_keys_of_earlier_layers_within_a_window() -> None:
    """Later layers read all keys of a pass, though the cache forgets those before the window."""
    config = copy.deepcopy(any_model("gemma4").config)
    config.get_text_config().sliding_window = 24
    torch.manual_seed(0)
    model = made_to_matter(AutoModelForCausalLM.from_config(config).float().eval())
    assert disagreements(model, shares=False) == []


def test_removing_a_head_everywhere_equals_zeroing_its_columns(hybrid) -> None:
    """Head 0 of the last layer with heads apart, and all of a layer's MLP."""
    model = hybrid[1]
    anatomy = dissect(model)
    layer = next(
        (i for i, one in reversed([*enumerate(anatomy.layers)]) if not one.mixing[0].branch.whole),
        None,
    )
    if layer is None:
        pytest.skip("no mixer of it falls into heads")
    site = anatomy.layers[layer].mixing[-1]
    head = site.heads.stop - 1
    heads = torch.zeros(1, anatomy.n_layers, anatomy.n_heads, dtype=torch.bool)
    heads[0, layer, head] = True
    removed = logits_with(model, Intervention(heads, heads[..., 0] & False, "all"))
    columns = site.module.weight[:, (site.n_heads - 1) * site.width :]
    own = columns.clone()
    columns.zero_()
    edited = model(input_ids=IDS, use_cache=False).logits
    columns.copy_(own)
    assert torch.allclose(removed, edited, atol=1e-5)
    assert not torch.allclose(removed, model(input_ids=IDS, use_cache=False).logits, atol=1e-3)


def test_removing_an_mlp_everywhere_equals_silencing_its_modules(hybrid) -> None:
    """Shared experts and routed ones are one component, and so is what a layer embeds anew."""
    kind, model = hybrid
    anatomy = dissect(model)
    layer = anatomy.n_layers - 1
    sites = anatomy.layers[layer].mlps
    if not sites:
        pytest.skip("its layers have none")
    assert len(sites) == (2 if kind in ("granitemoehybrid", "gemma4") else 1)
    mlps = torch.zeros(1, anatomy.n_layers, dtype=torch.bool)
    mlps[0, layer] = True
    heads = torch.zeros(1, anatomy.n_layers, anatomy.n_heads, dtype=torch.bool)
    removed = logits_with(model, Intervention(heads, mlps, "all"))
    with contextlib.ExitStack() as hooks:
        for site in sites:
            hooks.enter_context(site.last.register_forward_hook(silenced))
        silent = model(input_ids=IDS, use_cache=False).logits
    assert torch.allclose(removed, silent, atol=1e-5)
    assert not torch.allclose(removed, model(input_ids=IDS, use_cache=False).logits, atol=1e-3)


def silenced(module, args, output):
    return with_added(output, torch.zeros_like(added_by(output)))


def test_layers_that_scale_the_stream() -> None:
    """What a layer adds is multiplied by its own scale and by those of all layers after it."""
    model = any_model("gemma4_text")
    scales = [1.3, 0.8, 1.1]
    for layer, scale in zip(model.model.layers, scales, strict=True):
        layer.layer_scalar.fill_(scale)
    anatomy = dissect(model)
    assert anatomy.embedding_factor == pytest.approx(1.3 * 0.8 * 1.1)
    assert anatomy.layers[1].mlp.factor == pytest.approx(0.8 * 1.1)
    deviations = completeness(model, torch.float32, PROMPTS)
    assert max(deviations.values()) <= 2e-6, deviations


def test_exchanging_everything_gives_the_other_run(hybrid) -> None:
    """All components of every position from another text, but its embedding, which stays."""
    model = hybrid[1]
    anatomy = dissect(model)
    other = IDS.flip(1)
    recorder, stream = PassRecorder(anatomy), {}
    entering = anatomy.layers[0].first.register_forward_pre_hook(
        lambda m, args, kwargs: stream.update(x=(args[0] if args else kwargs["hidden_states"])),
        with_kwargs=True,
    )
    with recorder.attached():
        theirs = model(input_ids=other, use_cache=False).logits
    embedded = stream["x"]
    entering.remove()
    donors = placed(recorder.donors(IDS.device), torch.arange(IDS.shape[1])[None])
    every = torch.ones(1, anatomy.n_layers, anatomy.n_heads, dtype=torch.bool)
    patch = Intervention(
        every, every[..., 0], "placed", resampled=torch.tensor([True]), donors=donors
    )
    swap = anatomy.final_norm.register_forward_pre_hook(
        lambda m, args: (args[0] + embedded - stream["x"], *args[1:])
    )
    entering = anatomy.layers[0].first.register_forward_pre_hook(
        lambda m, args, kwargs: stream.update(x=(args[0] if args else kwargs["hidden_states"])),
        with_kwargs=True,
    )
    patched = logits_with(model, patch)
    swap.remove(), entering.remove()
    assert torch.allclose(patched, theirs, atol=1e-4 * float(theirs.abs().max()))


def logits_with(model, intervention: Intervention) -> torch.Tensor:
    surgeon = Surgeon(dissect(model), intervention)
    with surgeon.attached(), torch.no_grad():
        surgeon.at(slice(None))
        return model(input_ids=IDS, use_cache=False).logits


def test_a_batch_is_decoded_as_its_rows_are_alone(hybrid) -> None:
    model = hybrid[1]
    anatomy = dissect(model)
    together = Decoder(model, anatomy, NO_STOP).decode(PROMPTS, 5).tokens
    alone = [Decoder(model, anatomy, NO_STOP).decode([prompt], 5).tokens[0] for prompt in PROMPTS]
    assert together == alone


# Blocks of heads with their groups; the layers are those of HYBRIDS.
BLOCKS = {
    "qwen3_next": [(0, 0, 4, 2), (1, 0, 4, 2), (2, 0, 4, 2)],
    "bamba": [(0, 0, 6, 6), (1, 0, 4, 2), (2, 0, 6, 6)],
    "jamba": [(0, 0, 1, 1), (1, 0, 1, 1), (2, 0, 4, 2), (3, 0, 1, 1)],
    "falcon_h1": [(i, *block) for i in range(3) for block in ((0, 6, 6), (6, 10, 2))],
    "mamba": [(i, 0, 1, 1) for i in range(3)],
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_layout_tells_heads_apart_and_is_told_by_a_file(kind: str) -> None:
    anatomy = dissect(any_model(kind))
    layout, size = anatomy.layout, (anatomy.n_layers, anatomy.n_heads)
    found = [(block.layer, block.first, block.stop, block.group) for block in layout.blocks]
    assert sorted(found) == sorted(BLOCKS[kind])
    assert Layout.told(layout.attributes(), *size, anatomy.n_kv_heads) == layout
    assert layout.is_even == (kind == "qwen3_next")
    values = np.arange(float(anatomy.layout.n_components))
    heads, mlps = layout.spread(values, np.nan)
    assert (np.isnan(heads) == ~layout.has_head).all() and (np.isnan(mlps) == ~layout.has_mlp).all()
    joined = np.concatenate([heads[layout.has_head], mlps[layout.has_mlp]])
    assert (joined == values).all()
