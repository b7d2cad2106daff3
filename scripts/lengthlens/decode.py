"""Batched generation with a key-value cache, reading or replacing components on the way.

1. The prompts' common prefix is computed once, then each *distinct* prompt once (left-padded, all
   but its last token), and the cache is repeated for the rows that share a prompt.
2. Every further forward pass feeds one token a row, the last prompt token first. Its logits decide
   the next token, and its residual stream is what attribution explains: the token of step t is
   predicted from the position before it.
3. A row leaves the batch when it produces a stop token or reaches its limit; the batch is
   compacted when an eighth of its rows have left.

Nothing here knows a metric: logits are recorded for the produced token, for the best ender and for
the best word-beginning token, which `steps` and `attribution` interpret later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lengthlens.anatomy import Anatomy
from lengthlens.capture import Recorder, Residuals
from lengthlens.choose import Chooser, greedy
from lengthlens.errors import LengthlensError
from lengthlens.forward import LogitReader, State, forward, keep_rows, prefill
from lengthlens.intervention import Intervention, Surgeon


@dataclass(frozen=True)
class TokenClasses:
    """Token ids that the decode loop watches.

    Attributes:
        stop: tokens that end an answer.
        enders: stop tokens and sentence-final punctuation.
        words: tokens that begin a new word.
    """

    stop: Int[Tensor, " stop"]
    enders: Int[Tensor, " ender"]
    words: Int[Tensor, " word"]


@dataclass(frozen=True)
class StepLogits:
    """The model's own logits before a soft cap, float32 or better; NaN (-1) after a row's end."""

    logit: Float[Tensor, "row step"]
    mean_logit: Float[Tensor, "row step"]
    ender_token: Int[Tensor, "row step"]
    ender_logit: Float[Tensor, "row step"]
    word_token: Int[Tensor, "row step"]
    word_logit: Float[Tensor, "row step"]


@dataclass(frozen=True)
class Decoded:
    """Answers of one batch.

    Attributes:
        tokens: produced tokens of every row, the stop token included.
        stopped: whether a row ended with a stop token (else it was cut at the limit).
        logits: recorded at every step.
        residuals: axes (step, row, …), or None where nothing was captured.
    """

    tokens: list[list[int]]
    stopped: list[bool]
    logits: StepLogits
    residuals: Residuals | None


@torch.inference_mode()
def decode(
    model,
    anatomy: Anatomy,
    prompts: Sequence[Sequence[int]],
    classes: TokenClasses,
    max_new_tokens: int | Sequence[int],
    *,
    choose: Chooser = greedy,
    capture: bool = False,
    intervention: Intervention | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Decoded:
    """Generate answers to a batch of prompts.

    Args:
        model: a causal language model in eval mode.
        anatomy: its components, from `anatomy.dissect`.
        prompts: token ids of each row's prompt, at least one token each.
        classes: the tokens to watch.
        max_new_tokens: the limit, for all rows or for each; at least 1.
        choose: how the next token is chosen.
        capture: whether to record the residual stream's terms at every step.
        intervention: components removed in each row.
        on_step: called after every step with (step, rows that remain).

    Raises:
        LengthlensError: a prompt or a limit is empty, or a logit is not finite.
    """
    n_rows = len(prompts)
    limits = [max_new_tokens] * n_rows if isinstance(max_new_tokens, int) else list(max_new_tokens)
    for row, (prompt, limit) in enumerate(zip(prompts, limits, strict=True)):
        if not len(prompt):
            raise LengthlensError(f"prompt {row} of the batch has no tokens; a prompt needs one")
        if limit < 1:
            raise LengthlensError(f"row {row} of the batch may produce {limit} tokens; allow one")
    n_steps = max(limits)
    weight = next(model.parameters())
    device = weight.device
    surgeon = Surgeon(anatomy, intervention) if intervention is not None else None
    recorder = Recorder(anatomy, n_rows, n_steps) if capture else None
    record = _LogitRecord(classes, n_rows, n_steps, weight)
    with contextlib.ExitStack() as hooks:
        if surgeon is not None:  # before the recorder, which must read what is left
            hooks.enter_context(surgeon.attached())
        if recorder is not None:
            hooks.enter_context(recorder.attached())
        reader = hooks.enter_context(LogitReader(anatomy).attached())
        state = prefill(model, prompts, n_steps, surgeon, device)
        loop = _Loop(
            model, classes, choose, limits, state, surgeon, recorder, reader, record, on_step
        )
        tokens, stopped = loop.run(n_rows)
    return Decoded(tokens, stopped, record.logits(), recorder.residuals if recorder else None)


@dataclass
class _Loop:
    """The step-by-step part of decoding."""

    model: object
    classes: TokenClasses
    choose: Chooser
    limits: list[int]
    state: State
    surgeon: Surgeon | None
    recorder: Recorder | None
    reader: LogitReader
    record: _LogitRecord
    on_step: Callable[[int, int], None] | None

    def run(self, n_rows: int) -> tuple[list[list[int]], list[bool]]:
        device = self.state.token.device
        produced = torch.full((n_rows, max(self.limits)), -1, dtype=torch.long, device=device)
        stopped = torch.zeros(n_rows, dtype=torch.bool, device=device)
        limits = torch.tensor(self.limits, device=device)
        active = torch.arange(n_rows, device=device)
        alive = torch.ones(n_rows, dtype=torch.bool, device=device)  # of the active rows
        for step in range(max(self.limits)):
            logits, raw = self._step(step, active, whole=len(active) == n_rows)
            chosen = self.choose(step, active, logits)
            self.record.write(step, active, alive, raw, chosen)
            produced[active, step] = torch.where(alive, chosen, -1)
            ended = alive & torch.isin(chosen, self.classes.stop)
            stopped[active] |= ended
            alive = alive & ~ended & (limits[active] > step + 1)
            self.state.token = chosen
            remaining = int(alive.sum())
            if self.on_step is not None:
                self.on_step(step, remaining)
            if not remaining:
                break
            if len(active) - remaining >= max(1, len(active) // 8):
                keep = alive.nonzero()[:, 0]
                keep_rows(self.state, keep)
                active, alive = active[keep], alive[keep]
        rows = produced.tolist()
        return [[token for token in row if token >= 0] for row in rows], stopped.tolist()

    def _step(self, step: int, active: Tensor, whole: bool) -> tuple[Tensor, Tensor]:
        """One forward pass; the model's logits, and the same before a soft cap."""
        rows = slice(None) if whole else active
        if self.recorder is not None:
            self.recorder.at(step, rows)
        if self.surgeon is not None:
            self.surgeon.at(rows, position_classes=(min(step, 1),))
        state = self.state
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(active), 1)], dim=1)
        logits = forward(
            self.model, state.token[:, None], state.mask, state.position[:, None], state.cache
        )[:, -1]
        state.position = state.position + 1
        raw = self.reader.last()
        if not bool(torch.isfinite(raw).all()):
            row = int((~torch.isfinite(raw)).any(-1).nonzero()[0, 0])
            raise LengthlensError(
                f"the model produced a logit that is not finite, at step {step} of row "
                f"{int(active[row])} of the batch; its weights or its precision are not sound "
                "(try generation.dtype: float32)"
            )
        return logits, raw


