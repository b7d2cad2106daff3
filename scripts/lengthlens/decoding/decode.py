"""Batched generation with a key-value cache, reading or replacing components on the way.

1. Prompts are padded on the left. Their common prefix is computed once, and its cache is repeated
   behind each row's padding. The rest of them is the first forward pass that is read; where rows
   share a prompt, or components are replaced, all but its last token is computed before that, for
   each *distinct* prompt once, and the cache is repeated.
2. Every further forward pass feeds one token a row. The logits of the last position decide the next
   token, and its residual stream is what attribution explains: the token of step t is predicted
   from the position before it.
3. A row leaves the batch when it produces a stop token or reaches its limit; the batch is
   compacted when an eighth of its rows have left.
4. Where memory runs out, answers that are finished are kept, and the others start again in halves.

Nothing here knows a metric: logits are recorded for the produced token, for the best ender and for
the best word-beginning token, which `generation.steps` and `attribution` interpret later.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from lengthlens.decoding.capture import Recorder, Residuals
from lengthlens.decoding.choose import Chooser, greedy
from lengthlens.decoding.diagnosis import first_not_finite
from lengthlens.decoding.forward import LogitReader, State, feed, keep_rows, prefill
from lengthlens.decoding.intervention import Intervention, Surgeon
from lengthlens.decoding.streams import Shift, StreamShift
from lengthlens.decoding.waves import in_waves
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import Anatomy
from lengthlens.models.loading import dtype_name


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

    def endless(self) -> TokenClasses:
        """The same, but for tokens that end an answer: they are written on from like any other."""
        return TokenClasses(self.stop[:0], self.enders, self.words)


@dataclass(frozen=True)
class StepLogits:
    """The model's own logits before a soft cap, float32 or better; NaN (-1) after a row's end."""

    logit: Float[Tensor, "row step"]
    mean_logit: Float[Tensor, "row step"]
    ender_token: Int[Tensor, "row step"]
    ender_logit: Float[Tensor, "row step"]
    word_token: Int[Tensor, "row step"]
    word_logit: Float[Tensor, "row step"]

    @classmethod
    def unwritten(cls, n_rows: int, n_steps: int, weight: Tensor) -> StepLogits:
        """Those of no step yet, where a weight of the model lies, and as exact."""
        exact = torch.promote_types(weight.dtype, torch.float32)

        def column(name: str) -> Tensor:
            absent, dtype = (-1, torch.long) if name.endswith("_token") else (torch.nan, exact)
            return torch.full((n_rows, n_steps), absent, dtype=dtype, device=weight.device)

        return cls(**{field.name: column(field.name) for field in fields(cls)})

    def write(
        self,
        place: tuple[Tensor, int],
        raw: Float[Tensor, "row vocabulary"],
        mean: Float[Tensor, " row"],
        chosen: Int[Tensor, " row"],
        classes: TokenClasses,
    ) -> None:
        """Record the rows and the step of `place`: of their logits, and the tokens produced."""
        # NOTE index_select: indexing the columns with [] takes three times as long.
        ender, ender_place = raw.index_select(1, classes.enders).max(-1)
        word, word_place = raw.index_select(1, classes.words).max(-1)
        self.logit[place] = raw.gather(-1, chosen[:, None])[:, 0]
        self.mean_logit[place] = mean
        self.ender_token[place] = classes.enders[ender_place]
        self.ender_logit[place] = ender
        self.word_token[place] = classes.words[word_place]
        self.word_logit[place] = word

    def blank(self, after_end: Bool[Tensor, "row step"]) -> None:
        """Forget what was recorded of rows that stayed in the batch after their end."""
        for values in vars(self).values():
            values[after_end] = torch.nan if values.is_floating_point() else -1


@dataclass(frozen=True)
class Decoded:
    """Answers of one batch.

    Attributes:
        tokens: produced tokens of every row, the stop token included.
        stopped: whether a row ended with a stop token (else it was cut at the limit).
        logits: recorded at every step.
        residuals: axes (step, row, …), or None where nothing was captured.
        layout: how many rows were decoded together, wave by wave; one entry unless memory ran out.
    """

    tokens: list[list[int]]
    stopped: list[bool]
    logits: StepLogits
    residuals: Residuals | None
    layout: list[int]


@dataclass(frozen=True)
class Decoder:
    """Decodes batches of prompts with one model.

    Attributes:
        model: a causal language model in eval mode.
        anatomy: its components, from `anatomy.dissect`.
        classes: the tokens to watch.
    """

    model: nn.Module
    anatomy: Anatomy
    classes: TokenClasses

    @torch.inference_mode()
    def decode(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int | Sequence[int],
        *,
        choose: Chooser = greedy,
        capture: bool = False,
        intervention: Intervention | Shift | None = None,
        on_step: Callable[[int, int], None] | None = None,
        names: Sequence[str] | None = None,
    ) -> Decoded:
        """Generate answers to a batch of prompts.

        Args:
            prompts: token ids of each row's prompt, at least one token each.
            max_new_tokens: the limit, for all rows or for each; at least 1.
            choose: how the next token is chosen.
            capture: whether to record the residual stream's terms at every step.
            intervention: components removed in each row, or what is added to its stream.
            on_step: called after every step with (step, rows that remain).
            names: what the rows are called in errors: their sample ids.

        Raises:
            LengthlensError: a prompt or a limit is empty, or a logit is not finite; then sample,
                step and the module where it began are named.
            OutOfMemory: not even one row fits into memory.
        """
        each = isinstance(max_new_tokens, int)
        limits = [max_new_tokens] * len(prompts) if each else list(max_new_tokens)
        for row, (prompt, limit) in enumerate(zip(prompts, limits, strict=True)):
            if not len(prompt):
                raise LengthlensError(
                    f"prompt {row} of the batch has no tokens; a prompt needs one"
                )
            if limit < 1:
                raise LengthlensError(
                    f"row {row} of the batch may produce {limit} tokens; allow one"
                )
        names = names or [f"row {row} of the batch" for row in range(len(prompts))]
        batch = _Batch(self, prompts, limits, names, capture=capture, intervention=intervention)
        return batch.answer(choose, on_step)


class _Batch:
    """Decodes one batch, step by step, and holds the answers of its rows."""

    def __init__(
        self,
        decoder: Decoder,
        prompts: Sequence[Sequence[int]],
        limits: list[int],
        names: Sequence[str],
        capture: bool,
        intervention: Intervention | Shift | None,
    ) -> None:
        self.model, self.classes = decoder.model, decoder.classes
        self.prompts, self.limits, self.names = prompts, limits, names
        weight, shape = next(self.model.parameters()), (len(prompts), max(limits))
        self.surgeon: Surgeon | StreamShift | None = None
        if intervention is not None:
            kind = StreamShift if isinstance(intervention, Shift) else Surgeon
            self.surgeon = kind(decoder.anatomy, intervention)
        self.recorder = Recorder(decoder.anatomy, *shape) if capture else None
        self.reader = LogitReader(decoder.anatomy, weight.device)
        self.logits = StepLogits.unwritten(*shape, weight)
        self.produced = torch.full(shape, -1, dtype=torch.long, device=weight.device)
        self.stopped = torch.zeros(shape[0], dtype=torch.bool, device=weight.device)
        self.finished = torch.zeros_like(self.stopped)
        self.state: State | None = None

    def answer(self, choose: Chooser, on_step: Callable[[int, int], None] | None) -> Decoded:
        """Decode all rows, in smaller waves where memory runs out."""
        with contextlib.ExitStack() as hooks:
            # NOTE the surgeon before the recorder, which must read what is left.
            for hooked in (self.surgeon, self.recorder, self.reader):
                if hooked is not None:
                    hooks.enter_context(hooked.attached())
            run = functools.partial(self._run, choose=choose, on_step=on_step)
            layout = in_waves(range(len(self.prompts)), run, self._unfinished)
        self.logits.blank(self.produced < 0)
        tokens = [[token for token in row if token >= 0] for row in self.produced.tolist()]
        residuals = self.recorder.residuals if self.recorder else None
        return Decoded(tokens, self.stopped.tolist(), self.logits, residuals, layout)

    def _unfinished(self, rows: list[int]) -> list[int]:
        """Those of the given rows that have no answer; what they had is forgotten."""
        self.state = None
        left = [row for row in rows if not self.finished[row]]
        self.produced[left] = -1
        return left

    def _run(
        self, wave: list[int], choose: Chooser, on_step: Callable[[int, int], None] | None
    ) -> None:
        """Answer the given rows of the batch together."""
        if self.recorder is not None:
            self.recorder.at(0, None)
        if self.surgeon is not None:
            self.surgeon.at(None)
        device = self.produced.device
        active = torch.tensor(wave, device=device)
        n_steps = max(self.limits[row] for row in wave)
        self.state = prefill(
            self.model,
            [self.prompts[row] for row in wave],
            n_steps,
            self.surgeon,
            rows=active,
            last_apart=self.surgeon is not None,  # the first that an intervention may touch
        )
        ends = torch.tensor(self.limits, device=device)
        alive = torch.ones(len(wave), dtype=torch.bool, device=device)  # of the active rows
        for step in range(n_steps):
            logits, raw = self._step(step, active)
            mean = self._finite_mean(step, active, raw)
            chosen = choose(step, active, logits)
            self.logits.write((active, step), raw, mean, chosen, self.classes)
            self.produced[active, step] = torch.where(alive, chosen, -1)
            ended = alive & torch.isin(chosen, self.classes.stop)
            self.stopped[active] |= ended
            alive = alive & ~ended & (ends[active] > step + 1)
            self.finished[active] = ~alive
            self.state.follow(chosen[:, None])
            remaining = int(alive.sum())
            if on_step is not None:
                on_step(step, remaining)
            if not remaining:
                break
            if len(active) - remaining >= max(1, len(active) // 8):
                keep = alive.nonzero()[:, 0]
                keep_rows(self.state, keep)
                active, alive = active[keep], alive[keep]

    def _step(self, step: int, active: Tensor) -> tuple[Tensor, Tensor]:
        """One forward pass; the model's logits, and the same before a soft cap."""
        rows = slice(None) if len(active) == len(self.prompts) else active
        if self.recorder is not None:
            self.recorder.at(step, rows)
        if self.surgeon is not None:
            self.surgeon.at(rows, position_classes=(min(step, 1),))
        logits = feed(self.model, self.state)[:, -1]
        return logits, self.reader.last()

    def _finite_mean(self, step: int, active: Tensor, raw: Tensor) -> Tensor:
        """Every row's mean logit, which is finite only if all of its logits are."""
        mean = raw.mean(-1)
        finite = torch.isfinite(mean)
        if not bool(finite.all()):
            raise self._not_finite(step, int(active[~finite][0]))
        return mean

    def _not_finite(self, step: int, row: int) -> LengthlensError:
        """The error for a logit that is not finite, after looking for where that began."""
        if self.recorder is not None:
            self.recorder.at(0, None)
        prompt, answer = self.prompts[row], self.produced[row, :step].tolist()
        source = None
        with contextlib.suppress(RuntimeError, MemoryError):  # no memory for it: then without
            source = first_not_finite(self.model, prompt, answer, self.surgeon, row)
        began = f"it began in the output of {source}" if source else "it cannot be reproduced alone"
        dtype = dtype_name(self.model)
        other = "bfloat16" if dtype == "float16" else "float32"
        return LengthlensError(
            f"the model produced a logit that is not finite, at step {step} of {self.names[row]}; "
            f"{began}. Its weights or its precision ({dtype}) are not sound: try "
            f"generation.dtype: {other}, or fetch the model again"
        )
