"""The fixed texts on which hybrids are compared: the tuned model's own answers.

Each is read up to its decision step under its own prompt, and up to the same step under the prompt
with the next larger number, where that swap is legal (`generation.swaps`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lengthlens.ablation.ablate import AblationStudy
from lengthlens.decoding.reuse import CleanLayers
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.score import last_logits, padded
from lengthlens.generation.swaps import swap_material
from lengthlens.language.languages import Language
from lengthlens.patching.runs import best_pair, rows_at_once
from lengthlens.tracing.attention import own_texts

SWAP = 1


def answer_rows(study: AblationStudy, answers: Sequence[Sequence[int]]) -> list[dict]:
    """Tokens of answers to a study's prompts, as rows of a generations file."""
    return [
        {
            **vars(prompt),
            "prompt_id": prompt.id,
            "sample_id": prompt.sample_id(),
            "tokens": list(answer),
        }
        for prompt, answer in zip(study.prompts, answers, strict=True)
    ]


class FixedTexts:
    """Texts of some answers.

    Attributes:
        rows: the answers, as rows of a generations file.
        own, other: of every sample, the tokens read under its own prompt and under the other one;
            None where there is no decision step, or no legal swap.
    """

    def __init__(
        self,
        study: AblationStudy,
        answers: Sequence[Sequence[int]],
        language: Language,
        n_words: Sequence[int],
        memory_gb: float,
    ) -> None:
        self._memory_gb = memory_gb
        self._layers: dict[tuple[str, int], CleanLayers] = {}  # of each model and batch, unchanged
        self.rows = answer_rows(study, answers)
        reading = Reading(n_words, study.counting, study.settings.date)
        material = swap_material(study.loaded, language, self.rows, reading, (SWAP,))
        self.own = own_texts(study.loaded, language, self.rows, reading)
        self.other: list[tuple[int, ...] | None] = [None] * len(self.rows)
        for place, swap in material.legal(SWAP):
            self.other[place] = swap.texts[1]

    @torch.inference_mode()
    def margins(
        self, loaded: LoadedModel, below: int
    ) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
        """End margin under the own prompt, and N effect, of every sample; NaN without. [logits]

        The end margin is that of the best ender and the best word; the N effect is the fall of the
        margin of these two tokens under the other prompt.

        Args:
            loaded: one of the pair, possibly with parts of the other's weights.
            below: the first layer that is not its own. What comes before gives what it gave when
                nothing was exchanged, and is not computed again.
        """
        end, effect = (np.full(len(self.own), np.nan) for _ in range(2))
        known = [place for place, text in enumerate(self.own) if text is not None]
        swapped = [place for place in known if self.other[place] is not None]
        texts = [self.own[place] for place in known] + [self.other[place] for place in swapped]
        if not texts:
            return end, effect
        logits = self._logits(loaded, texts, below)
        pairs = [best_pair(row, loaded.classes) for row in logits[: len(known)]]
        again = [pairs[known.index(place)] for place in swapped]
        margins = pair_margins(logits, [*pairs, *again])
        end[known] = margins[: len(known)]
        effect[swapped] = end[swapped] - margins[len(known) :]
        return end, effect

    def _logits(
        self, loaded: LoadedModel, texts: Sequence[Sequence[int]], below: int
    ) -> Float[Tensor, "text vocabulary"]:
        size = rows_at_once(loaded, max(map(len, texts)), self._memory_gb)
        parts = []
        for start in range(0, len(texts), size):
            some = texts[start : start + size]
            key, during = (loaded.spec.name, start), contextlib.nullcontext()
            if key in self._layers:
                during = self._layers[key].reused(below, len(some))
            elif below == len(loaded.anatomy.layers):  # nothing in them is exchanged
                self._layers[key] = CleanLayers(loaded.anatomy)
                during = self._layers[key].recorded()
            with during:
                parts.append(last_logits(loaded, *padded(some, loaded.device)))
        return torch.cat(parts)


def pair_margins(
    logits: Float[Tensor, "row vocabulary"], pairs: Sequence[tuple[int, int]]
) -> Float[np.ndarray, " row"]:
    """Logit of one token minus that of another, row by row."""
    chosen = logits.gather(1, torch.tensor(pairs, device=logits.device))
    return (chosen[:, 0] - chosen[:, 1]).double().cpu().numpy()
