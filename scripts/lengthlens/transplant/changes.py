"""How far tuning moved the weights of every component.

Relative change ‖W_tuned − W_untuned‖ / ‖W_untuned‖ (Frobenius), of all weights of a component
together: a head's queries and outputs, and the keys and values that it shares; an MLP's maps. A
low-rank adapter that was merged into the weights changed them by the product of its factors, so
that its change is read here, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import nn

from lengthlens.transplant.parts import KINDS, Parts, Piece


def weight_changes(parts: Parts, untuned: nn.Module, tuned: nn.Module) -> dict[str, xr.Variable]:
    """Relative change of every head, MLP and kind of parts; NaN where it cannot be told.

    Returns:
        `change_head (layer, head)`, `change_mlp (layer)` and `change_kind (kind)`.
    """
    a = parts.anatomy
    shape = (a.n_layers, a.n_heads)
    heads = np.full(shape, np.nan)
    if not parts.why_no_heads():
        for layer, head in np.ndindex(shape):
            heads[layer, head] = relative_change(parts.read_by(layer, head), untuned, tuned)
    mlps = [
        relative_change(parts.of_kind("mlp", [layer]), untuned, tuned)
        for layer in range(a.n_layers)
    ]
    kinds = [relative_change(parts.of_kind(kind), untuned, tuned) for kind in KINDS]
    return {
        "change_head": xr.Variable(("layer", "head"), heads),
        "change_mlp": xr.Variable(("layer",), np.array(mlps)),
        "change_kind": xr.Variable(("part",), np.array(kinds)),
    }


@torch.no_grad()
def relative_change(pieces: Sequence[Piece], untuned: nn.Module, tuned: nn.Module) -> float:
    """‖W_tuned − W_untuned‖ / ‖W_untuned‖ of some pieces together; NaN for none."""
    before, after = (dict(model.named_parameters()) for model in (untuned, tuned))
    change = size = 0.0
    for piece in pieces:
        old = piece.of(before[piece.name]).double()
        new = piece.of(after[piece.name]).to(old)
        change += float((new - old).square().sum())
        size += float(old.square().sum())
    return (change / size) ** 0.5 if size > 0 else np.nan
