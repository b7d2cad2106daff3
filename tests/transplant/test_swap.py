"""Parts of the weights change places and come back bit for bit."""

from __future__ import annotations

import pytest
import torch
from architectures import VOCABULARY
from tiny_llama import tiny_llama
from transformers import LlamaForCausalLM

import lengthlens.transplant.swap as swap
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import dissect
from lengthlens.models.every_type import any_model
from lengthlens.transplant.changes import relative_change, weight_changes
from lengthlens.transplant.parts import KINDS, Parts, Piece, check_alike, differing
from lengthlens.transplant.swap import transplanted, weights_hash

IDS = torch.arange(8, 20)[None]


def llama(seed: int, tied: bool = False, **changes) -> LlamaForCausalLM:
    """Two layers of four heads that share two keys and values."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "initializer_range": 0.3}
    model = tiny_llama(VOCABULARY, seed, **sizes, tie_word_embeddings=tied, **changes)
    model.requires_grad_(False)
    for name, weight in model.named_parameters():
        if "norm" in name:
            weight.data += 0.1 * torch.randn_like(weight)
    return model


def logits(model: LlamaForCausalLM) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits[0, -1]


def changed(model, donor, pieces) -> set[str]:
    """Names of the parameters that differ while pieces are transplanted."""
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with transplanted(model, donor, pieces):
        return {n for n, w in model.named_parameters() if not torch.equal(w, before[n])}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tied", [False, True])
def test_the_whole_model_is_the_other_and_comes_back(dtype, tied: bool) -> None:
    one, other = llama(0, tied).to(dtype), llama(1, tied).to(dtype)
    hashes = weights_hash(one), weights_hash(other)
    own, wanted = logits(one), logits(other)
    parts = Parts(one, dissect(one))
    with transplanted(one, other, parts.whole()):
        assert torch.equal(logits(one), wanted)
    for scale in (0.5, 1.5):
        with transplanted(one, other, parts.whole(), scale):
            assert not torch.equal(logits(one), own)
    with transplanted(one, other, parts.whole(), 0):
        assert torch.equal(logits(one), own)
    assert (weights_hash(one), weights_hash(other)) == hashes
    assert torch.equal(logits(one), own)


def test_an_error_puts_everything_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was kept in a file, as of a model that is large."""
    monkeypatch.setattr(swap, "IN_MEMORY", 0)
    one, other = llama(0), llama(1)
    before, parts = weights_hash(one), Parts(one, dissect(one))
    for pieces, scale in ((parts.whole(), 0.5), (parts.of_heads([(0, 1), (1, 2)]), 1)):
        with pytest.raises(ZeroDivisionError), transplanted(one, other, pieces, scale):
            assert weights_hash(one) != before
            raise ZeroDivisionError
        assert weights_hash(one) == before


def test_a_dose_is_on_the_way() -> None:
    one, other = llama(0), llama(1)
    name = "model.layers.0.mlp.up_proj.weight"
    start, end = (dict(model.named_parameters())[name].clone() for model in (one, other))
    with transplanted(one, other, [Piece(name)], 0.25):
        torch.testing.assert_close(dict(one.named_parameters())[name], 0.75 * start + 0.25 * end)


@pytest.mark.parametrize("tied", [False, True])
def test_every_parameter_has_one_place(tied: bool) -> None:
    model = llama(0, tied)
    parts = Parts(model, dissect(model))
    found = [piece.name for kind in KINDS for piece in parts.of_kind(kind)]
    assert sorted(found) == sorted(name for name, _ in model.named_parameters())
    norms = {piece.name for piece in parts.of_kind("norms")}
    assert norms == {
        *(f"model.layers.{layer}.{name}_layernorm.weight"
          for layer in (0, 1) for name in ("input", "post_attention")),
        "model.norm.weight",
    }  # fmt: skip
    assert {piece.name for piece in parts.of_kind("attention", [1])} == {
        f"model.layers.1.self_attn.{name}_proj.weight" for name in "qkvo"
    }
    assert bool(parts.of_kind("unembedding")) != tied
    assert [piece.name for piece in parts.of_kind("embedding")] == ["model.embed_tokens.weight"]


