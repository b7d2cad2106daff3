"""Attribution patching: what every patch would do, to first order, from one backward pass.

Nanda (2023), Kramár et al. (2024, arXiv 2403.00745). For a swap with the margin m,

    AtP(c) = sum over positions of <dm(reached) / dc, c(other) - c(reached)>,

the gradient taken in the reached run, through norms and softmax; here its sign is turned, so that
like a noising patch it is positive where a component carries N. All components come from one
backward pass. AtP ranks; it is not a share of the N effect.

The integrated form (Hanna et al. 2024, arXiv 2403.17806) averages the gradient over m runs whose
embeddings lie on the way from the other run to the reached one, at k/m for k = 1 … m; m = 1 is the
plain form.

1. Texts are padded on the right, which in a causal model changes nothing before the padding.
2. The other run (and the reached one, for m > 1) is recorded at every position.
3. In the pass with gradients every head and MLP multiplies its gradient by its difference as soon
   as the backward pass reaches it, so that no gradient is kept.

Texts are batched within `memory_gb`. Where not even one fits, layers are checkpointed: the backward
pass computes each layer again and holds the graph of one only.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lengthlens.decoding.donors import PassRecorder
from lengthlens.decoding.intervention import Donors
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.score import last_logits, padded
from lengthlens.generation.swaps import Swap
from lengthlens.models.anatomy import Anatomy
from lengthlens.models.hooks import at_components, computed_by, entering, hooked, with_stream
from lengthlens.models.small_model import text_config
from lengthlens.patching.runs import OTHER, POSITIONS, REACHED, best_pair

MOST_ROWS = 32


class NoGradients(LengthlensError):
    """The model cannot be differentiated."""


@dataclass(frozen=True)
class Attribution:
    """AtP of every component, summed over the positions of each class. [logits]"""

    head: Float[np.ndarray, "positions swap layer head"]
    mlp: Float[np.ndarray, "positions swap layer"]


def attribute_swaps(
    loaded: LoadedModel, swaps: Sequence[Swap], memory_gb: float, integrated_steps: int = 1
) -> Attribution:
    """AtP of every head and MLP in some swaps, in their order.

    Args:
        loaded: the model, in float32 or better.
        swaps: legal swaps.
        memory_gb: that batches may take, beside the weights.
        integrated_steps: m of the integrated form.

    Raises:
        NoGradients: the model cannot be differentiated (quantized weights, say).
        LengthlensError: not even one checkpointed text fits into the memory.
    """
    a = loaded.anatomy
    head = np.empty((len(POSITIONS), len(swaps), a.n_layers, a.n_heads))
    mlp = np.empty((len(POSITIONS), len(swaps), a.n_layers))
    for part, batch in _batches(loaded, swaps, memory_gb):
        head[:, part], mlp[:, part] = batch.attribute(integrated_steps)
    return Attribution(head, mlp)


def attribute_neurons(
    loaded: LoadedModel, swaps: Sequence[Swap], site: nn.Module, memory_gb: float
) -> Float[np.ndarray, "swap neuron"]:
    """AtP of the final MLP's neurons, at the position that the margin is read from. [logits]

    No later layer reads what they write elsewhere.

    Args:
        loaded: the model, in float32 or better.
        swaps: legal swaps.
        site: the projection whose input they are (`anatomy.down_projection`).
        memory_gb: that batches may take, beside the weights.

    Raises:
        NoGradients: the model cannot be differentiated (quantized weights, say).
    """
    batches = _batches(loaded, swaps, memory_gb)
    parts, found = zip(*((part, batch.neurons(site)) for part, batch in batches), strict=True)
    return np.concatenate(found)[np.argsort(np.concatenate(parts))]


def why_no_gradients(loaded: LoadedModel) -> str:
    """Why a model cannot be differentiated; empty where nothing speaks against it."""
    model = loaded.model
    if getattr(model, "is_quantized", False) or getattr(model.config, "quantization_config", None):
        return f"the weights of {loaded.spec.name} are quantized, which leaves no gradients"
    whole = [name for name, weight in model.named_parameters() if not weight.is_floating_point()]
    if whole:
        return f"{loaded.spec.name} holds {whole[0]} in whole numbers, which leaves no gradients"
    return ""


def plan_batch(loaded: LoadedModel, positions: int, memory_gb: float) -> tuple[int, bool]:
    """Texts differentiated together, and whether layers are checkpointed.

    A pure function of the configuration, the model's shape and the longest text.

    Raises:
        LengthlensError: not even one checkpointed text fits.
    """
    a, config = loaded.anatomy, text_config(loaded.model.config)
    width, heads = a.d_model, a.n_heads * a.d_head
    inner = getattr(config, "intermediate_size", None) or 4 * width
    experts = getattr(config, "num_experts_per_tok", None) or 1
    graph = 16 * width + 8 * heads + 6 * inner * experts + 3 * a.n_heads * positions  # of a layer
    kept = 3 * (width + heads)  # recorded of both runs, and the layer's own stream
    fixed = 12 * a.vocabulary_size
    exact = max(4, loaded.itemsize)
    budget = memory_gb * 1e9
    rows = int(budget // (exact * (positions * a.n_layers * (graph + kept) + fixed)))
    if rows:
        return min(rows, MOST_ROWS), False
    one = exact * (positions * (a.n_layers * kept + 2 * graph) + fixed)
    if one > budget:
        raise LengthlensError(
            f"generation.memory_gb is {memory_gb:g}, but the gradients of one text of {positions} "
            f"tokens of {loaded.spec.name} need {one / 1e9:.2f} GB; raise memory_gb"
        )
    return max(1, min(int(budget // one), MOST_ROWS)), True


def _batches(
    loaded: LoadedModel, swaps: Sequence[Swap], memory_gb: float
) -> Iterator[tuple[np.ndarray, _Batch]]:
    """The swaps in batches of alike lengths, with their places.

    Raises:
        NoGradients: the model cannot be differentiated.
    """
    if reason := why_no_gradients(loaded):
        raise NoGradients(reason)
    order = np.argsort([swap.last for swap in swaps], kind="stable")
    start = 0
    while start < len(order):
        size, checkpointed = plan_batch(loaded, swaps[order[-1]].last + 1, memory_gb)
        part = order[start : start + size]
        yield part, _Batch(loaded, [swaps[index] for index in part], checkpointed)
        start += size


class _Batch:
    """Some swaps whose gradients are computed together."""

    def __init__(self, loaded: LoadedModel, swaps: Sequence[Swap], checkpointed: bool) -> None:
        self.loaded, self.anatomy, self.swaps = loaded, loaded.anatomy, swaps
        self.checkpointed = checkpointed
        runs = zip(*(swap.texts for swap in swaps), strict=True)
        (reached, self.last), (other, _) = (padded(texts, loaded.device) for texts in runs)
        self.tokens = reached, other
        place = torch.arange(reached.shape[1], device=loaded.device)
        first = torch.tensor([swap.first_generated for swap in swaps], device=loaded.device)
        inside = place <= self.last[:, None]
        generated = inside & (place >= first[:, None])
        prompt = inside & ~generated
        self.classes = torch.stack([prompt, generated, inside]).float()  # POSITIONS, row, position

    def attribute(self, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """AtP of heads [positions, row, layer, head] and MLPs [positions, row, layer]."""
        other, other_logits, other_stream = self._record(OTHER)
        reached, stream = None, None
        if steps > 1:
            reached, _, stream = self._record(REACHED)
        total: list[Tensor] | None = None
        for step in range(1, steps + 1):
            start = None
            if stream is not None:
                start = other_stream + (stream - other_stream) * (step / steps)
            found = self._differentiate(other, other_logits, reached, start)
            total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
        layout = self.anatomy.layout
        for part, there in zip(total, (layout.has_head, layout.has_mlp), strict=True):
            self._finite(part[..., torch.from_numpy(there).to(part.device)])
        head, mlp = (_numbers(-part / steps) for part in total)
        return head, mlp

    def neurons(self, site: nn.Module) -> Float[np.ndarray, "row neuron"]:
        """AtP of the final MLP's neurons, which a projection takes in, at the last position."""
        held: list[Tensor] = []

        def take(module: nn.Module, args: tuple) -> tuple:
            held.append(args[0].detach().requires_grad_(torch.is_grad_enabled()))
            return (held[-1], *args[1:])

        with site.register_forward_pre_hook(take):
            with torch.no_grad():
                other_logits = self._pass(OTHER)
            with torch.enable_grad():
                margin = self._margin(self._pass(REACHED), other_logits)
        other, reached = held
        (gradient,) = torch.autograd.grad(margin, reached)
        product = gradient * (reached.detach() - other)
        rows = torch.arange(len(product), device=product.device)
        return self._finite(product[rows, self.last.to(product.device)])

    def _finite(self, values: Tensor) -> np.ndarray:
        """Values for a file, or the error that they are none."""
        if not bool(torch.isfinite(values).all()):
            raise LengthlensError(
                f"{self.loaded.spec.name}: a gradient of the end margin is not finite; its "
                "weights are not sound"
            )
        return _numbers(values)

    @torch.no_grad()
    def _record(self, run: int) -> tuple[Donors, Tensor, Tensor]:
        """All components of a run, its logits, and the stream that enters its first layer."""
        recorder = PassRecorder(self.anatomy)
        with recorder.attached(), _first_stream(self.anatomy) as streams:
            logits = self._pass(run)
        return recorder.donors(self.loaded.device), logits, streams[0]

    def _differentiate(
        self, other: Donors, other_logits: Tensor, reached: Donors | None, start: Tensor | None
    ) -> list[Tensor]:
        """Gradient times difference, by class of positions: heads, then MLPs.

        Args:
            other: the components of the other run; other_logits: its logits.
            reached: those of the reached run; None to take them from this very pass.
            start: the stream that enters the first layer; None for the reached run's own.
        """
        products = _Products(self, other, reached)
        layers = _checkpointed(self.anatomy) if self.checkpointed else contextlib.nullcontext()
        first = _first_stream(self.anatomy, start, leaf=True)
        with torch.enable_grad(), first as streams, products.attached(), layers:
            logits = self._pass(REACHED)
            margin = self._margin(logits, other_logits)
            if not margin.requires_grad:
                raise NoGradients(f"no gradient of {self.loaded.spec.name} reaches its layers")
            try:
                torch.autograd.grad(margin, streams[0])
            except RuntimeError as error:
                if "derivative" not in str(error):
                    raise
                reason = f"{self.loaded.spec.name} cannot be differentiated ({error})"
                raise NoGradients(reason) from error
        return products.stacked()

    def _pass(self, run: int) -> Float[Tensor, "row vocabulary"]:
        """Logits at the last position of every text."""
        return last_logits(self.loaded, self.tokens[run], self.last)

    def _margin(self, reached: Tensor, other: Tensor) -> Float[Tensor, ""]:
        """The sum of the margins of the reached runs; no row touches another's gradient."""
        total = reached.new_zeros(())
        for row, swap in enumerate(self.swaps):
            own = reached if swap.own_is_reached else other
            ender, word = best_pair(own[row].detach(), self.loaded.classes)
            total = total + reached[row, ender] - reached[row, word]
        return total


