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

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from lengthlens.decoding.hooks import added_by, entering, hooked, with_stream
from lengthlens.decoding.scores import eager_attention
from lengthlens.models.anatomy import Anatomy

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
            changes: of the stream, the same before every layer; those of row 0 are 0.
        """
        self.anatomy = anatomy
        self._streams, self._outputs, self._changes = streams, outputs.flatten(-2), changes
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
        shifts = [(layer.first, self._shift(index)) for index, layer in enumerate(layers)]
        with contextlib.ExitStack() as hooks:
            for index, layer in enumerate(layers):
                keep, read = self._keep(index), self._reader(index)
                hooks.enter_context(layer.attention_output.register_forward_pre_hook(keep))
                hooks.enter_context(layer.mlp_site.register_forward_hook(read))
            hooks.enter_context(hooked(shifts))
            hooks.enter_context(eager_attention(model, _SPLIT))
            yield self

    def _shift(self, layer: int):
        def shift(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            self._layer = layer
            own = entering(args, kwargs)
            stream = self._streams[layer].to(own) + self._changes.to(own)
            return with_stream(args, kwargs, stream)

        return shift

    def _keep(self, layer: int):
        """The MLP of a layer is to read the recorded attention."""

        def keep(module: nn.Module, args: tuple) -> tuple:
            outputs = self._outputs[:, layer].to(args[0])
            return (outputs.expand_as(args[0]).contiguous(), *args[1:])

        return keep

    def _reader(self, layer: int):
        multiplier = self.anatomy.residual_multiplier

        def read(module: nn.Module, args: tuple, output: Tensor | tuple) -> None:
            self.mlps[layer] = added_by(output) * multiplier

        return read

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
        shape = (*found[0].shape[:2], self.anatomy.n_heads, self.anatomy.d_head)
        parts = torch.stack([part.reshape(shape) for part in found])
        recorded = self._outputs[:, self._layer].to(parts)
        far = (parts[0, 0].flatten(-2) - recorded).abs().max()
        if bool(far <= _FAR * recorded.abs().max()):
            self.heads[self._layer] = parts
        return found[0], None


@torch.inference_mode()
def reads_attention(model: nn.Module, anatomy: Anatomy) -> Bool[np.ndarray, " layer"]:
    """Whether each layer's MLP reads what the same layer's attention has added to the stream.

    It does not where both read the stream that enters the layer (parallel blocks).
    """
    tokens = torch.tensor([[0, 1]], device=next(model.parameters()).device)
    found: list[list[Tensor]] = []
    streams: dict[int, Tensor] = {}
    for factor in (1.0, 0.5):
        outputs: list[Tensor] = []
        with contextlib.ExitStack() as hooks:
            for index, layer in enumerate(anatomy.layers):

                def keep(module, args, kwargs, index=index):
                    stream = streams.setdefault(index, entering(args, kwargs))
                    return with_stream(args, kwargs, stream)

                def weaken(module, args, factor=factor):
                    return (args[0] * factor, *args[1:])

                def read(module, args, output, outputs=outputs):
                    outputs.append(added_by(output))

                hooks.enter_context(hooked([(layer.first, keep)]))
                hooks.enter_context(layer.attention_output.register_forward_pre_hook(weaken))
                hooks.enter_context(layer.mlp_site.register_forward_hook(read))
            model(input_ids=tokens, use_cache=False)
        found.append(outputs)
    return np.array([not torch.equal(one, two) for one, two in zip(*found, strict=True)])