def test_a_tied_embedding_moves_both() -> None:
    one, other = llama(0, tied=True), llama(1, tied=True)
    parts = Parts(one, dissect(one))
    wanted = other.model.embed_tokens.weight.clone()
    with transplanted(one, other, parts.of_kind("embedding")):
        assert torch.equal(one.lm_head.weight, wanted)
        assert torch.equal(one.model.embed_tokens.weight, wanted)


def test_keys_and_values_move_with_their_whole_group() -> None:
    one, other = llama(0), llama(1)
    parts = Parts(one, dissect(one))
    assert parts.groups_within([(0, 1), (1, 2), (1, 3)]) == [(1, 1)]
    attention = "model.layers.0.self_attn."
    heads = {f"{attention}{name}_proj.weight" for name in "qo"}
    assert changed(one, other, parts.of_heads([(0, 1)])) == heads
    group = {f"{attention}{name}_proj.weight" for name in "qkvo"}
    assert changed(one, other, parts.of_heads([(0, 0), (0, 1)])) == group
    with transplanted(one, other, parts.of_heads([(0, 2), (0, 3)])):
        mine, theirs = one.model.layers[0].self_attn, other.model.layers[0].self_attn
        assert torch.equal(mine.k_proj.weight[4:], theirs.k_proj.weight[4:])
        assert not torch.equal(mine.k_proj.weight[:4], theirs.k_proj.weight[:4])
        assert torch.equal(mine.o_proj.weight[:, 8:], theirs.o_proj.weight[:, 8:])
    every = [(layer, head) for layer in (0, 1) for head in range(4)]
    assert changed(one, other, parts.of_heads(every)) == {
        piece.name for piece in parts.of_kind("attention")
    }


def test_what_a_layer_embeds_anew_is_of_its_mlp_and_shared_keys_move_with_their_layer() -> None:
    """Gemma 4: later layers have no keys and values of their own, so that heads stay."""
    model = any_model("gemma4")
    parts = Parts(model, dissect(model))
    attention = {piece.name.rpartition("self_attn.")[2] for piece in parts.of_kind("attention")}
    assert attention == {f"{name}_proj.weight" for name in "qkvo"}
    mlp = {piece.name.rpartition(".layers.")[2][2:] for piece in parts.of_kind("mlp")}
    embedded = {"per_layer_input_gate.weight", "per_layer_projection.weight"}
    assert mlp == embedded | {f"mlp.{name}_proj.weight" for name in ("gate", "up", "down")}
    keys = [piece.name for piece in parts.of_kind("attention", [2, 3]) if "k_proj" in piece.name]
    assert keys == []
    assert "read the keys and values of others" in parts.why_no_heads()


def test_only_what_differs_is_a_part() -> None:
    one, other = llama(0), llama(0)
    parts = Parts(one, dissect(one))
    assert differing(parts.whole(), one, other) == ()
    other.model.norm.weight.data[0] += 1
    assert differing(parts.whole(), one, other) == (Piece("model.norm.weight"),)
    with pytest.raises(LengthlensError, match="embed_tokens.weight has the shape .* in the"):
        check_alike(one, tiny_llama(8))


def test_changes_of_the_weights() -> None:
    """Of a head with the keys and values that it shares, by hand."""
    one, other = llama(0), llama(0)
    parts, layer = Parts(one, dissect(one)), other.model.layers[1].self_attn
    layer.q_proj.weight.data[4:8] *= 2  # head 1: as far as it is long
    found = weight_changes(parts, one, other)
    heads = found["change_head"].to_numpy()
    own = one.model.layers[1].self_attn
    size = [own.q_proj.weight[4:8], own.o_proj.weight[:, 4:8], own.k_proj.weight[:4],
            own.v_proj.weight[:4]]  # fmt: skip
    length = sum(float(part.square().sum()) for part in size)
    assert heads[1, 1] == pytest.approx((float(size[0].square().sum()) / length) ** 0.5)
    assert (heads > 0).sum() == 1 and (found["change_mlp"].to_numpy() == 0).all()
    other.model.embed_tokens.weight.data *= 1.5
    pieces = parts.of_kind("embedding")
    assert relative_change(pieces, one, other) == pytest.approx(0.5)
