"""Names of components as a user of the library writes them.

`L5H3` is a head, `L5M` an MLP, `L5` all of a layer. Layers and heads count from 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from lengthlens.ablation.conditions import Head
from lengthlens.errors import LengthlensError

_NAME = re.compile(r"L(\d+)(?:H(\d+)|(M))?", re.ASCII)


def named(
    names: str | Sequence[str],
    has_head: Bool[np.ndarray, "layer head"],
    has_mlp: Bool[np.ndarray, " layer"],
) -> tuple[tuple[Head, ...], tuple[int, ...]]:
    """The components that some names stand for: heads, and layers of MLPs; sorted, each once.

    Raises:
        LengthlensError: a name is none, or the model has no such layer, head or MLP.
    """
    heads, mlps = set(), set()
    n_layers, n_heads = has_head.shape
    for name in [names] if isinstance(names, str) else names:
        found = _NAME.fullmatch(name) if isinstance(name, str) else None
        if found is None:
            raise LengthlensError(
                f"{name!r} names no component: write L5H3 for head 3 of layer 5, L5M for the MLP "
                "of layer 5, or L5 for all of that layer; both count from 0"
            )
        layer, head, mlp = int(found[1]), found[2] and int(found[2]), found[3]
        if layer >= n_layers or (head is not None and head >= n_heads):
            raise LengthlensError(
                f"there is no {name}: the model has layers 0 to {n_layers - 1} with heads 0 to "
                f"{n_heads - 1}"
            )
        own = np.flatnonzero(has_head[layer]).tolist()
        if (head is not None and head not in own) or (mlp and not has_mlp[layer]):
            raise LengthlensError(
                f"there is no {name}: layer {layer} has {len(own)} heads and "
                f"{'an' if has_mlp[layer] else 'no'} MLP"
            )
        if not mlp:
            heads |= {(layer, each) for each in (own if head is None else [head])}
        if head is None and has_mlp[layer]:
            mlps.add(layer)
    return tuple(sorted(heads)), tuple(sorted(mlps))
