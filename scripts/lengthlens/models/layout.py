"""Which components a model has: the heads of every layer, and the layers with an MLP.

Arrays over heads are as wide as the layer with the most, and NaN where a layer has fewer; lists of
components name those alone that there are. Files of a model whose layers differ tell its layout in
the attribute `layout`; that of others follows from their sizes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Shaped

from lengthlens.statistics.blocks import Block, even_blocks

ATTRIBUTE = "layout"


@dataclass(frozen=True)
class Layout:
    """The components of a model.

    Attributes:
        n_layers: how many layers it has.
        blocks: its heads, layer by layer.
        mlps: the layers that have an MLP.
    """

    n_layers: int
    blocks: tuple[Block, ...]
    mlps: tuple[int, ...]

    @classmethod
    def even(cls, layers: int, heads: int, groups: int | None = None) -> Layout:
        """Every layer with an MLP and as many heads, in so many key-value groups."""
        blocks = even_blocks(layers, heads, groups or heads)
        return cls(layers, blocks, tuple(range(layers)))

    @classmethod
    def told(cls, attrs: Mapping, layers: int, heads: int, groups: int | None = None) -> Layout:
        """The layout in a file's attributes; the even one of these sizes where they tell none."""
        if ATTRIBUTE not in attrs:
            return cls.even(layers, heads, groups)
        found = json.loads(attrs[ATTRIBUTE])
        return cls(layers, tuple(Block(*block) for block in found["heads"]), tuple(found["mlps"]))

    def attributes(self) -> dict[str, str]:
        """What `told` reads; nothing of an even layout."""
        if self.is_even:
            return {}
        heads = [[block.layer, block.first, block.stop, block.group] for block in self.blocks]
        return {ATTRIBUTE: json.dumps({"heads": heads, "mlps": list(self.mlps)})}

    @property
    def is_even(self) -> bool:
        """Whether every layer has one block of as many heads, and an MLP."""
        groups = self.n_heads // self.blocks[0].group if self.blocks else 1
        return bool(self.blocks) and self == Layout.even(self.n_layers, self.n_heads, groups)

    @property
    def n_heads(self) -> int:
        """Heads of the layer with the most."""
        return max((block.stop for block in self.blocks), default=0)

    @property
    def heads(self) -> list[tuple[int, int]]:
        """Layer and head of all heads, layer by layer."""
        return [(block.layer, head) for block in self.blocks for head in block.heads]

    @property
    def n_components(self) -> int:
        """Heads and MLPs."""
        return len(self.heads) + len(self.mlps)

    def heads_of(self, layers: Iterable[int]) -> tuple[tuple[int, int], ...]:
        """All heads of some layers."""
        wanted = set(layers)
        return tuple(place for place in self.heads if place[0] in wanted)

    @functools.cached_property
    def has_head(self) -> Bool[np.ndarray, "layer head"]:
        """Which heads there are."""
        found = np.zeros((self.n_layers, self.n_heads), dtype=bool)
        for layer, head in self.heads:
            found[layer, head] = True
        return found

    @functools.cached_property
    def has_mlp(self) -> Bool[np.ndarray, " layer"]:
        """Which layers have an MLP."""
        return np.isin(np.arange(self.n_layers), self.mlps)

    def spread(
        self, values: Shaped[np.ndarray, "*row component"], fill: float | bool
    ) -> tuple[Shaped[np.ndarray, "*row layer head"], Shaped[np.ndarray, "*row layer"]]:
        """Values of all heads, then of all MLPs, at their places; `fill` where there is none."""
        lead, n_heads = values.shape[:-1], len(self.heads)
        heads = np.full((*lead, *self.has_head.shape), fill, dtype=values.dtype)
        mlps = np.full((*lead, self.n_layers), fill, dtype=values.dtype)
        heads[..., self.has_head], mlps[..., self.has_mlp] = np.split(values, [n_heads], axis=-1)
        return heads, mlps

    def blanked(self, data: xr.Dataset) -> xr.Dataset:
        """The same dataset with NaN for what layers lack: `…_head`, `…_mlp`, `…_head_layer`."""
        there = {
            "_head": xr.DataArray(self.has_head, dims=("layer", "head")),
            "_mlp": xr.DataArray(self.has_mlp, dims="layer"),
            "_head_layer": xr.DataArray(self.has_head.any(1), dims="layer"),
        }
        for end, mask in there.items():
            names = [name for name in data.data_vars if name.endswith(end) and not mask.all()]
            data = data.assign(
                {name: data[name].where(mask).transpose(*data[name].dims) for name in names}
            )
        return data
