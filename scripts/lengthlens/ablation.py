"""Generation without chosen components, and how it differs.

Every condition answers the same prompts. Rows of many conditions share a batch: one prompt's cache
is computed once and repeated for all conditions, which is possible because with positions
`generated` nothing is removed before the last prompt token. Beside the generated answers stand two
measures on fixed text:

- `end_margin`: best ender minus best word-beginning token at the decision step, teacher-forced on
  the answer given without any ablation, so that conditions are compared on the same text;
- `neutral_loglik`: mean log-likelihood a token of neutral sentences, removed at every position, so
  that breaking the model is told from breaking its counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from tqdm import tqdm

from lengthlens.conditions import Condition
from lengthlens.decode import decode
from lengthlens.errors import LengthlensError
from lengthlens.generation import GenerationSettings, rows_per_batch
from lengthlens.intervention import Intervention, Replacement
from lengthlens.loaded import LoadedModel
from lengthlens.prompts import Prompt
from lengthlens.score import answer_margins, sentence_logliks
from lengthlens.steps import annotate_steps, answer_text
from lengthlens.words import count_words


@dataclass(frozen=True)
class Ablation:
    """What is the same for all conditions.

    Attributes:
        loaded: the model.
        prompts: the prompts to answer, encoded alongside in `tokens`.
        settings: how to generate (greedily).
        counting: the counting convention.
        replacement: means that stand in for components in mode `mean`.
    """

    loaded: LoadedModel
    prompts: Sequence[Prompt]
    settings: GenerationSettings
    counting: str
    replacement: Replacement | None = None

    def encoded(self) -> list[list[int]]:
        """Token ids of every prompt."""
        return [self.loaded.encode(prompt.text, self.settings.date) for prompt in self.prompts]


def ablate(
    study: Ablation,
    conditions: Sequence[Condition],
    neutral: Sequence[str],
    bar: tqdm,
) -> xr.Dataset:
    """Answer all prompts under all conditions.

    Args:
        study: model, prompts and settings.
        conditions: the first must be `none`; all have the same positions.
        neutral: sentences whose log-likelihood tells whether the model is broken.
        bar: shows progress, in answers of distinct sets to prompts.

    Returns:
        The variables of an ablation file (docs/files.md), dims (condition, sample).
    """
    if conditions[0].heads:
        raise LengthlensError(
            f"the first condition removes {conditions[0].components}, but it must be the one that "
            "removes nothing: its answers are the text on which conditions are compared"
        )
    distinct = list(dict.fromkeys((c.heads, c.mode) for c in conditions))
    sets = _Sets(study, distinct, conditions[0].positions)
    bar.reset(total=len(sets) * len(study.prompts))
    outcome = _generate(study, sets, bar)
    margins = _end_margins(study, sets, outcome)
    place = {key: row for row, key in enumerate(distinct)}
    order = [place[c.heads, c.mode] for c in conditions]
    dims = ("condition", "sample")
    data = {name: (dims, outcome[name][order]) for name in ("words", "stopped", "truncated")}
    n = np.array([prompt.n for prompt in study.prompts])
    data["error"] = (dims, outcome["words"][order] - n)
    data["end_margin"] = (dims, margins[order])
    data["neutral_loglik"] = (("condition",), _neutral(study, sets, neutral)[order])
    return xr.Dataset(data, coords=_coordinates(conditions, study.prompts))


class _Sets:
    """The distinct sets of removed components, as masks that a batch picks rows from."""

    def __init__(self, study: Ablation, distinct, positions: str) -> None:
        anatomy, device = study.loaded.anatomy, study.loaded.device
        self.heads = torch.zeros(
            len(distinct), anatomy.n_layers, anatomy.n_heads, dtype=torch.bool, device=device
        )
        self.replaced = torch.zeros(len(distinct), dtype=torch.bool, device=device)
        for row, (heads, mode) in enumerate(distinct):
            self.replaced[row] = mode == "mean"
            for layer, head in heads:
                self.heads[row, layer, head] = True
        self.positions = positions
        self.replacement = study.replacement if bool(self.replaced.any()) else None
        if self.replacement is None and bool(self.replaced.any()):
            raise LengthlensError("a condition has the mode `mean`, but no means were given")

    def __len__(self) -> int:
        return len(self.heads)

    def rows(self, sets: Sequence[int]) -> Intervention:
        """The intervention of a batch whose row r removes set `sets[r]`."""
        index = torch.as_tensor(list(sets), device=self.heads.device)
        heads = self.heads[index]
        return Intervention(
            heads=heads,
            mlps=torch.zeros(heads.shape[:2], dtype=torch.bool, device=heads.device),
            positions=self.positions,
            replaced=self.replaced[index] if self.replacement is not None else None,
            replacement=self.replacement,
        )


def _generate(study: Ablation, sets: _Sets, bar: tqdm) -> dict[str, np.ndarray | list]:
    """Answers of every set to every prompt; prompt by prompt, so that batches share a cache."""
    loaded, prompts = study.loaded, study.encoded()
    longest = max(len(tokens) for tokens in prompts)
    size = rows_per_batch(loaded, longest, study.settings, capture=False)
    pairs = [(row, prompt) for prompt in range(len(prompts)) for row in range(len(sets))]
    words = np.zeros((len(sets), len(prompts)), dtype=np.int32)
    stopped = np.zeros((len(sets), len(prompts)), dtype=bool)
    unablated: dict[int, list[int]] = {}
    counted: dict[tuple[int, ...], int] = {}
    for start in range(0, len(pairs), size):
        part = pairs[start : start + size]
        decoded = decode(
            loaded.model,
            loaded.anatomy,
            [prompts[prompt] for _, prompt in part],
            loaded.classes,
            study.settings.max_new_tokens,
            intervention=sets.rows([row for row, _ in part]),
        )
        for (row, prompt), tokens, ended in zip(part, decoded.tokens, decoded.stopped, strict=True):
            key = tuple(tokens)
            if key not in counted:
                text = answer_text(tokens, loaded.vocabulary, loaded.decode_text)
                counted[key] = count_words(text, study.counting)
            words[row, prompt], stopped[row, prompt] = counted[key], ended
            if row == 0:
                unablated[prompt] = tokens
        bar.update(len(part))
    answers = [unablated[prompt] for prompt in range(len(prompts))]
    return {"words": words, "stopped": stopped, "truncated": ~stopped, "answers": answers}


def _end_margins(study: Ablation, sets: _Sets, outcome: dict) -> Float[np.ndarray, "set sample"]:
    """End margin at the decision step of the unablated answers; NaN where there is none."""
    loaded = study.loaded
    margins = np.full((len(sets), len(study.prompts)), np.nan, dtype=np.float32)
    for column, (prompt, tokens) in enumerate(zip(study.prompts, study.encoded(), strict=True)):
        answer = outcome["answers"][column]
        marks = annotate_steps(
            answer, prompt.n, loaded.vocabulary, loaded.decode_text, study.counting
        )
        decisions = np.flatnonzero(marks.decision)
        if len(decisions):
            margins[:, column] = answer_margins(
                loaded, tokens, answer[: decisions[0]], sets.rows, len(sets)
            )
    return margins


def _neutral(study: Ablation, sets: _Sets, sentences: Sequence[str]) -> Float[np.ndarray, " set"]:
    """Mean log-likelihood a token of the sentences, the components removed at every position."""
    encoded = [study.loaded.tokenizer(sentence)["input_ids"] for sentence in sentences]
    total, count = np.zeros(len(sets)), 0
    for tokens in encoded:
        total += sentence_logliks(study.loaded, tokens, sets.rows, len(sets))
        count += len(tokens) - 1
    return total / max(count, 1)


def _coordinates(conditions: Sequence[Condition], prompts: Sequence[Prompt]) -> dict:
    labels = {
        "kind": [c.kind for c in conditions],
        "mode": [c.mode for c in conditions],
        "positions": [c.positions for c in conditions],
        "components": [c.components for c in conditions],
        "k": [len(c.heads) for c in conditions],
        "method": [c.method for c in conditions],
        "source_language": [c.source_language for c in conditions],
        "control": [c.draw > 0 for c in conditions],
        "draw": [c.draw for c in conditions],
    }
    table = pd.DataFrame([vars(prompt) for prompt in prompts])
    columns = ("n", "topic", "template", "split")
    return {name: ("condition", values) for name, values in labels.items()} | {
        "sample_id": ("sample", [f"{prompt.id}#0" for prompt in prompts]),
        **{name: ("sample", table[name].to_list()) for name in columns},
    }
