"""A key-value cache that grows in place.

transformers' dynamic cache copies all keys and values at every step, which costs as much as the
forward pass for small models. Here each layer reserves its whole length once. Layers with a sliding
window keep transformers' own class, which knows how to forget.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer


class ReservedLayer(DynamicLayer):
    """Keys and values of one layer in a buffer that is allocated once for `capacity` positions."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self._length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self._key_buffer = self._reserve(key_states, len(key_states))
        self._value_buffer = self._reserve(value_states, len(value_states))
        self._show(0)
        self.is_initialized = True

    def _reserve(self, states: torch.Tensor, rows: int) -> torch.Tensor:
        _, heads, _, width = states.shape
        # NOTE empty: nothing is read before it is written, nor does it take memory before.
        return states.new_empty((rows, heads, self.capacity, width))

    def _show(self, length: int) -> None:
        self._length = length
        self.keys = self._key_buffer[:, :, :length]
        self.values = self._value_buffer[:, :, :length]

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, end = self._length, self._length + key_states.shape[-2]
        self._key_buffer[:, :, start:end] = key_states
        self._value_buffer[:, :, start:end] = value_states
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        if self.is_initialized:
            indices = indices.to(self.device)
            self._key_buffer = self._selected(self.keys, indices)
            self._value_buffer = self._selected(self.values, indices)
            self._show(self._length)

    def _selected(self, states: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        """A new buffer with the given rows; only the positions in use are copied."""
        buffer = self._reserve(states, len(indices))
        torch.index_select(states, 0, indices, out=buffer[:, :, : self._length])
        return buffer


def reserved_cache(config, capacity: int) -> DynamicCache:
    """A cache for a model of this config, with room for `capacity` positions a row."""
    cache = DynamicCache(config=config)
    if not cache.layers:
        return cache
    cache.layers = [
        ReservedLayer(capacity) if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def forgets(cache: DynamicCache, positions: int) -> bool:
    """Whether a layer's sliding window is shorter than so many positions."""
    return any(0 <= layer.get_max_length() < positions for layer in cache.layers)


def select_rows(cache: DynamicCache, rows: torch.Tensor) -> None:
    """Keep (and reorder, or repeat) the given rows of a cache, in place."""
    for layer in cache.layers:
        layer.batch_select_indices(rows)
