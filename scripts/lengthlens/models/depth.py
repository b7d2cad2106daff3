"""Layers told by their depth, so that models of different numbers of layers compare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

EARLY = (0.0, 0.25)  # fractions of depth
LATE = (0.75, 1.0)  # layers 24 to 31 of 32, as in the paper; 4 and 5 of 6


def nearest_layer(layers: Sequence[int], depth: float, last: int) -> int:
    """The layer nearest to a fraction of the way to the last; of two as near, the lower."""
    return min(sorted(layers), key=lambda layer: abs(layer - depth * last))


def layers_between(n_layers: int, start: float, stop: float) -> Int[np.ndarray, " layer"]:
    """Layers whose middle lies between two fractions of depth: layer l of L at (l + 1/2)/L."""
    middle = (np.arange(n_layers) + 0.5) / n_layers
    return np.flatnonzero((middle >= start - 1e-9) & (middle <= stop + 1e-9))
