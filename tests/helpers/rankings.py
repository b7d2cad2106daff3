"""Random rankings of the components of a model of 4 layers × 8 heads."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

LAYERS, HEADS = 4, 8


def ranking(seed: int = 0, methods: tuple[str, ...] = ("cwa", "end_contrast")) -> pd.DataFrame:
    """A selection table with random ranks of all heads and MLPs."""
    rng = np.random.default_rng(seed)
    rows = []
    for method in methods:
        heads = list(itertools.product(range(LAYERS), range(HEADS)))
        for rank, place in enumerate(rng.permutation(len(heads)), start=1):
            rows.append(("head", *heads[place], method, 1.0 / rank, rank))
        for rank, layer in enumerate(rng.permutation(LAYERS), start=1):
            rows.append(("mlp", layer, pd.NA, method, 1.0 / rank, rank))
    table = pd.DataFrame(rows, columns=["kind", "layer", "head", "method", "score", "rank"])
    return table.astype({"head": "Int64", "rank": "Int64"})
