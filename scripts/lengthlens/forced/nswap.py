"""The N-swap contrast: what changes in a component when only the number of words asked for does.

1. An answer to a prompt with N is forced under the same prompt with the next smaller and the next
   larger number of `n_words` (`generation.swaps` says which swaps are legal). At the step where the
   smaller of the two numbers of words is reached, one prompt says "done" and the other "go on": for
   the larger number that is the answer's own decision step; for the smaller one it is the first
   boundary step with so many words, the decision step of the swapped prompt.
2. There each component's share of the end margin is read under both prompts, with one fixed pair of
   tokens: best ender and best word-beginning token of the run with the answer's own prompt.
3. The contrast is the share under the prompt whose number is reached, minus that under the other.
   Positive: the component pushes towards ending more because the number is reached.

The text is the same in both runs, so whatever a component does because of the words before it
cancels. Constants of the margin cancel too, so that the contrasts of all components (embedding and
biases included) add up to the change of the margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np
import xarray as xr
from jaxtyping import Shaped

from lengthlens.attribution.dla import KINDS, TARGETS, attribute_steps
from lengthlens.generation.answers import Request
from lengthlens.generation.forcing import Forcing, forced_batches
from lengthlens.generation.records import Steps
from lengthlens.generation.swaps import (
    ELSEWHERE,
    LENGTH,
    NO_NUMBER,
    NO_READ_STEP,
    SWAPS,
    SwapMaterial,
)
from lengthlens.models.readout import Readout

# Why a swap is left out, in the words of forced files.
REASONS = {
    NO_NUMBER: "outside",
    LENGTH: "length",
    ELSEWHERE: "tokens",
    NO_READ_STEP: "step",
}


PAIR = ("ender_token", "word_token")


def nswap_contrast(
    forcing: Forcing,
    readout: Readout,
    requests: Sequence[Request],
    answers: Sequence[Sequence[int]],
    material: SwapMaterial,
) -> xr.Dataset:
    """The contrast of every component in every answer; NaN where a swap is not legal.

    Args:
        forcing: the model; readout: of it.
        requests: the answers' own prompts.
        answers: their tokens.
        material: their swaps.

    Returns:
        `nswap_{head,mlp,embed,bias} (swap, sample, …)`, `nswap_margin (swap, sample)`: their sum,
        the change of the end margin; `nswap_completeness_error`: largest deviation of Σ DLA from a
        logit of these steps. [logits]
    """
    a = forcing.loaded.anatomy
    shapes = {"head": (a.n_layers, a.n_heads), "mlp": (a.n_layers,), "embed": (), "bias": ()}
    grid = (len(SWAPS), len(answers))
    found = {kind: np.full((*grid, *shape), np.nan) for kind, shape in shapes.items()}
    error = np.full(grid, np.nan)
    for place, swap in enumerate(SWAPS):
        legal = material.legal(swap)
        if not legal:
            continue
        used = [index for index, _ in legal]
        texts = [answers[index][: len(entry.answer) + 1] for index, entry in legal]
        prompts = [requests[index] for index in used]
        others = [replace(requests[index], tokens=list(entry.swapped)) for index, entry in legal]
        own = _shares(forcing, readout, prompts, texts)
        other = _shares(forcing, readout, others, texts, pair=own)
        for kind in shapes:
            found[kind][place, used] = swap * (own[kind] - other[kind])
        error[place, used] = np.maximum(own["error"], other["error"])
    sums = sum(found[kind].reshape(*grid, -1).sum(-1) for kind in shapes)
    for kind, there in (("head", a.layout.has_head), ("mlp", a.layout.has_mlp)):
        found[kind][..., ~there] = np.nan
    dims = ("swap", "sample")
    data = {f"nswap_{kind}": ((*dims, *KINDS[kind]), found[kind]) for kind in shapes}
    data |= {"nswap_margin": (dims, sums), "nswap_completeness_error": (dims, error)}
    return xr.Dataset(data, coords={"swap": list(SWAPS)})


def _shares(
    forcing: Forcing,
    readout: Readout,
    requests: Sequence[Request],
    texts: Sequence[Sequence[int]],
    pair: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Shaped[np.ndarray, "text ..."]]:
    """Shares of the end margin at the last step of each text, under the given prompts.

    `pair`: where the pair of tokens is taken from; by default the best ones of this very run.

    Returns:
        The shares by kind of component, the tokens of `PAIR`, and the `error` of completeness.
    """
    label = f"{forcing.loaded.spec.name} N swapped"
    parts, start = [], 0
    for batch in forced_batches(forcing, requests, texts, label):
        last = batch.samples.first_step + batch.samples.n_steps - 1
        columns = {field.name: getattr(batch.steps, field.name)[last] for field in fields(Steps)}
        if pair is not None:
            columns |= {name: pair[name][start : start + len(last)] for name in PAIR}
        picked = Steps(**columns | {"boundary": np.ones(len(last), dtype=bool)})
        scores = attribute_steps(readout, picked, batch.residuals[last])
        part = {kind: getattr(scores, kind)[TARGETS.index("end")] for kind in KINDS}
        part |= {name: columns[name] for name in PAIR}
        part["error"] = np.abs(scores.total()[TARGETS.index("logit")] - picked.logit)
        parts.append(part)
        start += len(last)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
