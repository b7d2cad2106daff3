"""A key-value cache that grows in place.

transformers' dynamic cache copies all keys and values at every step, which costs as much as the
forward pass for small models. Here each layer reserves its whole length once. Layers with a sliding
window keep transformers' own class, which knows how to forget.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from transformers.cache_utils import (
    DummyLayer,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionCacheLayerMixin,
)


class ReservedLayer(DynamicLayer):
    """Keys and values of one layer in buffers that are allocated once for `capacity` positions."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        # NOTE empty: nothing is read before it is written, nor does it take memory before.
        self._buffers = [
            states.new_empty((*states.shape[:2], self.capacity, states.shape[-1]))
            for states in (key_states, value_states)
        ]
        self.keys, self.values = (buffer[:, :, :0] for buffer in self._buffers)
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, stop = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:stop] = states
        self.keys, self.values = (buffer[:, :, :stop] for buffer in self._buffers)
        return self.keys, self.values

    def replace(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Hold these rows in the place of those that there are."""
        self.lazy_initialization(keys, values)
        self.update(keys, values)

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Keep (and reorder, or repeat) the given rows."""
        if self.is_initialized:
            rows = beam_idx.to(self.device)
            self.replace(self.keys.index_select(0, rows), self.values.index_select(0, rows))

    batch_select_indices = reorder_cache  # DynamicLayer's would leave the buffers as they are


def reserved_cache(config, capacity: int) -> DynamicCache:
    """A cache for a model of this config, with room for `capacity` positions a row."""
    cache = DynamicCache(config=config)
    cache.layers = [
        ReservedLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def shareable(cache: DynamicCache, positions: int, padded: bool) -> bool:
    """Whether rows can go on from one row's cache as from their own.

    A layer must keep keys and values position by position. One that keeps a state instead (linear
    attention, convolutions) knows no position to shift. One with a window that is shorter than the
    rows has forgotten what a padded row still sees.

    Args:
        cache: before or after it is filled.
        positions: that the rows will have, at most.
        padded: whether rows are of different lengths.
    """

    def sound(layer) -> bool:
        if type(layer) is DynamicSlidingWindowLayer:
            return not padded or positions <= layer.sliding_window
        return type(layer) in (ReservedLayer, DummyLayer)

    return all(sound(layer) for layer in cache.layers)


def repeat_shifted(cache: DynamicCache, padding: Sequence[int]) -> None:
    """Make rows of the one row in a cache, in place, each as if it had been padded on the left.

    Row r begins with `padding[r]` positions to be masked, which hold the first one of what was
    there. What was there follows, but for its last `padding[r]` positions, so that the number of
    positions stays.

    Keys and values belong to a token's place in its row, not in the batch, wherever padding is
    harmless at all; so they are those that the row itself would have computed.
    """
    shift = torch.tensor(padding)
    for layer in cache.layers:
        if not (isinstance(layer, DynamicLayer) and layer.is_initialized):
            continue
        keys, values = (_shifted(states, shift) for states in (layer.keys, layer.values))
        if isinstance(layer, ReservedLayer):
            layer.replace(keys, values)
        else:
            layer.keys, layer.values = keys, values


def _shifted(states: torch.Tensor, padding: torch.Tensor) -> torch.Tensor:
    """Rows of the one row of [1, head, position, …], each moved back by its padding."""
    place = torch.arange(states.shape[2]) - padding[:, None]
    # NOTE something finite where padding is: what is masked has a weight of zero, and zero times
    # NaN is NaN.
    place = place.clamp(min=0).to(states.device)
    return states[0][:, place].transpose(0, 1)


def select_rows(cache: DynamicCache, rows: torch.Tensor) -> None:
    """Keep (and reorder, or repeat) the given rows of a cache, in place."""
    for layer in cache.layers:
        # NOTE not batch_select_indices, which layers with a state lack, or inherit from their
        # attention half alone.
        layer.reorder_cache(rows)


def stateful(cache: DynamicCache) -> bool:
    """Whether some layer keeps a state, which knows no positions, and so no padding either."""
    return any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in cache.layers)


def attends(cache: DynamicCache) -> bool:
    """Whether some layer keeps keys and values."""
    return any(isinstance(layer, DynamicLayer) for layer in cache.layers)


def continues(cache: DynamicCache) -> bool:
    """Whether some layer's state has read a token."""
    return any(
        isinstance(layer, LinearAttentionCacheLayerMixin) and any(layer.has_previous_state.values())
        for layer in cache.layers
    )


def copied(cache: DynamicCache) -> DynamicCache:
    """A cache of the same tensors, of which `select_rows` makes others."""
    new = copy.copy(cache)
    new.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in new.layers:
        for name, value in vars(layer).items():
            if isinstance(value, dict):  # of states
                setattr(layer, name, dict(value))
    return new


def joined(caches: Sequence[DynamicCache], into: DynamicCache) -> None:
    """Fill an empty cache with the rows of others, which end at the same position.

    Rows with fewer positions are padded on the left; what is masked there is their first one.
    """
    for place, layer in enumerate(into.layers):
        parts = [cache.layers[place] for cache in caches]
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            _join_states(layer, parts)
        if isinstance(layer, DynamicLayer) and parts[0].is_initialized:
            longest = max(part.keys.shape[2] for part in parts)
            keys, values = (
                torch.cat([_padded(getattr(part, name), longest) for part in parts])
                for name in ("keys", "values")
            )
            layer.update(keys, values)
            if isinstance(layer, DynamicSlidingWindowLayer):  # which have forgotten some
                layer.cumulative_length = max(part.cumulative_length for part in parts)


def _join_states(layer, parts: Sequence) -> None:
    for index in range(layer.number_of_states):
        for kind in ("conv", "recurrent"):
            states = [getattr(part, f"{kind}_states")[index] for part in parts]
            if states[0] is not None:
                getattr(layer, f"{kind}_states")[index] = torch.cat(states)
                getattr(layer, f"is_{kind}_states_initialized")[index] = True
        layer.conv_kernel_size[index] = parts[0].conv_kernel_size[index]
        layer.has_previous_state[index] = parts[0].has_previous_state[index]
    layer.dtype, layer.device = parts[0].dtype, parts[0].device


def _padded(states: torch.Tensor, positions: int) -> torch.Tensor:
    """[row, head, position, …] with copies of the first position before it."""
    place = torch.arange(positions, device=states.device) - (positions - states.shape[2])
    return states[:, :, place.clamp(min=0)]
