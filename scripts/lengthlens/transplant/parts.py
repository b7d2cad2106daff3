"""The parts of a model's weights that can be transplanted, as pieces of its parameters.

Every parameter belongs to exactly one kind of part:

| kind | parameters |
|---|---|
| `norms` | of all norms, within layers and after the last one |
| `attention` | of a layer's attention or other mixer, its norms aside |
| `mlp` | of a layer, everything else: its MLP or experts, with what chooses or embeds for them |
| `unembedding` | of the output embedding, where it is not the input embedding itself |
| `embedding` | everything else outside of the layers: tokens, learned positions |

Of a model that reads images or sounds, too, what text does not pass belongs to no part.

A head's piece is its rows of the query projection and its columns of the output projection. The
rows of keys and values belong to all heads of a key-value group, and move with the whole group
only. Where query, key and value are one map, its layout must be known (`_ONE_MAP`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import Anatomy, LayerSites, Site
from lengthlens.models.architectures import ATTENTION
from lengthlens.models.small_model import text_config

KINDS = ("attention", "mlp", "embedding", "unembedding", "norms")
_NAMES = ("q_proj", "k_proj", "v_proj")
# Where queries, keys and values are one map: its name, and whether each head's three lie together
# (else all queries come first, then all keys, then all values).
_ONE_MAP = {
    "gpt2": ("c_attn", False),
    "phi3": ("qkv_proj", False),
    "gpt_neox": ("query_key_value", True),
}


@dataclass(frozen=True)
class Piece:
    """Part of a parameter: all of it (`dim` None), or entries from `start` on along a dimension."""

    name: str
    dim: int | None = None
    start: int = 0
    length: int = 0

    def of(self, tensor: Tensor) -> Tensor:
        """The piece of a tensor, as a view."""
        return tensor if self.dim is None else tensor.narrow(self.dim, self.start, self.length)


class Parts:
    """The parts of one model.

    Attributes:
        anatomy: of the model.
        names: kind and layer (None outside of the layers) -> names of parameters.
    """

    def __init__(self, model: nn.Module, anatomy: Anatomy) -> None:
        self.anatomy, self._model = anatomy, model
        self._name = {
            id(weight): name for name, weight in model.named_parameters() if self._reads_text(name)
        }
        norms = {
            id(weight)
            for module in model.modules()
            if "norm" in type(module).__name__.lower() or module is anatomy.final_norm
            for weight in module.parameters(recurse=False)
        }
        ends = [model.get_input_embeddings().weight, model.get_output_embeddings()]
        out = [] if ends[1] is None or ends[1].weight is ends[0] else [*ends[1].parameters()]
        unembedding = {id(weight) for weight in out}
        places: dict[int, tuple[str, int | None]] = {}
        self._begins = {self._name[key]: len(anatomy.layers) for key in unembedding}
        for index, layer in enumerate(anatomy.layers):
            mlp = _of_mlp(layer)
            for weight in layer.first.parameters():
                places[id(weight)] = ("mlp" if id(weight) in mlp else "attention", index)
                self._begins.setdefault(self._name[id(weight)], index)
        self.names: dict[tuple[str, int | None], list[str]] = {}
        for key, name in self._name.items():
            kind, layer = places.get(key, ("embedding", None))
            if key in norms:
                kind = "norms"
            elif key in unembedding:
                kind = "unembedding"
            self.names.setdefault((kind, layer), []).append(name)

    def _reads_text(self, name: str) -> bool:
        """Whether a parameter belongs to the language model."""
        config = self._model.config
        if text_config(config) is config:
            return True
        stream, _, _ = self.anatomy.architecture.layers.rpartition(".")
        ends = [self._model.get_input_embeddings(), self._model.get_output_embeddings()]
        own = {id(weight) for end in ends if end is not None for weight in end.parameters()}
        return name.startswith(f"{stream}.") or id(self._model.get_parameter(name)) in own

    def of_kind(self, kind: str, layers: Iterable[int] | None = None) -> tuple[Piece, ...]:
        """All parameters of a kind; with `layers`, those of these layers."""
        wanted = None if layers is None else set(layers)
        return tuple(
            Piece(name)
            for (own, layer), names in self.names.items()
            if own == kind and (wanted is None or layer in wanted)
            for name in names
        )

    def of_layers(self, layers: Iterable[int]) -> tuple[Piece, ...]:
        """Everything in some layers, their norms included."""
        layers = set(layers)
        found = (self.of_kind(kind, layers) for kind in ("attention", "mlp", "norms"))
        return tuple(piece for pieces in found for piece in pieces)

    def whole(self) -> tuple[Piece, ...]:
        """Every parameter."""
        return tuple(Piece(name) for name in self._name.values())

    def first_layer(self, pieces: Iterable[Piece]) -> int:
        """The first layer that reads any of them; what is outside of the layers comes first of all.

        The unembedding comes last: the number of layers, as where there are no pieces.
        """
        begins = (self._begins.get(piece.name, 0) for piece in pieces)
        return min(begins, default=len(self.anatomy.layers))

    def groups_within(self, heads: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """The key-value groups, as (layer, group), all of whose heads are among the given ones."""
        size = self.anatomy.n_heads // self.anatomy.n_kv_heads
        chosen = set(heads)
        groups = dict.fromkeys((layer, head // size) for layer, head in heads)
        return [
            (layer, group)
            for layer, group in groups
            if all((layer, group * size + place) in chosen for place in range(size))
        ]

    def of_heads(self, heads: Sequence[tuple[int, int]]) -> tuple[Piece, ...]:
        """Queries and outputs of heads, given as (layer, head); keys and values of whole groups.

        Raises:
            LengthlensError: the layout of the architecture's queries is not known.
        """
        own = (piece for layer, head in heads for piece in self._own(layer, head))
        groups = self.groups_within(heads)
        return (*own, *(piece for layer, group in groups for piece in self._shared(layer, group)))

    def read_by(self, layer: int, head: int) -> tuple[Piece, ...]:
        """Everything that a head computes with, the keys and values that it shares included."""
        group = head * self.anatomy.n_kv_heads // self.anatomy.n_heads
        return (*self._own(layer, head), *self._shared(layer, group))

    def why_no_heads(self) -> str:
        """Why heads cannot be transplanted; empty where they can."""
        try:
            self.read_by(0, 0)
        except LengthlensError as error:
            return str(error)
        return ""

    def _own(self, layer: int, head: int) -> list[Piece]:
        site = self._site(layer)
        module, size = site.module, site.width
        dim = 1 if isinstance(module, nn.Linear) else 0  # GPT-2's Conv1D is transposed
        columns = Piece(self._name[id(module.weight)], dim, head * size, size)
        return [*self._rows("q", layer, head), columns]

    def _shared(self, layer: int, group: int) -> list[Piece]:
        return [*self._rows("k", layer, group), *self._rows("v", layer, group)]

    def _rows(self, which: str, layer: int, index: int) -> list[Piece]:
        """Rows of queries, keys or values of one head or key-value group, with their biases."""
        attention, kind = self._attention(layer), text_config(self._model.config).model_type
        if kind in _ONE_MAP:
            name, by_head = _ONE_MAP[kind]
            module, size = getattr(attention, name), self.anatomy.d_head
            place = "qkv".index(which)
            before = [0, self.anatomy.n_heads, self.anatomy.n_heads + self.anatomy.n_kv_heads]
            start = size * (3 * index + place if by_head else before[place] + index)
        else:
            query, key, module = (
                getattr(attention, name, None) for name in (*_NAMES[:2], _NAMES["qkv".index(which)])
            )
            if not all(isinstance(one, nn.Linear) for one in (query, key, module)):
                raise self._unknown()
            # A query is as long as a key: gates and compressed queries are not.
            if query.out_features * self.anatomy.n_kv_heads != (
                key.out_features * self.anatomy.n_heads
            ):
                raise self._unknown()
            count = self.anatomy.n_heads if which == "q" else self.anatomy.n_kv_heads
            size = module.out_features // count
            start = index * size
        dim = 0 if isinstance(module, nn.Linear) else 1  # GPT-2's Conv1D is transposed
        found = [Piece(self._name[id(module.weight)], dim, start, size)]
        if getattr(module, "bias", None) is not None:
            found.append(Piece(self._name[id(module.bias)], 0, start, size))
        return found

    def _attention(self, layer: int) -> nn.Module:
        """The module that holds the output projection."""
        holder = self._site(layer).branch.module.rpartition(".")[0]
        return self.anatomy.layers[layer].first.get_submodule(holder)

    def _site(self, layer: int) -> Site:
        """The softmax attention of a layer, the only thing with heads in it.

        Raises:
            LengthlensError: there are others, or its keys and values are those of another layer.
        """
        if self.anatomy.shares_keys:
            raise LengthlensError(
                f"layers of {self._model.config.model_type} read the keys and values of others, so "
                "that heads are not transplanted"
            )
        mixing = self.anatomy.layers[layer].mixing
        if len(mixing) != 1 or mixing[0].branch.kind != ATTENTION or not self.anatomy.uniform:
            raise self._unknown()
        return mixing[0]

    def _unknown(self) -> LengthlensError:
        kind = self._model.config.model_type
        return LengthlensError(
            f"where queries, keys and values of single heads lie in {kind} is not known, so that "
            "heads are not transplanted"
        )


def _of_mlp(layer: LayerSites) -> set[int]:
    """Ids of a layer's weights that are no attention's and no other mixer's."""
    own = {id(weight) for site in layer.mlps for weight in site.module.parameters()}
    names = [site.branch.module for site in layer.mixing if site.branch.whole]
    names += [
        site.branch.module.rpartition(".")[0] for site in layer.mixing if not site.branch.whole
    ]
    if not all(names):  # an output projection that lies in the layer itself
        return own
    modules = (layer.first.get_submodule(name) for name in names)
    mixing = {id(weight) for module in modules for weight in module.parameters()}
    return own | {id(weight) for weight in layer.first.parameters()} - mixing


def differing(pieces: Sequence[Piece], one: nn.Module, other: nn.Module) -> tuple[Piece, ...]:
    """The pieces in which two models differ."""
    mine, theirs = (dict(model.named_parameters()) for model in (one, other))
    return tuple(
        piece
        for piece in pieces
        if not torch.equal(
            (own := piece.of(mine[piece.name])), piece.of(theirs[piece.name]).to(own)
        )
    )


def check_alike(one: nn.Module, other: nn.Module) -> None:
    """Check that two models have the same parameters in the same shapes.

    Raises:
        LengthlensError: they have not; names the first that differs.
    """
    mine, theirs = (
        {name: tuple(weight.shape) for name, weight in model.named_parameters()}
        for model in (one, other)
    )
    for name in [*mine, *theirs]:
        if mine.get(name) != theirs.get(name):
            raise LengthlensError(
                f"the weight {name} has the shape {mine.get(name)} in the untuned and "
                f"{theirs.get(name)} in the tuned model, so that nothing can be transplanted; "
                "a pair is a model and what was tuned from it: correct `pairs`"
            )
