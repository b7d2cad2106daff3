"""Forward passes over a batch of prompts with a cache, in two parts: prompt, then new tokens.

Logits are read where the unembedding leaves them, before a soft cap (which changes their order in
no way, but squeezes them): that is what the components of the residual stream add up to.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import DynamicCache

from lengthlens.decoding.intervention import Surgeon
from lengthlens.decoding.kvcache import (
    attends,
    continues,
    copied,
    joined,
    repeat_shifted,
    reserved_cache,
    select_rows,
    shareable,
    stateful,
)
from lengthlens.decoding.streams import StreamShift
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import Anatomy
from lengthlens.models.positions import check_positions

# Positions that sharing a prefix must save: a pass of its own reads all weights, which takes as
# long as some 40 further positions of another pass (30M model, one core; more on a GPU).
WORTH_A_PASS = 64


@dataclass
class State:
    """What the next forward pass needs: one entry a remaining row."""

    cache: DynamicCache | None  # None: nothing was fed before, and nothing will be after
    mask: Bool[Tensor, "active position"]  # over the cached positions and those to be fed next
    token: Int[Tensor, "active new"]  # to be fed next

    def extend(self, tokens: Int[Tensor, "active more"]) -> None:
        """Feed further tokens in the next pass."""
        self.token = torch.cat([self.token, tokens], dim=1)
        self.mask = torch.cat([self.mask, self.mask.new_ones(tokens.shape)], dim=1)

    def follow(self, tokens: Int[Tensor, "active more"]) -> None:
        """Feed these tokens in the next pass, for those before are in the cache."""
        self.token = self.token[:, :0]
        self.extend(tokens)

    def copies(self, rows: int) -> State:
        """So many rows of the one that there is, which may be copied again."""
        # NOTE copied, for what is fed is written into it; the tensors are new with the rows.
        cache = copied(self.cache)
        select_rows(cache, torch.zeros(rows, dtype=torch.long, device=self.token.device))
        return State(cache, self.mask.expand(rows, -1), self.token.expand(rows, -1))


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
        with self._anatomy.unembedding.register_forward_hook(self._listen):
            yield self

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
    surgeon: Surgeon | StreamShift | None = None,
    rows: Tensor | slice = slice(None),
    last_apart: bool = True,
) -> State:
    """Fill the cache with what the prompts share; the state's next tokens are the rest of each.

    Args:
        model: a causal language model.
        prompts: token ids of each row's prompt. What rows share is computed once.
        room: positions that will follow.
        surgeon: intervenes in the prompts, if its positions are `all`; rows are then computed
            apart, since a shared prefix would carry one row's intervention into another.
        rows: which rows of the surgeon's intervention the prompts are.
        last_apart: leave only each prompt's last token to the next pass, as is also done where
            rows have the same prompt, or where layers keep a state; else the next pass takes the
            rest of all prompts at once.
    """
    device = next(model.parameters()).device
    per_row = surgeon is not None and surgeon.positions == "all"
    distinct = prompts if per_row else list(dict.fromkeys(tuple(prompt) for prompt in prompts))
    texts = [torch.tensor(prompt) for prompt in distinct]
    ids = pad_sequence(texts, batch_first=True, padding_side="left").to(device)
    longest, lengths = ids.shape[1], torch.tensor(list(map(len, distinct)), device=device)
    mask = torch.arange(longest, device=device) >= longest - lengths[:, None]
    positions = longest - 1 + room
    check_positions(model.config, positions)
    cache = reserved_cache(model.config, positions)
    if stateful(cache):
        state = _by_length(model, State(cache, mask, ids), surgeon if per_row else None, rows)
    else:
        done = 0 if per_row else _share_prefix(model, distinct, cache, positions)
        # NOTE a padded row feeds the end of the prefix once more, where others have begun theirs.
        state = State(cache, mask, ids[:, done:])
        if last_apart or len(distinct) < len(prompts):
            if per_row:
                surgeon.at(rows)
            if longest - done > 1:
                feed(model, State(cache, mask[:, :-1], state.token[:, :-1]))
            state.token = state.token[:, -1:]
    if len(distinct) < len(prompts):
        place = {prompt: row for row, prompt in enumerate(distinct)}
        keep_rows(state, torch.tensor([place[tuple(prompt)] for prompt in prompts], device=device))
    return state


def _share_prefix(
    model, prompts: Sequence[Sequence[int]], cache: DynamicCache, positions: int
) -> int:
    """Read what prompts begin with once for all, if that is worth a pass; how many tokens it is."""
    shared = common_prefix(prompts)
    padding = [max(map(len, prompts)) - len(prompt) for prompt in prompts]
    worth = shared * (len(prompts) - 1) >= WORTH_A_PASS
    if not (shared and worth and shareable(cache, positions, any(padding))):
        return 0
    prefix = torch.tensor([prompts[0][:shared]], device=next(model.parameters()).device)
    feed(model, State(cache, torch.ones_like(prefix).bool(), prefix))
    repeat_shifted(cache, padding)
    return shared


def _by_length(
    model, state: State, surgeon: Surgeon | StreamShift | None, rows: Tensor | slice
) -> State:
    """Prefill of layers with a state: prompts of one length together, without padding.

    A state takes in what stands before a prompt, masked or not (biases, say), so nothing does. Only
    each prompt's last token is left to the next pass.

    Args:
        state: its cache empty, its tokens whole prompts.
        surgeon: intervenes in the prompts, or None.
        rows: of the surgeon's intervention.
    """
    ids, device = state.token, state.token.device
    state.token = ids[:, -1:]
    lengths = state.mask.sum(1).cpu()
    if int(lengths.max()) == 1:  # all begin with the next pass
        return state
    parts, order = [], []
    for length in lengths.unique().tolist():
        group = (lengths == length).nonzero()[:, 0].to(device)
        order.append(group)
        if length == 1:
            raise LengthlensError(
                "a prompt of one token beside longer ones has no state to go on from; give two"
            )
        if surgeon is not None:
            surgeon.at(group if isinstance(rows, slice) else rows[group])
        parts.append(reserved_cache(model.config, length - 1))
        given = ids[group, -length:-1]
        feed(model, State(parts[-1], torch.ones_like(given).bool(), given))
    joined(parts, state.cache)
    select_rows(state.cache, torch.cat(order).argsort())
    return state


def passes(state: State, answer: Int[Tensor, "active more"]) -> Iterator[slice]:
    """Make a state feed its next token and a given answer: in one pass, run by who iterates.

    A state of a layer goes on by one token at a time: then every token has a pass of its own.

    Yields:
        Which of these tokens the pass takes.
    """
    if not stateful(state.cache):
        state.extend(answer)
        yield slice(None)
        return
    for step in range(answer.shape[1] + 1):
        if step:
            state.follow(answer[:, step - 1 : step])
        yield slice(step, step + 1)


def feed(
    model, state: State, keep: int | Int[Tensor, " keep"] = 1
) -> Float[Tensor, "row keep vocabulary"]:
    """The forward pass of a state's next tokens.

    Logits are computed for the last `keep` of the new positions, or for those that `keep` lists.
    """
    ids, mask, cache = state.token, state.mask, state.cache
    positions = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    if isinstance(keep, int):
        # NOTE by index, which copies: of a slice of one row, torch's bfloat16 product on a CPU is
        # 150 times slower (18 s a prompt for the 128,256 tokens of Llama 3).
        keep = torch.arange(ids.shape[1] - keep, ids.shape[1], device=ids.device)
    if ids.shape[1] > 1 and cache is not None and continues(cache):
        raise LengthlensError(
            "layers with a state go on by one token at a time: some code begins anew where it is "
            "given more"
        )
    if cache is not None and not attends(cache):
        mask = None  # states alone, which are never padded: some code would mask new tokens by it
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=True,
        logits_to_keep=keep,
        **{_name_of_cache(type(model)): cache},
    )
    return output.logits


@functools.cache
def _name_of_cache(kind: type) -> str:
    """What a model calls its cache: state spaces have a name of their own."""
    known = inspect.signature(kind.forward).parameters
    return "cache_params" if "cache_params" in known else "past_key_values"


def keeps_states(model) -> bool:
    """Whether some layer of a model keeps a state, so that it goes on by one token at a time."""
    return stateful(reserved_cache(model.config, 1))


def unread(model, room: int) -> State:
    """The state of one row that has read nothing, for a pass of `room` tokens at most."""
    cache = reserved_cache(model.config, room)
    device = next(model.parameters()).device
    token = torch.zeros(1, 1, dtype=torch.long, device=device)  # to be replaced
    return State(cache, torch.ones_like(token).bool(), token)


def keep_rows(state: State, rows: Int[Tensor, " kept"]) -> None:
    """Keep (and reorder, or repeat) rows of a state, in place."""
    select_rows(state.cache, rows)
    state.mask = state.mask[rows]
    state.token = state.token[rows]


def common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all prompts share, leaving each at least one of its own."""
    alike = itertools.takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts, strict=False))
    return min(len(list(alike)), min(map(len, prompts)) - 1)
