"""What hooks read and give back: the stream entering a layer, and what a component adds to it.

Modules of transformers take the stream by place or by name, and give what they add alone or first.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor, nn

if TYPE_CHECKING:
    from lengthlens.models.anatomy import Anatomy, LayerSites, Site


def entering(args: tuple, kwargs: dict) -> Tensor:
    """The stream among the arguments of a layer."""
    return args[0] if args else kwargs["hidden_states"]


def with_stream(args: tuple, kwargs: dict, stream: Tensor) -> tuple[tuple, dict]:
    """The arguments of a layer with another stream."""
    if args:
        return (stream, *args[1:]), kwargs
    return args, kwargs | {"hidden_states": stream}


def added_by(output: Tensor | tuple) -> Tensor:
    """What a component's module gives to the stream."""
    return output[0] if isinstance(output, tuple) else output


def with_added(output: Tensor | tuple, added: Tensor) -> Tensor | tuple:
    """A component's output with something else for the stream."""
    return (added, *output[1:]) if isinstance(output, tuple) else added


@contextlib.contextmanager
def held(handles: Iterable[contextlib.AbstractContextManager]) -> Iterator[None]:
    """Hooks, as they are registered, for the duration of a block."""
    with contextlib.ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield


def hooked(hooks: Iterable[tuple[nn.Module, Callable]]) -> contextlib.AbstractContextManager:
    """Pre-hooks with keywords, as (module, hook), for the duration of a block."""
    return held(module.register_forward_pre_hook(hook, with_kwargs=True) for module, hook in hooks)


def computing(
    modules: Mapping[Hashable, nn.Module], tell: Callable[[Hashable | None], None]
) -> contextlib.AbstractContextManager:
    """Tell which of some modules is being computed, by its key, or None; in a block."""

    def before(key: Hashable) -> Callable:
        return lambda module, args: tell(key)

    def after(module: nn.Module, args: tuple, output) -> None:
        tell(None)

    return held(
        handle
        for key, module in modules.items()
        for handle in (
            module.register_forward_pre_hook(before(key)),
            module.register_forward_hook(after),
        )
    )


@contextlib.contextmanager
def computed_by(forwards: Sequence[tuple[nn.Module, Callable]]) -> Iterator[None]:
    """Let other functions compute what some modules do, for the duration of a block."""
    own = [vars(module).get("forward") for module, _ in forwards]  # of tools that replaced it, too
    try:
        for module, forward in forwards:
            module.forward = forward
        yield
    finally:
        for (module, _), forward in zip(forwards, own, strict=True):
            vars(module).pop("forward", None)
            if forward is not None:
                module.forward = forward


@contextlib.contextmanager
def at_heads(layer: LayerSites, use: Callable[[Tensor, slice], Tensor | None]) -> Iterator[None]:
    """Read or change what the heads of a layer put out, for the duration of a block.

    Args:
        layer: the layer.
        use: given the inputs x of an output projection, [row, position, head, width], and the
            places of these heads in the layer; returns what stands in for them, or None.
    """
    with contextlib.ExitStack() as hooks, _rows_of(layer) as rows:
        for site in layer.mixing:
            if site.branch.whole:
                hook = _output_hook(site, rows, functools.partial(_as_one_head, use, site.heads))
                hooks.enter_context(site.last.register_forward_hook(hook))
            else:
                hook = _input_hook(site, rows, use)
                hooks.enter_context(site.module.register_forward_pre_hook(hook))
        yield


@contextlib.contextmanager
def at_mlp(
    layer: LayerSites, use: Callable[[Tensor], Tensor | None], prepend: bool = False
) -> Iterator[None]:
    """Read or change what the MLP of a layer gives, for the duration of a block.

    Args:
        layer: the layer; nothing is done where it has no MLP.
        use: given what the MLP gives, [row, position, d_model], before it is multiplied by the
            factor of `layer.mlp`; returns what stands in for it, or None. Several MLPs are one,
            whose output is their sum, and what stands in for it is given by the last.
        prepend: before other hooks of the module.
    """
    others: list[Tensor] = []

    def use_sum(site: Site, added: Tensor) -> Tensor | None:
        if site is not layer.mlp:
            others.append(added * (site.factor / layer.mlp.factor))
            return None
        rest = sum(others)
        others.clear()
        changed = use(added + rest)
        return None if changed is None else changed - rest

    with contextlib.ExitStack() as hooks, _rows_of(layer) as rows:
        for site in layer.mlps:
            one = use if len(layer.mlps) == 1 else functools.partial(use_sum, site)
            hook = _output_hook(site, rows, one)
            hooks.enter_context(site.last.register_forward_hook(hook, prepend=prepend))
        yield


@contextlib.contextmanager
def at_components(
    anatomy: Anatomy,
    of_heads: Callable[[int, Tensor, slice], Tensor | None],
    of_mlp: Callable[[int, Tensor], Tensor | None],
) -> Iterator[None]:
    """Read or change what the heads and the MLP of every layer give (`at_heads`, `at_mlp`).

    Args:
        anatomy: the model's.
        of_heads, of_mlp: the `use` of every layer, given its index before all else.
    """
    with contextlib.ExitStack() as hooks:
        for index, layer in enumerate(anatomy.layers):
            hooks.enter_context(at_heads(layer, functools.partial(of_heads, index)))
            hooks.enter_context(at_mlp(layer, functools.partial(of_mlp, index)))
        yield


def _as_one_head(
    use: Callable[[Tensor, slice], Tensor | None], heads: slice, x: Tensor
) -> Tensor | None:
    changed = use(x[..., None, :], heads)
    return None if changed is None else changed[..., 0, :]


@contextlib.contextmanager
def _rows_of(layer: LayerSites) -> Iterator[list[int]]:
    """How many rows the layer computes, where a module of it does not tell them from positions."""
    rows: list[int] = [0]
    if not any(site.branch.flat for site in (*layer.mixing, *layer.mlps)):
        yield rows
        return

    def count(module: nn.Module, args: tuple, kwargs: dict) -> None:
        rows[0] = len(entering(args, kwargs))

    with layer.first.register_forward_pre_hook(count, with_kwargs=True):
        yield rows


def _input_hook(site: Site, rows: list[int], use: Callable[[Tensor, slice], Tensor | None]):
    def hook(module: nn.Module, args: tuple) -> tuple | None:
        x = args[0].unflatten(0, (rows[0], -1)) if site.branch.flat else args[0]
        changed = use(x.unflatten(-1, (site.n_heads, site.width)), site.heads)
        return None if changed is None else (changed.reshape(args[0].shape), *args[1:])

    return hook


def _output_hook(site: Site, rows: list[int], use: Callable[[Tensor], Tensor | None]):
    def hook(module: nn.Module, args: tuple, output: Tensor | tuple) -> Tensor | tuple | None:
        added = added_by(output)
        changed = use(added.unflatten(0, (rows[0], -1)) if site.branch.flat else added)
        return None if changed is None else with_added(output, changed.reshape(added.shape))

    return hook


def all_heads(
    anatomy: Anatomy, parts: Sequence[tuple[Tensor, slice]], like: Float[Tensor, "*row"]
) -> Float[Tensor, "*row head d_head"]:
    """What the heads of a layer put out, as arrays hold it: 0 where it has no such head.

    Args:
        anatomy: the model's.
        parts: what `at_heads` reads of the layer.
        like: a tensor with the same rows.
    """
    if anatomy.uniform:
        return parts[0][0]
    whole = like.new_zeros(*like.shape, anatomy.n_heads, anatomy.d_head)
    for x, heads in parts:
        whole[..., heads, : x.shape[-1]] = x
    return whole
