"""Heads that may stand in for each other: neighbours of one kind in one layer.

A layer of a transformer is one block. A layer with attention and a state space beside it has two,
whose heads are never exchanged with each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from lengthlens.errors import LengthlensError


@dataclass(frozen=True)
class Block:
    """Heads `first` to `stop` (which is none of them) of a layer.

    Attributes:
        group: how many neighbours share keys and values, and so may act alike.
    """

    layer: int
    first: int
    stop: int
    group: int = 1

    @property
    def place(self) -> tuple[int, slice]:
        """Where they stand in an array [layer, head]."""
        return self.layer, slice(self.first, self.stop)

    @property
    def heads(self) -> range:
        """Their places in the layer."""
        return range(self.first, self.stop)


def even_blocks(layers: int, heads: int, groups: int) -> tuple[Block, ...]:
    """A block a layer, all of as many heads in `groups` key-value groups of equal size.

    Raises:
        LengthlensError: the heads of a layer are no `groups` groups of equal size.
    """
    if groups < 1 or heads % groups:
        raise LengthlensError(
            f"the {heads} heads of a layer are no {groups} key-value groups of equal size"
        )
    return tuple(Block(layer, 0, heads, heads // groups) for layer in range(layers))
