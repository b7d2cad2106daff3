"""Attention written out: weights before the softmax, as transformers' implementations take them."""

from __future__ import annotations

import torch
from torch import Tensor


def plain_scores(
    query: Tensor, key: Tensor, scaling: float | None, softcap: float | None
) -> Tensor:
    """Scores of a causal attention, minus infinity where a key comes later [row head query key]."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = query @ key.transpose(-1, -2) * scale
    if softcap is not None:
        found = softcap * torch.tanh(found / softcap)
    seen = torch.ones(found.shape[-2:], dtype=torch.bool).tril()
    return found.masked_fill(~seen, -torch.inf)
