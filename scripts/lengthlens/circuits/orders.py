"""In which order components enter a circuit: by a score, or at random.

Components are numbered heads first, layer by layer, then MLPs. A score orders heads and MLPs
together, the largest signed score first. Random orders are of two kinds: uniform over all
components; and the order of a score with the heads of every layer permuted, the MLPs kept where
they are. The second asks more: an order that only knows which MLPs and which layers matter is as
good as one of these.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from lengthlens.ablation.selection import component_name
from lengthlens.models.layout import Layout

EMBEDDING, LOGITS = "embedding", "logits"  # beside components at the ends of paths


def component_names(layout: Layout) -> list[str]:
    """The name of every component, in the order of their numbers."""
    names = [component_name(layer, head) for layer, head in layout.heads]
    return names + [component_name(layer) for layer in layout.mlps]


def split_receiver(receiver: str) -> tuple[str, str]:
    """The component of a receiver, and what it receives there: "L5M", "mlp" of "L5.mlp"."""
    name, _, part = receiver.partition(".")
    return (f"{name}M" if part == "mlp" else name), part


def ranked_order(
    selection: pd.DataFrame, method: str, layout: Layout
) -> Int[np.ndarray, " component"] | None:
    """Components by a score of a selection file; None where the score is not known of all."""
    rows = selection[selection["method"] == method].set_index("component")["score"]
    names = component_names(layout)
    if not set(names) <= set(rows.index):
        return None
    scores = rows.loc[names].to_numpy(dtype=float)
    return np.argsort(-scores, kind="stable") if np.isfinite(scores).all() else None


def uniform_orders(layout: Layout, count: int, seed: int) -> Int[np.ndarray, "order component"]:
    """Random orders of all components."""
    rng = np.random.default_rng([seed, 0])
    return np.stack([rng.permutation(layout.n_components) for _ in range(count)])


def permuted_orders(
    order: Int[np.ndarray, " component"], layout: Layout, count: int, seed: int
) -> Int[np.ndarray, "order component"]:
    """An order with the heads of every layer permuted, and the MLPs where they were."""
    rng = np.random.default_rng([seed, 1])
    ends = np.cumsum([len(block.heads) for block in layout.blocks])
    *blocks, mlps = np.split(np.arange(layout.n_components), ends)
    made = []
    for _ in range(count):
        renamed = np.concatenate([*map(rng.permutation, blocks), mlps])
        made.append(renamed[order])
    return np.stack(made)


def circuit_sizes(shares: Sequence[float], layout: Layout) -> list[int]:
    """Shares of all components as numbers of them: at least one, never all, each once."""
    n = layout.n_components
    return sorted({min(max(1, round(share * n)), n - 1) for share in shares})


def first_of(order: Int[np.ndarray, " component"], k: int) -> Bool[np.ndarray, " component"]:
    """The first k of an order, as a mask."""
    mask = np.zeros(len(order), dtype=bool)
    mask[order[:k]] = True
    return mask
