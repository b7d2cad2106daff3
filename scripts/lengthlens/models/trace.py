"""What the modules of a model take in and give out in one forward pass, heads silenced or not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from lengthlens.models.small_model import text_config

# Functions that give every head's attention weights, or its output, as [row, head, position, …].
_BY_HEAD = {
    torch.softmax,
    torch.Tensor.softmax,
    functional.softmax,
    functional.scaled_dot_product_attention,
}


@dataclass(frozen=True)
class Call:
    """One call of a module: its name, its first tensor in and its first tensor out."""

    name: str
    module: nn.Module
    taken: Tensor
    given: Tensor


@dataclass(frozen=True)
class Trace:
    """The calls of a forward pass in the order in which they ended, and the model's logits."""

    calls: list[Call]
    logits: Tensor
    attentions: int  # how often attention over all heads was computed

    def of(self, module: nn.Module) -> Call | None:
        """The only call of a module; None where it was called never or several times."""
        found = [call for call in self.calls if call.module is module]
        return found[0] if len(found) == 1 else None

    def below(self, name: str) -> list[Call]:
        """Calls of the modules below a module, in their order."""
        return [call for call in self.calls if call.name.startswith(f"{name}.")]


class _Silencer(TorchFunctionMode):
    """Makes one head of one layer see nothing: its attention weights, or output, become zero."""

    def __init__(self, n_heads: int, layer: int, head: int) -> None:
        super().__init__()
        self.n_heads, self.layer, self.head = n_heads, layer, head
        self.attentions = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if func in _BY_HEAD and output.dim() == 4 and output.shape[1] == self.n_heads:
            if self.attentions == self.layer:
                output = output.clone()
                output[:, self.head] = 0
            self.attentions += 1
        return output


@torch.no_grad()
def trace(
    model: nn.Module, ids: Int[Tensor, "row position"], layer: int = -1, head: int = -1
) -> Trace:
    """Run a model over tokens and keep what its modules take in and give out.

    Args:
        model: a small model.
        ids: tokens.
        layer, head: the head that is silenced; none by default.
    """
    calls: list[Call] = []
    silencer = _Silencer(text_config(model.config).num_attention_heads, layer, head)
    with _listening(model, calls), silencer:
        logits = model(input_ids=ids, use_cache=False).logits
    return Trace(calls, logits, silencer.attentions)


@contextlib.contextmanager
def _listening(model: nn.Module, calls: list[Call]) -> Iterator[None]:
    def listener(name: str):
        def listen(module: nn.Module, args: tuple, kwargs: dict, output) -> None:
            taken, given = _first_tensor((*args, *kwargs.values())), _first_tensor((output,))
            if taken is not None and given is not None:
                calls.append(Call(name, module, taken.clone(), given.clone()))

        return listen

    with contextlib.ExitStack() as hooks:
        for name, module in model.named_modules():
            if name:
                hook = module.register_forward_hook(listener(name), with_kwargs=True)
                hooks.enter_context(hook)
        yield


def _first_tensor(values) -> Tensor | None:
    """The first tensor of floating point in a nest of tuples."""
    for value in values:
        if isinstance(value, Tensor):
            if value.is_floating_point():
                return value
        elif isinstance(value, list | tuple):
            found = _first_tensor(value)
            if found is not None:
                return found
    return None
