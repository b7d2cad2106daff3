"""Attention scores before the softmax, and the weights after it: read, and set to minus infinity.

Fused attention never writes the scores down. For the passes of a block the model is therefore
switched to transformers' eager attention, whose one softmax over [row, head, query, key] is
overheard; afterwards it is switched back. A layer whose attention is of another kind (a state
space, a linear one, one with a learned sink, code that cannot be switched) gives no weights:
`missing` names it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lengthlens.models.anatomy import Anatomy
from lengthlens.models.hooks import computing

_SOFTMAX = {torch.softmax, torch.Tensor.softmax, functional.softmax}
_FAR = 1e-3  # weights that add up to anything but 1 by more are not all there is


@dataclass(frozen=True)
class Knockouts:
    """What the last position may not attend to, row by row.

    Attributes:
        heads: True for heads that are kept from it.
        keys: True for positions that they are kept from.
    """

    heads: Bool[Tensor, "row layer head"]
    keys: Bool[Tensor, "row position"]

    def __len__(self) -> int:
        return len(self.heads)

    def __getitem__(self, rows: slice) -> Knockouts:
        return Knockouts(self.heads[rows], self.keys[rows])


class ScoreListener(TorchFunctionMode):
    """Overhears the attention of every layer, from the last position of a pass.

    Attributes:
        weights: by layer; None where there are none.
    """

    def __init__(self, anatomy: Anatomy, positions: int, knockouts: Knockouts | None) -> None:
        super().__init__()
        self.anatomy, self._positions, self._knockouts = anatomy, positions, knockouts
        self.weights: list[Float[Tensor, "row head position"] | None] = [None] * anatomy.n_layers
        self._layer: int | None = None

    @contextlib.contextmanager
    def attached(self, model: nn.Module) -> Iterator[ScoreListener]:
        """Listen to the passes in this block, which attend eagerly."""
        layers = {index: layer.first for index, layer in enumerate(self.anatomy.layers)}
        told = computing(layers, functools.partial(setattr, self, "_layer"))
        with told, eager_attention(model), self:
            yield self

    def missing(self) -> list[int]:
        """Layers that gave no weights."""
        return [layer for layer, weights in enumerate(self.weights) if weights is None]

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func not in _SOFTMAX or self._layer is None or not args or not self._attends(args[0]):
            return func(*args, **kwargs)
        layer = self._layer
        weights = func(self._blocked(layer, args[0]), *args[1:], **kwargs)
        self.weights[layer] = self._padded(layer, weights[:, :, -1])
        return weights

    def _attends(self, scores: Tensor) -> bool:
        """Whether these are the scores of all heads for keys of the text, and of nothing else."""
        site = self.anatomy.layers[self._layer].attention
        if site is None or scores.dim() != 4 or scores.shape[1] != site.n_heads:
            return False
        return scores.shape[-1] <= self._positions

    def _blocked(self, layer: int, scores: Tensor) -> Tensor:
        if self._knockouts is None:
            return scores
        # NOTE a sliding window keeps the last keys only.
        keys = self._knockouts.keys[:, -scores.shape[-1] :].to(scores.device)
        places = self.anatomy.layers[layer].attention.heads
        heads = self._knockouts.heads[:, layer, places].to(scores.device)
        last = scores[:, :, -1].masked_fill(heads[..., None] & keys[:, None], -torch.inf)
        return torch.cat([scores[:, :, :-1], last[:, :, None]], dim=2)

    def _padded(self, layer: int, weights: Float[Tensor, "row head key"]) -> Tensor | None:
        """Weights of all heads over all positions; None where they do not add up to 1.

        They are NaN for what has none: mixers beside the attention, heads that the layer lacks.
        """
        total = weights.float().sum(-1)
        if self._knockouts is None and bool(((total - 1).abs() > _FAR).any()):
            return None
        found = functional.pad(weights.detach(), (self._positions - weights.shape[-1], 0))
        places = self.anatomy.layers[layer].attention.heads
        lacking = (places.start, self.anatomy.n_heads - places.stop)
        return functional.pad(found, (0, 0, *lacking), value=torch.nan)


@contextlib.contextmanager
def eager_attention(model: nn.Module, name: str = "eager") -> Iterator[None]:
    """Let a model compute attention step by step, where it can be switched.

    Args:
        model: any.
        name: eager attention, or one that was registered with transformers.
    """
    own = getattr(model.config, "_attn_implementation", None)
    switch = getattr(model, "set_attn_implementation", None)
    if switch is None or own in (None, name):
        yield
        return
    try:
        switch(name)
        yield
    finally:
        switch(own)
