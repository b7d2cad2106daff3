"""What hooks read and give back: the stream entering a layer, and what a component adds to it.

Modules of transformers take the stream by place or by name, and give what they add alone or first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor


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
def hooked(hooks: list) -> Iterator[None]:
    """Pre-hooks with keywords, as (module, hook), for the duration of a block."""
    with contextlib.ExitStack() as handles:
        for module, hook in hooks:
            handles.enter_context(module.register_forward_pre_hook(hook, with_kwargs=True))
        yield