def _numbers(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


@contextlib.contextmanager
def _first_stream(
    anatomy: Anatomy, start: Tensor | None = None, leaf: bool = False
) -> Iterator[list[Tensor]]:
    """The stream that enters the first layer in the last pass of a block, or `start` in its place.

    With `leaf`, gradients are taken with respect to it.
    """
    streams: list[Tensor] = []

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        stream = (entering(args, kwargs) if start is None else start).detach()
        streams[:] = [stream.requires_grad_() if leaf else stream]
        return with_stream(args, kwargs, stream)

    with hooked([(anatomy.layers[0].first, enter)]):
        yield streams


class _Products:
    """Hooks that multiply the gradient of every component by its difference between the runs."""

    def __init__(self, batch: _Batch, other: Donors, reached: Donors | None) -> None:
        self._batch, self._other, self._reached = batch, other, reached
        layers = batch.anatomy.n_layers
        self._head: list[dict[int, tuple[Tensor, slice]]] = [{} for _ in range(layers)]
        self._mlp: list[Tensor | None] = [None] * layers

    @contextlib.contextmanager
    def attached(self) -> Iterator[None]:
        with at_components(self._batch.anatomy, self._of_heads, self._of_mlp):
            yield

    def stacked(self) -> list[Tensor]:
        """Heads and MLPs, by class of positions, row and layer; NaN where a layer lacks them."""
        loaded = self._batch.loaded
        layers = loaded.anatomy.layers
        if any(
            len(heads) < len(layer.mixing) or (mlp is None and layer.mlp is not None)
            for layer, heads, mlp in zip(layers, self._head, self._mlp, strict=True)
        ):
            raise NoGradients(f"no gradient of {loaded.spec.name} reaches some of its layers")
        device = loaded.device
        like = next(part[..., 0] for parts in self._head for part, _ in parts.values())
        heads = []
        for parts in self._head:
            whole = like.new_full((*like.shape, loaded.anatomy.n_heads), torch.nan)
            for part, places in parts.values():
                whole[..., places] = part.to(whole)
            heads.append(whole)
        mlps = [torch.full_like(like, torch.nan) if mlp is None else mlp for mlp in self._mlp]
        return [torch.stack([part.to(device) for part in parts], 2) for parts in (heads, mlps)]

    def _of_heads(self, layer: int, x: Tensor, heads: slice) -> Tensor:
        difference = self._difference("head", layer, x, heads, slice(x.shape[-1]))

        def multiply(gradient: Tensor) -> None:
            product = (gradient * difference).sum(-1)
            self._head[layer][heads.start] = self._by_class(product), heads

        if x.requires_grad:
            x.register_hook(multiply)
        return x  # NOTE so that what follows reads this view of it, and gradients come by it

    def _of_mlp(self, layer: int, added: Tensor) -> Tensor:
        factor = self._batch.anatomy.layers[layer].mlp.factor
        difference = self._difference("mlp", layer, added * factor) / factor

        def multiply(gradient: Tensor) -> None:
            self._mlp[layer] = self._by_class((gradient * difference).sum(-1))

        if added.requires_grad:
            added.register_hook(multiply)
        return added

    def _difference(self, name: str, layer: int, own: Tensor, *part: slice) -> Tensor:
        """The other run's component minus the reached one's, at every position.

        `part` are the heads of the layer, and how wide they are.
        """

        def of(donors: Donors) -> Tensor:
            found = getattr(donors, name)[:, layer]
            found = found[:, *part] if part else found
            return found.reshape(own.shape).to(own)

        mine = own.detach() if self._reached is None else of(self._reached)
        return of(self._other) - mine

    def _by_class(self, product: Float[Tensor, "row position *head"]) -> Tensor:
        return torch.einsum("cbp,bp...->cb...", self._batch.classes.to(product), product)


def _checkpointed(anatomy: Anatomy) -> contextlib.AbstractContextManager:
    """Layers whose graph is made anew when the backward pass reaches them."""
    layers = [layer.first for layer in anatomy.layers]
    return computed_by(
        [(one, functools.partial(checkpoint, one.forward, use_reentrant=False)) for one in layers]
    )
