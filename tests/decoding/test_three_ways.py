"""Batches that share a prefix, rows alone, and transformers' own generate answer the same.

Distances and windows that count places in the batch (MPT, GPT-Neo), states, experts: whatever the
architecture, an answer is that of its prompt alone. In float32, on tiny random models.
"""

from __future__ import annotations

import pytest
import torch
from architectures import ROWS, tiny_model
from three_ways import PREFIX, disagreements
from unlisted import ACCEPTED, unlisted_model

from lengthlens.attribution.proof import proven
from lengthlens.decoding.kvcache import (
    repeat_shifted,
    reserved_cache,
    select_rows,
    shareable,
    stateful,
)
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import dissect
from lengthlens.models.every_type import TYPES, NotBuilt, any_model

TEXTS = [list(range(20, 33)), list(range(60, 67))]


@pytest.mark.parametrize("row", ROWS)
def test_listed_architectures_answer_alike(row: str) -> None:
    assert disagreements(tiny_model(row)) == []


@pytest.mark.parametrize("kind", ["mpt", "bloom"])
def test_distances_in_the_batch_are_those_of_the_row(kind: str) -> None:
    """ALiBi, counted by place (MPT) and by mask (Bloom)."""
    assert disagreements(unlisted_model(kind, ACCEPTED[kind])) == []


@pytest.mark.slow
def test_local_attention_by_place_in_the_cache() -> None:
    """GPT-Neo's windows of 24 positions slide over a cache that forgets nothing."""
    model = any_model("gpt_neo")
    assert model.config.attention_layers.count("local") == 2
    assert disagreements(model) == []


@pytest.mark.parametrize("row", ["mistral", "gemma2", "gemma3_text"])
def test_windows_shorter_than_the_prompts_are_not_shared(row: str) -> None:
    model = tiny_model(row, sliding_window=24)
    assert disagreements(model, shares=False) == []


def test_a_shared_cache_is_shifted_behind_each_rows_padding() -> None:
    """Row r, position j holds position j − padding[r] of the one row there was, or its first."""
    config = tiny_model("llama").config
    cache = reserved_cache(config, capacity=9)
    states = torch.arange(1.0, 1 + 2 * 5 * 12).reshape(1, 2, 5, 12)
    for layer in range(len(cache.layers)):
        cache.update(states, -states, layer)
    repeat_shifted(cache, [0, 2, 7])
    for layer in cache.layers:
        assert layer.keys.shape == (3, 2, 5, 12)
        assert torch.equal(layer.keys[0], states[0])
        assert torch.equal(layer.keys[1, :, 2:], states[0, :, :3])
        for masked in (layer.keys[1, :, :2], layer.keys[2]):
            assert torch.equal(masked, states[0, :, :1].expand_as(masked))
        assert torch.equal(layer.values, -layer.keys)
    more = torch.ones(3, 2, 4, 12)
    keys, _ = cache.update(more, more, 0)
    assert keys.shape[2] == 9 and torch.equal(keys[:, :, 5:], more)


def test_rows_of_layers_with_a_state_are_kept_whole() -> None:
    """Of a layer with attention and a state beside it, both follow the rows."""
    from transformers.cache_utils import LinearAttentionAndFullAttentionLayer, LinearAttentionLayer

    cache = reserved_cache(tiny_model("llama").config, capacity=4)
    cache.layers = [LinearAttentionAndFullAttentionLayer(), LinearAttentionLayer()]
    states = torch.arange(3.0).reshape(3, 1, 1, 1)
    cache.layers[0].update(states, states)
    for layer in cache.layers:
        layer.update_conv_state(states[..., 0])
        layer.update_recurrent_state(states)
    assert not shareable(cache, 4, padded=False)
    select_rows(cache, torch.tensor([2, 0]))
    for kept in (
        cache.layers[0].keys,
        *(layer.conv_states[0] for layer in cache.layers),
        *(layer.recurrent_states[0] for layer in cache.layers),
    ):
        assert kept.flatten().tolist() == [2.0, 0.0]


@pytest.mark.parametrize(("window", "padded", "shared"), [(8, True, False), (8, False, True)])
def test_a_forgetful_window_is_shared_by_rows_of_one_length_only(window, padded, shared) -> None:
    cache = reserved_cache(tiny_model("mistral", sliding_window=window).config, capacity=20)
    assert shareable(cache, 20, padded) == shared
    assert shareable(cache, window, padded)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted({*TYPES} - {*ROWS}))
def test_every_other_architecture_answers_alike_or_is_refused(kind: str) -> None:
    try:
        model = any_model(kind)
        anatomy = dissect(model)
        proven(model, anatomy, TEXTS, kind)
    except (NotBuilt, LengthlensError) as reason:
        pytest.skip(str(reason))
    windowed = getattr(model.config, "use_sliding_window", True)
    window = getattr(model.config, "sliding_window", None) if windowed else None
    indexed = hasattr(model.config, "index_topk")  # keys kept beside keys and values: not shared
    states = stateful(reserved_cache(model.config, 1))  # prompts of one length together, unshared
    shares = not indexed and not states and (window is None or window > 2 * PREFIX)
    assert disagreements(model, shares=shares) == []
