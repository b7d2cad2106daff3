"""How the next token is chosen: greedily, by seeded sampling, or from a given text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

# Chooses one token for each active row: (step, rows, logits) -> tokens.
Chooser = Callable[
    [int, Int[Tensor, " active"], Float[Tensor, "active vocabulary"]], Int[Tensor, " active"]
]


def greedy(
    step: int, rows: Int[Tensor, " active"], logits: Float[Tensor, "active vocabulary"]
) -> Int[Tensor, " active"]:
    """The token with the largest logit (the first of equals)."""
    return logits.argmax(-1)


@dataclass(frozen=True)
class Sampler:
    """Sampling with a temperature from the smallest set of tokens with probability `top_p`.

    Every row owns a stream of uniform numbers made from the seed and its sample id alone, so that
    an answer does not depend on the batch it is generated in.
    """

    uniforms: Float[Tensor, "row step"]
    temperature: float
    top_p: float

    @classmethod
    def seeded(
        cls, sample_ids: Sequence[str], n_steps: int, seed: int, temperature: float, top_p: float
    ) -> Sampler:
        """A sampler whose row r draws its numbers from (seed, sample_ids[r])."""

        def stream(sample_id: str) -> np.ndarray:
            digest = hashlib.sha256(f"{seed}:{sample_id}".encode()).digest()
            return np.random.default_rng(int.from_bytes(digest[:8], "big")).random(n_steps)

        uniforms = torch.from_numpy(np.stack([stream(sample_id) for sample_id in sample_ids]))
        return cls(uniforms, temperature, top_p)

    def __call__(self, step, rows, logits):
        probabilities = torch.softmax(logits.double() / self.temperature, -1)
        ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
        below = ordered.cumsum(-1) - ordered  # probability of everything more likely
        ordered = ordered.masked_fill(below >= self.top_p, 0.0)
        cumulative = ordered.cumsum(-1)
        drawn = self.uniforms[rows.cpu(), step].to(cumulative)[:, None] * cumulative[:, -1:]
        place = torch.searchsorted(cumulative, drawn, right=True)
        # The product may round up to the whole sum, past the last token that is kept.
        last = (below < self.top_p).sum(-1, keepdim=True) - 1
        return tokens.gather(-1, place.minimum(last))[:, 0]


@dataclass(frozen=True)
class Forced:
    """Teacher forcing: row r produces `answers[r]`, whatever the model would have chosen.

    Give `decode` the answers' lengths as `max_new_tokens`. A row whose answer is over may stay in
    the batch for some steps; what it is fed then (token 0) is ignored.
    """

    answers: Sequence[Sequence[int]]

    def __call__(self, step, rows, logits):
        answers = [self.answers[row] for row in rows.tolist()]
        forced = [answer[step] if step < len(answer) else 0 for answer in answers]
        return torch.tensor(forced, device=logits.device)