class _LogitRecord:
    """What the logits before a soft cap say of the produced tokens and of the watched classes."""

    def __init__(self, classes: TokenClasses, n_rows: int, n_steps: int, weight: Tensor) -> None:
        self.classes = classes
        dtype, device = torch.promote_types(weight.dtype, torch.float32), weight.device

        def values() -> Tensor:
            return torch.full((n_rows, n_steps), torch.nan, dtype=dtype, device=device)

        def tokens() -> Tensor:
            return torch.full((n_rows, n_steps), -1, dtype=torch.long, device=device)

        self._logits = StepLogits(values(), values(), tokens(), values(), tokens(), values())

    def write(self, step: int, rows: Tensor, alive: Tensor, raw: Tensor, chosen: Tensor) -> None:
        """Record a step of those of `rows` that are `alive`."""
        if not bool(alive.all()):
            rows, raw, chosen = rows[alive], raw[alive], chosen[alive]
        ender, ender_place = raw[:, self.classes.enders].max(-1)
        word, word_place = raw[:, self.classes.words].max(-1)
        out = self._logits
        out.logit[rows, step] = raw.gather(-1, chosen[:, None])[:, 0]
        out.mean_logit[rows, step] = raw.mean(-1)
        out.ender_token[rows, step] = self.classes.enders[ender_place]
        out.ender_logit[rows, step] = ender
        out.word_token[rows, step] = self.classes.words[word_place]
        out.word_logit[rows, step] = word

    def logits(self) -> StepLogits:
        return self._logits
