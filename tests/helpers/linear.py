"""A toy in which every component acts linearly, and an independent way to patch.

`linear_toy`: GPT-2 whose norms multiply by a constant, whose attention is even (no queries, no
keys) and whose MLPs have no activation: the margin is a linear function of every component, so that
attribution patching is not an estimate but the patch itself.

`patched_margin`: one run with plain hooks, the whole text in one pass without a cache, one row.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from architectures import VOCABULARY, tiny_model
from torch import nn
from toys import toy

from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import Swap

Component = tuple[str, int, int]  # head or mlp, layer, head


class Scaling(nn.Module):
    """In the place of a norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        return 0.7 * stream


@torch.no_grad()
def linear_toy() -> LoadedModel:
    model = tiny_model("gpt2")
    width = model.config.n_embd
    for block in model.transformer.h:
        block.ln_1, block.ln_2 = Scaling(block.ln_1), Scaling(block.ln_2)
        block.attn.c_attn.weight[:, : 2 * width] = 0.0
        block.attn.c_attn.bias[: 2 * width] = 0.0
        block.mlp.act = nn.Identity()
    model.transformer.ln_f = Scaling(model.transformer.ln_f)
    return toy(model)


def random_swap(swap: int = 1, seed: int = 0, prompt: int = 9, answer: int = 5) -> Swap:
    """Random tokens; the prompts differ in one token, the fourth."""
    made = torch.Generator().manual_seed(seed)
    tokens = torch.randint(8, VOCABULARY, (prompt + answer + 1,), generator=made).tolist()
    reached, other = list(tokens[:prompt]), list(tokens[:prompt])
    reached[3], other[3] = 30, 31
    n = (4, 5) if swap > 0 else (5, 4)
    return Swap(swap, *n, tuple(reached), tuple(other), tuple(tokens[prompt + 1 :]), 3)


def _sites(loaded: LoadedModel, components: Iterable[Component]):
    for kind, layer, head in components:
        sites = loaded.anatomy.layers[layer]
        width = loaded.anatomy.d_head
        columns = slice(head * width, (head + 1) * width) if kind == "head" else slice(None)
        yield kind, sites.attention.module if kind == "head" else sites.mlp.last, columns


@torch.no_grad()
def patched_logits(
    loaded: LoadedModel,
    text: tuple[int, ...],
    donor: tuple[int, ...],
    components: Iterable[Component],
    positions: slice,
) -> torch.Tensor:
    """Logits at the end of a text, with components taken from the donor text at some positions.

    Before a soft cap, which is taken back.
    """
    components = list(components)
    kept: dict[int, torch.Tensor] = {}
    logits = None
    for tokens, replace in ((donor, False), (text, True)):
        handles = []
        for index, (kind, module, columns) in enumerate(_sites(loaded, components)):

            def exchange(value, index=index, columns=columns, replace=replace):
                if not replace:
                    kept[index] = value[:, positions, columns].clone()
                    return None
                value = value.clone()
                value[:, positions, columns] = kept[index]
                return value

            def before(module, args, exchange=exchange):
                value = exchange(args[0])
                return None if value is None else (value, *args[1:])

            def after(module, args, output, exchange=exchange):
                first = output[0] if isinstance(output, tuple) else output
                value = exchange(first)
                if value is None:
                    return None
                return (value, *output[1:]) if isinstance(output, tuple) else value

            handles.append(
                module.register_forward_pre_hook(before)
                if kind == "head"
                else module.register_forward_hook(after)
            )
        logits = loaded.model(torch.tensor([list(tokens)]), use_cache=False).logits[0, -1]
        for handle in handles:
            handle.remove()
    cap = loaded.anatomy.soft_cap
    return logits if cap is None else cap * torch.atanh(logits / cap)
