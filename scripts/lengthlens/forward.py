"""Forward passes over a batch of prompts with a cache, in two parts: prompt, then new tokens.

Logits are read where the unembedding leaves them, before a soft cap (which changes their order in
no way, but squeezes them): that is what the components of the residual stream add up to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lengthlens.anatomy import Anatomy
from lengthlens.intervention import Surgeon
from lengthlens.kvcache import forgets, reserved_cache, select_rows


@dataclass
class State:
    """What a forward pass needs: one entry a remaining row."""

    cache: object
    mask: Bool[Tensor, "active position"]  # over the cached positions
    position: Int[Tensor, " active"]  # of the token to be fed next
    token: Int[Tensor, " active"]  # to be fed next


class LogitReader:
    """Reads the model's own logits at the unembedding, before a soft cap, float32 or better.

    They come on `device`, which is that of the model's inputs, wherever the unembedding lies.
    """

    def __init__(self, anatomy: Anatomy, device: torch.device) -> None:
        self._anatomy = anatomy
        self._device = device
        self._output: Tensor | None = None

    @contextlib.contextmanager
    def attached(self) -> Iterator[LogitReader]:
        """Register the hook for the duration of the block."""
        handle = self._anatomy.unembedding.register_forward_hook(self._listen)
        try:
            yield self
        finally:
            handle.remove()

    def _listen(self, module, args, output) -> None:
        self._output = output

    def last(self) -> Float[Tensor, "row vocabulary"]:
        """Logits of the last position of the last forward pass."""
        return self.kept()[:, -1]

    def kept(self) -> Float[Tensor, "row position vocabulary"]:
        """Logits of the positions that the last forward pass kept."""
        logits = self._output.to(self._device)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        multiplier = self._anatomy.logit_multiplier
        return logits if multiplier == 1.0 else logits * multiplier


def prefill(
    model,
    prompts: Sequence[Sequence[int]],
    room: int,
    surgeon: Surgeon | None,
    device,
    rows: Tensor | slice = slice(None),
) -> State:
    """Fill the cache with every prompt but its last token, which is the state's next token.

    Args:
        model: a causal language model.
        prompts: token ids of each row's prompt. What rows share is computed once.
        room: positions that will follow.
        surgeon: intervenes in the prompts, if its positions are `all`; rows are then computed
            apart, since a shared prefix would carry one row's intervention into another.
        device: where the model's inputs go.
        rows: which rows of the surgeon's intervention the prompts are.
    """
    per_row = surgeon is not None and surgeon.positions == "all"
    distinct = prompts if per_row else list(dict.fromkeys(tuple(prompt) for prompt in prompts))
    longest = max(len(prompt) for prompt in distinct)
    cache = reserved_cache(model.config, longest - 1 + room)
    # NOTE padding after a shared prefix would push it out of a sliding window too early.
    shared = 0 if per_row or forgets(cache, longest - 1 + room) else common_prefix(distinct)
    rest = longest - 1 - shared
    if shared:
        prefix = torch.tensor([distinct[0][:shared]], device=device)
        forward(model, prefix, torch.ones_like(prefix).bool(), torch.arange(shared)[None], cache)
        if len(distinct) > 1:
            select_rows(cache, torch.zeros(len(distinct), dtype=torch.long, device=device))
    mask = torch.ones(len(distinct), shared + rest, dtype=torch.bool, device=device)
    if rest:
        ids = torch.zeros(len(distinct), rest, dtype=torch.long)
        for row, prompt in enumerate(distinct):
            body = prompt[shared:-1]
            mask[row, shared : shared + rest - len(body)] = False
            ids[row, rest - len(body) :] = torch.tensor(body, dtype=torch.long)
        positions = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, shared:]
        if per_row:
            surgeon.at(rows)
        forward(model, ids.to(device), mask, positions, cache)
    last = torch.tensor([prompt[-1] for prompt in distinct], device=device)
    state = State(cache, mask, mask.sum(-1), last)
    if len(distinct) < len(prompts):
        place = {prompt: row for row, prompt in enumerate(distinct)}
        rows = torch.tensor([place[tuple(prompt)] for prompt in prompts], device=device)
        keep_rows(state, rows)
    return state


def forward(
    model,
    ids: Int[Tensor, "row new"],
    mask: Bool[Tensor, "row position"],
    positions: Int[Tensor, "row new"],
    cache,
    keep: int | Int[Tensor, " keep"] = 1,
) -> Float[Tensor, "row keep vocabulary"]:
    """One forward pass of new tokens after the cached ones.

    Logits are computed for the last `keep` of the new positions, or for those that `keep` lists.
    """
    if isinstance(keep, int):
        # NOTE by index, which copies: of a slice of one row, torch's bfloat16 product on a CPU is
        # 150 times slower (18 s a prompt for the 128,256 tokens of Llama 3).
        keep = torch.arange(ids.shape[1] - keep, ids.shape[1], device=ids.device)
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions.to(ids.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=keep,
    )
    return output.logits


def keep_rows(state: State, rows: Int[Tensor, " kept"]) -> None:
    """Keep (and reorder, or repeat) rows of a state, in place."""
    select_rows(state.cache, rows)
    state.mask = state.mask[rows]
    state.position = state.position[rows]
    state.token = state.token[rows]


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all prompts share, leaving each at least one of its own."""
    shortest = min(len(prompt) for prompt in prompts) - 1
    first = prompts[0]
    for position in range(shortest):
        if any(prompt[position] != first[position] for prompt in prompts):
            return position
    return shortest
