"""Reading the terms of the residual stream while a model decodes.

Forward hooks copy each component's output of the current step straight into buffers that were
allocated once for the whole batch; nothing is kept of the prompt. What is read:

- `embed`: the stream entering the first layer (positions and embedding scale included);
- `head`: the input x of every output projection, split into heads; 0 where a layer has no such
  head, and behind heads that are narrower than others;
- `mlp`: what every MLP (or expert block) adds to the stream; 0 where a layer has none;
- `experts`: where they are told apart, what the routed or the shared experts of it add, whichever
  `Anatomy.experts` says; 0 where a layer has not both;
- `scale`: the final norm's denominator, sqrt(mean(r**2) + eps), and, for architectures that
  normalise an attention's output, that norm's denominator by layer.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lengthlens.models.anatomy import Anatomy
from lengthlens.models.hooks import added_by, at_components, entering, held, hooked
from lengthlens.models.norms import norm_epsilon, rms


@dataclass(frozen=True)
class Residuals:
    """Terms of the residual stream at generated steps, in the model's own precision.

    The leading axes are (step, row) inside the decode loop and (step,) for one sample.
    """

    embed: Float[Tensor, "*step d_model"]
    head: Float[Tensor, "*step layer head d_head"]
    mlp: Float[Tensor, "*step layer d_model"]
    scale: Float[Tensor, "*step"]
    attention_scale: Float[Tensor, "*step layer"] | None = None
    experts: Float[Tensor, "*step layer d_model"] | None = None

    def __getitem__(self, index) -> Residuals:
        """The same entries of every term; `index` is one into the leading axes."""
        return Residuals(*(None if term is None else term[index] for term in vars(self).values()))

    @property
    def step_elements(self) -> int:
        """Numbers of one step, scales not counted; of the entries of one sample or batch."""
        terms = (self.embed, self.head, self.mlp, self.experts)
        return sum(term[0].numel() for term in terms if term is not None)

    def row(self, row: int, n_steps: int) -> Residuals:
        """The first `n_steps` steps of one row."""
        return self[:n_steps, row]


class Recorder:
    """Buffers for one batch, and the hooks that fill them.

    Recording is off until `at` names a step and the rows (indices into the whole batch) that the
    next forward pass computes, in its order.
    """

    def __init__(self, anatomy: Anatomy, n_rows: int, n_steps: int) -> None:
        self.anatomy = anatomy
        self._shape = (n_steps, n_rows)
        self._step = 0
        self._rows: Tensor | slice | None = None
        self._residuals: Residuals | None = None
        self._n_computed = 0  # rows of the current forward pass

    def at(self, step: int, rows: Tensor | slice | None) -> None:
        """Record the next forward pass as `step` of `rows`; None switches recording off."""
        self._step, self._rows = step, rows

    @property
    def residuals(self) -> Residuals:
        """Everything recorded, with axes (step, row, …).

        What is held of a row after its end is not defined: it may be anything that was in memory,
        or what was computed while the row was still in the batch.
        """
        if self._residuals is None:
            raise RuntimeError("nothing has been recorded yet")
        return self._residuals

    def _allocate(self, stream: Tensor) -> Residuals:
        a, dtype, device = self.anatomy, stream.dtype, stream.device
        exact = torch.promote_types(dtype, torch.float32)

        def buffer(*shape: int, dtype: torch.dtype = dtype, absent: float = 0.0) -> Tensor:
            # NOTE empty: steps that no row reaches then take no memory.
            empty = torch.empty(self._shape + shape, dtype=dtype, device=device)
            return empty if a.uniform else empty.fill_(absent)

        return Residuals(
            embed=buffer(a.d_model),
            head=buffer(a.n_layers, a.n_heads, a.d_head),
            mlp=buffer(a.n_layers, a.d_model),
            scale=buffer(dtype=exact),
            attention_scale=(
                buffer(a.n_layers, dtype=exact, absent=1.0)
                if any(layer.attention_norm is not None for layer in a.layers)
                else None
            ),
            experts=buffer(a.n_layers, a.d_model).zero_() if a.experts else None,
        )

    def _write(self, name: str, value: Tensor, *place: int | slice) -> None:
        """Record a value of the current step, from whatever device its layer lies on."""
        if self._rows is not None:
            buffer = getattr(self.residuals, name)
            buffer[self._step, self._rows, *place] = value.to(buffer.device)

    @contextlib.contextmanager
    def attached(self) -> Iterator[Recorder]:
        """Register the hooks for the duration of the block."""
        a = self.anatomy
        norms = [(a.final_norm, self._scale_reader("scale", a.final_norm))]
        for index, layer in enumerate(a.layers):
            if (norm := layer.attention_norm) is not None:
                norms.append((norm, self._scale_reader("attention_scale", norm, index)))
        with (
            hooked([(a.layers[0].first, self._read_embed)]),
            at_components(a, self._read_heads, self._read_mlp),
            held(norm.register_forward_pre_hook(reader) for norm, reader in norms),
            held(self._expert_hooks()),
        ):
            yield self

    def _read_embed(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        stream = entering(args, kwargs)
        self._n_computed = len(stream)
        if self._residuals is None and self._rows is not None:
            self._residuals = self._allocate(stream)
        self._write("embed", stream[:, -1] * self.anatomy.embedding_factor)

    def _scale_reader(self, name: str, norm: nn.Module, *place: int):
        centred = norm is self.anatomy.final_norm and self.anatomy.architecture.centred_norm
        epsilon = norm_epsilon(norm)

        def read(module: nn.Module, args: tuple) -> None:
            self._write(name, rms(args[0][:, -1], epsilon, centred), *place)

        return read

    def _read_heads(self, layer: int, x: Tensor, heads: slice) -> None:
        # NOTE plain indices where they do: slices of a head's width cost time at every step.
        place = () if self.anatomy.uniform else (heads, slice(x.shape[-1]))
        self._write("head", x[:, -1], layer, *place)

    def _read_mlp(self, layer: int, added: Tensor) -> None:
        self._write("mlp", added[:, -1] * self.anatomy.layers[layer].mlp.factor, layer)

    def _expert_hooks(self) -> Iterator[contextlib.AbstractContextManager]:
        """Hooks, as they are registered, on what gives one part of a mixture of experts."""
        for index, experts in enumerate(self.anatomy.experts):
            if experts is not None and experts.shared:
                layer = self.anatomy.layers[index]
                module = layer.first.get_submodule(experts.module)
                factor = layer.mlps[experts.mlp].factor
                read = functools.partial(self._read_experts, index, factor)
                yield module.register_forward_hook(read)

    def _read_experts(
        self, layer: int, factor: float, module: nn.Module, args: tuple, output: Tensor | tuple
    ) -> None:
        added = added_by(output)
        added = added.reshape(self._n_computed, -1, added.shape[-1])[:, -1]
        self._write("experts", added * factor, layer)
