"""What one generated step is made of, and the batches in which steps travel.

Generation produces `Batch`es; the HDF5 writer and attribution take them in. Steps of one batch lie
one after another, sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from lengthlens.decoding.capture import Residuals
from lengthlens.decoding.decode import Decoded
from lengthlens.weights.shape import BLOCK_ELEMENTS


@dataclass(frozen=True)
class Steps:
    """One entry a generated token; the columns of `steps/` in an activations file.

    Attributes:
        sample: index of the step's sample.
        token: the produced token.
        is_stop: whether it is a stop token.
        words_before, words_after: words of the answer before and after it.
        sign: adherence sign, +1 or -1; 0 while the model thinks, before its answer.
        boundary: whether the token does not continue the last word.
        decision: whether it is the first boundary step with the asked number of words before it.
        logit: the model's own logit of the token, before a soft cap.
        mean_logit: mean of the logits over the vocabulary.
        ender_token, ender_logit: the best ender and its logit.
        word_token, word_logit: the best word-beginning token and its logit.
        scale: the final norm's denominator.
    """

    sample: Int[np.ndarray, " step"]
    token: Int[np.ndarray, " step"]
    is_stop: Bool[np.ndarray, " step"]
    words_before: Int[np.ndarray, " step"]
    words_after: Int[np.ndarray, " step"]
    sign: Int[np.ndarray, " step"]
    boundary: Bool[np.ndarray, " step"]
    decision: Bool[np.ndarray, " step"]
    logit: Float[np.ndarray, " step"]
    mean_logit: Float[np.ndarray, " step"]
    ender_token: Int[np.ndarray, " step"]
    ender_logit: Float[np.ndarray, " step"]
    word_token: Int[np.ndarray, " step"]
    word_logit: Float[np.ndarray, " step"]
    scale: Float[np.ndarray, " step"]

    def __len__(self) -> int:
        return len(self.token)

    def __getitem__(self, steps: slice) -> Steps:
        return Steps(**{name: column[steps] for name, column in self.columns().items()})

    def columns(self) -> dict[str, np.ndarray]:
        """The columns by name, in their order."""
        return dict(vars(self))


@dataclass(frozen=True)
class Samples:
    """One entry an answer; the columns of `samples/` in an activations file."""

    sample_id: list[str]
    n: Int[np.ndarray, " sample"]
    first_step: Int[np.ndarray, " sample"]
    n_steps: Int[np.ndarray, " sample"]

    def __len__(self) -> int:
        return len(self.sample_id)

    def blocks(self, max_steps: int) -> Iterator[tuple[slice, slice]]:
        """Consecutive samples of at most `max_steps` steps, or one that is longer; their steps."""
        ends = self.first_step + self.n_steps
        start = 0
        while start < len(self):
            first = int(self.first_step[start])
            fitting = int(np.searchsorted(ends, first + max_steps, side="right"))
            stop = max(fitting, start + 1)
            yield slice(start, stop), slice(first, int(ends[stop - 1]))
            start = stop

    def __getitem__(self, part: slice) -> Samples:
        """Some of the samples, their steps counted from 0."""
        first = self.first_step[part]
        return Samples(self.sample_id[part], self.n[part], first - first[0], self.n_steps[part])


@dataclass(frozen=True)
class Batch:
    """Samples, their steps (`steps.sample` counts from 0 within the batch) and residual terms.

    `layout` says how many of the samples were decoded together, wave by wave: one number, unless
    memory ran out. Results are equal to the last bit only where it is the same.
    """

    samples: Samples
    steps: Steps
    residuals: Residuals
    layout: tuple[int, ...] = ()

    def blocks(self) -> Iterator[Batch]:
        """The batch in parts of whole samples, each small enough to be worked on at once."""
        size = block_steps(self.residuals.step_elements)
        steps, residuals = self.steps.__getitem__, self.residuals.__getitem__
        return cut(self.samples, size, steps, residuals, self.layout)


def cut(
    samples: Samples,
    max_steps: int,
    steps: Callable[[slice], Steps],
    residuals: Callable[[slice], Residuals],
    layout: tuple[int, ...] = (),
) -> Iterator[Batch]:
    """Batches of whole samples (`Samples.blocks`), given where their steps and terms come from."""
    for part, place in samples.blocks(max_steps):
        own = steps(place)
        own = replace(own, sample=own.sample - part.start)
        yield Batch(samples[part], own, residuals(place), layout)


def recorded_steps(decoded: Decoded, columns: Mapping[str, np.ndarray]) -> tuple[Steps, Residuals]:
    """The steps of decoded answers, one answer after another, and their residual terms."""
    lengths = [len(tokens) for tokens in decoded.tokens]
    row = np.repeat(np.arange(len(lengths)), lengths)
    step = np.concatenate([np.arange(length) for length in lengths])
    residuals = decoded.residuals[step, row]
    steps = Steps(
        sample=row,
        token=np.concatenate([np.asarray(tokens, dtype=np.int64) for tokens in decoded.tokens]),
        scale=residuals.scale.cpu().numpy(),
        **{name: value.cpu().numpy()[row, step] for name, value in vars(decoded.logits).items()},
        **columns,
    )
    return steps, residuals


def block_steps(step_elements: int) -> int:
    """How many steps are worked on at a time, by the numbers recorded for each."""
    return max(1, BLOCK_ELEMENTS // step_elements)
