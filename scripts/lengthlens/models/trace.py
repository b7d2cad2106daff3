"""What the modules of a model take in and give out in one forward pass, heads silenced or not."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lengthlens.models.hooks import computing, held

# Functions that give every head's attention weights, or its output, as [row, head, position, …];
# in old code, with rows and heads as one axis.
_BY_HEAD = {
    torch.softmax,
    torch.Tensor.softmax,
    functional.softmax,
    functional.scaled_dot_product_attention,
}


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module: its name, its first tensor in and its first tensor out."""

    name: str
    module: nn.Module
    taken: Tensor
    given: Tensor

    def given_as(self, shape: Sequence[int]) -> Tensor | None:
        """What it gives in a stream's shape, rows and positions apart; None where it does not."""
        if self.given.shape == shape:
            return self.given
        flat = (shape[0] * shape[1], *shape[2:])
        return self.given.reshape(shape) if self.given.shape == flat else None


@dataclass(frozen=True)
class Trace:
    """The calls of a forward pass in the order in which they ended, and the model's logits."""

    calls: list[Call]
    logits: Tensor
    attentions: dict[str, list[int]]  # by layer, the heads of every attention computed in it

    def of(self, module: nn.Module) -> Call | None:
        """The only call of a module; None where it was called never or several times."""
        found = [call for call in self.calls if call.module is module]
        return found[0] if len(found) == 1 else None

    def below(self, name: str) -> list[Call]:
        """Calls of the modules below a module, in their order."""
        return [call for call in self.calls if call.name.startswith(f"{name}.")]


class _Silencer(TorchFunctionMode):
    """Makes one head of one layer see nothing: its attention weights, or output, become zero.

    Attributes:
        inside: the layer that is being computed.
        attentions: by layer, the heads of every attention that was computed in it.
    """

    def __init__(
        self, ids: Int[Tensor, "row position"], layers: Sequence[str], layer: str | None, head: int
    ) -> None:
        super().__init__()
        self._rows, self._positions = ids.shape
        self._layer, self._head = layer, head
        self.inside: str | None = None
        self.attentions: dict[str, list[int]] = {name: [] for name in layers}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if func in _BY_HEAD and self.inside is not None:
            by_head = self._by_head(output)
            if by_head is not None:
                if self.inside == self._layer:
                    output = output.clone()
                    self._by_head(output)[:, self._head] = 0
                self.attentions[self.inside].append(by_head.shape[1])
        return output

    def _by_head(self, output: Tensor) -> Tensor | None:
        """A view [row, head, position, …] of what a function gives, if that is by head."""
        rows, positions = self._rows, self._positions
        if output.dim() == 4 and output.shape[0] == rows and output.shape[2] == positions:
            return output
        if output.dim() == 3 and output.shape[1:] == (positions, positions):
            heads, rest = divmod(output.shape[0], rows)
            return output.unflatten(0, (rows, heads)) if heads > 1 and not rest else None
        return None


@torch.no_grad()
def trace(
    model: nn.Module,
    ids: Int[Tensor, "row position"],
    layers: Sequence[str] = (),
    layer: str | None = None,
    head: int = -1,
) -> Trace:
    """Run a model over tokens and keep what its modules take in and give out.

    Args:
        model: a small model.
        ids: tokens.
        layers: names of its layers.
        layer, head: the head that is silenced; none by default.
    """
    calls: list[Call] = []
    silencer = _Silencer(ids, layers, layer, head)
    listening = held(
        module.register_forward_hook(functools.partial(_keep, calls, name), with_kwargs=True)
        for name, module in model.named_modules()
        if name
    )
    modules = {name: model.get_submodule(name) for name in layers}
    with listening, computing(modules, functools.partial(setattr, silencer, "inside")), silencer:
        logits = model(input_ids=ids, use_cache=False).logits
    return Trace(calls, logits, silencer.attentions)


def _keep(
    calls: list[Call], name: str, module: nn.Module, args: tuple, kwargs: dict, output
) -> None:
    taken, given = _first_tensor((*args, *kwargs.values())), _first_tensor(output)
    if taken is not None and given is not None:
        calls.append(Call(name, module, taken.clone(), given.clone()))


def _first_tensor(value) -> Tensor | None:
    """The first tensor of floating point in a nest of tuples."""
    if isinstance(value, list | tuple):
        return next((one for one in map(_first_tensor, value) if one is not None), None)
    return value if isinstance(value, Tensor) and value.is_floating_point() else None
