"""Names of components as a user of the library writes them.

`L5H3` is a head, `L5M` an MLP, `L5` all of a layer. Layers and heads count from 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lengthlens.ablation.conditions import Head
from lengthlens.errors import LengthlensError

_NAME = re.compile(r"L(\d+)(?:H(\d+)|(M))?", re.ASCII)


@dataclass(frozen=True)
class Components:
    """Some heads, as (layer, head), and some MLPs, by their layers; sorted, each once."""

    heads: tuple[Head, ...]
    mlps: tuple[int, ...]


def named(names: str | Sequence[str], n_layers: int, n_heads: int) -> Components:
    """The components of a model that some names stand for.

    Raises:
        LengthlensError: a name is none, or the model has no such layer or head.
    """
    heads, mlps = set(), set()
    for name in [names] if isinstance(names, str) else names:
        found = _NAME.fullmatch(name) if isinstance(name, str) else None
        if found is None:
            raise LengthlensError(
                f"{name!r} names no component: write L5H3 for head 3 of layer 5, L5M for the MLP "
                "of layer 5, or L5 for all of that layer; both count from 0"
            )
        layer, head, mlp = int(found[1]), found[2], found[3]
        if layer >= n_layers or (head is not None and int(head) >= n_heads):
            raise LengthlensError(
                f"there is no {name}: the model has layers 0 to {n_layers - 1} with heads 0 to "
                f"{n_heads - 1}"
            )
        if head is not None:
            heads.add((layer, int(head)))
            continue
        mlps.add(layer)
        if mlp is None:
            heads |= {(layer, each) for each in range(n_heads)}
    return Components(tuple(sorted(heads)), tuple(sorted(mlps)))
