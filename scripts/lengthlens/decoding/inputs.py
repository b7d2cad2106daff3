"""What components put out when their inputs are changed, each by itself.

`ShiftedInputs` lets every layer read the stream of a recorded run plus a change, one change a row;
what the components put out stays out of the stream. Norms before a component see the changed stream
and are computed anew. The attention of every layer is split in three: the query, the key or the
value alone comes from the changed input, the other two from row 0, whose change is 0. For that the
model is switched, for the pass, to an attention of this module, which calls the model's own eager
one. A layer whose attention cannot be switched so, or whose heads then do not put out in row 0 what
was recorded (a gate behind the attention, say), gives no parts.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from lengthlens.decoding.scores import eager_attention
from lengthlens.models.anatomy import Anatomy
from lengthlens.models.hooks import (
    all_heads,
    at_components,
    at_heads,
    entering,
    held,
    hooked,
    with_stream,
)

PARTS = ("q", "k", "v")
_SPLIT = "lengthlens_split"
_FAR = 1e-3  # from what was recorded, as a share of its largest number


class ShiftedInputs:
    """Hooks for one pass over the positions of a recorded run.

    Attributes:
        heads: by layer, what the heads put out with a changed query (at the last position), key or
            value (at every position); None where attention cannot be split.
        mlps: by layer, what the MLP adds to the stream when its input alone is changed.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        streams: Sequence[Float[Tensor, "position d_model"]],
        outputs: Float[Tensor, "position layer head d_head"],
        changes: Float[Tensor, "row position d_model"],
    ) -> None:
        """
        Args:
            anatomy: the model's.
            streams: what enters every layer in the recorded run.
            outputs: what its heads give to the output projections.
            changes: of the final stream, the same before every layer; those of row 0 are 0.
        """
        self.anatomy = anatomy
        self._streams, self._outputs, self._changes = streams, outputs, changes
        self.heads: list[Float[Tensor, "part row position head d_head"] | None] = []
        self.mlps: list[Float[Tensor, "row position d_model"]] = []
        self._layer = 0

    @contextlib.contextmanager
    def attached(self, model: nn.Module) -> Iterator[ShiftedInputs]:
        """Change the inputs of the pass in this block, whose rows are those of the changes."""
        layers = self.anatomy.layers
        self.heads = [None] * len(layers)
        self.mlps = [None] * len(layers)
        AttentionInterface.register(_SPLIT, self._attend)
        AttentionMaskInterface.register(_SPLIT, eager_mask)
        shifts = [(layer.first, partial(self._shift, i)) for i, layer in enumerate(layers)]
        components = at_components(self.anatomy, self._keep, self._read)
        with components, hooked(shifts), eager_attention(model, _SPLIT):
            yield self

    def _shift(
        self, layer: int, module: nn.Module, args: tuple, kwargs: dict
    ) -> tuple[tuple, dict]:
        self._layer = layer
        own = entering(args, kwargs)
        # What layers multiply the stream by later is in the change.
        change = self._changes / self.anatomy.layers[layer].scale
        return with_stream(args, kwargs, self._streams[layer].to(own) + change.to(own))

    def _keep(self, layer: int, x: Tensor, heads: slice) -> Tensor:
        """The MLP of a layer is to read the recorded attention."""
        outputs = self._outputs[:, layer, heads, : x.shape[-1]].to(x)
        return outputs.expand_as(x).contiguous()

    def _read(self, layer: int, added: Tensor) -> None:
        self.mlps[layer] = added * self.anatomy.layers[layer].mlp.factor

    def _attend(self, module: nn.Module, query, key, value, attention_mask, **options):
        """Attention with one part changed at a time, by the model's own function."""
        own = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
        if own is None:
            plain = AttentionInterface()["sdpa"]
            return plain(module, query, key, value, attention_mask, **options)
        found = []
        for part in range(len(PARTS)):
            mixed = [
                tensor if index == part else tensor[:1].expand_as(tensor)
                for index, tensor in enumerate((query, key, value))
            ]
            if part == 0:  # the query is changed at the last position alone
                before = query[:1, :, :-1].expand(len(query), -1, -1, -1)
                mixed[0] = torch.cat([before, query[:, :, -1:]], dim=2)
            found.append(own(module, *mixed, attention_mask, **options)[0])
        site = self.anatomy.layers[self._layer].attention
        if site is None:
            return found[0], None
        shape = (*found[0].shape[:2], site.n_heads, site.width)
        parts = torch.stack([part.reshape(shape) for part in found])
        recorded = self._outputs[:, self._layer, site.heads, : site.width].to(parts)
        far = (parts[0, 0] - recorded).abs().max()
        if bool(far <= _FAR * recorded.abs().max()):
            like = parts[..., 0, 0]
            self.heads[self._layer] = all_heads(self.anatomy, [(parts, site.heads)], like)
        return found[0], None


@torch.inference_mode()
def sources_of_keys(model: nn.Module, anatomy: Anatomy) -> list[int]:
    """The layer from whose stream the keys and values of each layer are computed.

    It is the layer itself, but where a layer reads those of an earlier one (Gemma 3n, the small
    Gemma 4). There, what enters the layer at the first position changes nothing at the second.
    """
    n_layers = anatomy.n_layers
    sources = list(range(n_layers))
    if not anatomy.shares_keys:
        return sources
    tokens = torch.tensor([[1, 2]], device=next(model.parameters()).device)

    def shift(layer: int, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Row l + 1 sees another stream at the first position of layer l, and there alone."""
        own = entering(args, kwargs)
        stream = own[:1].expand_as(own).clone()
        # NOTE not by one factor, which a norm would take back.
        stream[layer + 1, 0] *= torch.linspace(0.5, 1.0, own.shape[-1]).to(own)
        return with_stream(args, kwargs, stream)

    def read(layer: int, x: Tensor, heads: slice) -> None:
        moved = (x[1:, -1] - x[:1, -1]).abs().flatten(1).amax(1)
        sources[layer] = int(moved.argmax())

    layers = list(enumerate(anatomy.layers))
    shifted = hooked((layer.first, partial(shift, index)) for index, layer in layers)
    with shifted, held(at_heads(layer, partial(read, index)) for index, layer in layers):
        model(input_ids=tokens.expand(n_layers + 1, -1), use_cache=False)
    return sources


@torch.inference_mode()
def reads_attention(model: nn.Module, anatomy: Anatomy) -> Bool[np.ndarray, " layer"]:
    """Whether each layer's MLP reads what the same layer's attention has added to the stream.

    It does not where both read the stream that enters the layer (parallel blocks), nor where one
    of the two is missing.
    """
    tokens = torch.tensor([[0, 1]], device=next(model.parameters()).device)
    streams: dict[int, Tensor] = {}

    def keep(layer: int, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        return with_stream(args, kwargs, streams.setdefault(layer, entering(args, kwargs)))

    def given(least: float) -> dict[int, Tensor]:
        """What the MLPs give where the heads give less."""

        def weaken(layer: int, x: Tensor, heads: slice) -> Tensor:
            # NOTE not by one factor, which a norm behind the attention would take back.
            return x * torch.linspace(least, 1.0, x.shape[-1]).to(x)

        mlps: dict[int, Tensor] = {}
        kept = hooked((layer.first, partial(keep, i)) for i, layer in enumerate(anatomy.layers))
        with kept, at_components(anatomy, weaken, mlps.__setitem__):
            model(input_ids=tokens, use_cache=False)
        return mlps

    one, two = given(1.0), given(0.5)
    layers = range(anatomy.n_layers)
    return np.array([layer in one and not torch.equal(one[layer], two[layer]) for layer in layers])
