"""Where numbers first stopped being finite: asked after the fact, so that decoding pays nothing.

One row is read again from its prompt on, with a hook on every module. The first output that is not
finite names the module: modules are left in the order in which they compute, inner ones first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from lengthlens.decoding.forward import feed, passes, prefill
from lengthlens.decoding.intervention import Surgeon
from lengthlens.decoding.streams import StreamShift
from lengthlens.models.hooks import held


class _Found(Exception):
    """Carries the name of the module out of the pass."""


@torch.inference_mode()
def first_not_finite(
    model: nn.Module,
    prompt: Sequence[int],
    answer: Sequence[int],
    surgeon: Surgeon | StreamShift | None = None,
    row: int = 0,
) -> str | None:
    """Name of the module whose output first is not finite.

    Args:
        model: the model; hooks that record must be switched off.
        prompt: token ids.
        answer: the tokens produced so far; the logits after the last of them were not finite.
        surgeon: intervenes as it did, on `row`. Donors follow an answer word by word and are left
            out here, so that their row may turn out finite.

    Returns:
        The name, such as `model.layers.3.mlp.down_proj`, or None where everything is finite this
        time (without the batch's other rows, sums can differ in the last bits).
    """
    device = next(model.parameters()).device
    rows = torch.tensor([row], device=device)
    if surgeon is not None:
        surgeon.at(None)
        surgeon = None if surgeon.has_donors else surgeon
    try:
        with _watched(model):
            state = prefill(model, [prompt], len(answer) + 1, surgeon, rows)
            given = torch.tensor([list(answer)], dtype=torch.long, device=device)
            classes = [0, *[1] * len(answer)]
            for part in passes(state, given):
                if surgeon is not None:
                    surgeon.at(rows, position_classes=classes[part])
                feed(model, state)
    except _Found as found:
        return str(found)
    return None


def _watched(model: nn.Module) -> contextlib.AbstractContextManager:
    """Stop at the first module whose output is not finite."""

    def look(name: str, module: nn.Module, args: tuple, output: object) -> None:
        values = output[0] if isinstance(output, tuple) and output else output
        numbers = isinstance(values, Tensor) and values.is_floating_point()
        if numbers and not bool(values.isfinite().all()):
            raise _Found(name)

    modules = [(name, module) for name, module in model.named_modules() if name]
    return held(module.register_forward_hook(partial(look, name)) for name, module in modules)
