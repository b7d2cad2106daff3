"""What each component does, measured: the end margin without it, on the model's own answers.

1. An answer is forced up to its decision step, once as it is and once for every single head and
   every MLP without it; all of these are rows of one batch that share the prompt's cache.
2. Effect of a component = end margin with it minus end margin without it. At the decision step a
   positive effect means: with it, the model is readier to end where N words are there.
3. The same at the earlier boundary steps (their mean) tells a component that ends at N from one
   that pushes towards ending anywhere.

Here the margin is of the best ender and word *of that run*, as in the ablation: without a component
another token may be the best one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool
from tqdm import tqdm

from lengthlens.decoding.intervention import Intervention, Replacement
from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.score import step_margins
from lengthlens.generation.steps import StepAnnotations


@dataclass(frozen=True)
class OwnText:
    """An answer of the model: its prompt, its tokens and their annotations."""

    prompt: Sequence[int]
    answer: Sequence[int]
    marks: StepAnnotations

    def steps(self) -> list[int]:
        """The boundary steps up to the decision step, which is the last; none without one."""
        decision = self.marks.decision_step
        if decision is None:
            return []
        return np.flatnonzero(self.marks.boundary[: decision + 1]).tolist()


def single_effects(
    loaded: LoadedModel,
    texts: Sequence[OwnText],
    used: Bool[np.ndarray, " sample"],
    modes: Sequence[str],
    positions: str,
    replacement: Replacement | None = None,
) -> xr.Dataset:
    """Effects of all single components on the end margin.

    Args:
        loaded: the model.
        texts: its answers.
        used: which of them are measured; the others are NaN.
        modes: `zero` or `mean`: what a removed component is replaced by.
        positions: where it is removed, `generated` or `all`.
        replacement: the means; required for the mode `mean`.

    Returns:
        `margin`, `margin_before (sample)`: with every component; `effect_{head,mlp}` and
        `effect_before_{head,mlp} (mode, sample, …)`. NaN without a decision step, and `before`
        without an earlier boundary step. Unit: logits.

    Raises:
        LengthlensError: means are asked for, but not given.
    """
    if "mean" in modes and replacement is None:
        raise LengthlensError("components are to be replaced by their means, but none were given")
    each = _without_each(loaded, modes, positions, replacement)

    def rows(sets: Sequence[int]) -> Intervention:
        return each.select(torch.as_tensor(list(sets), device=loaded.device))

    n_sets = len(each.heads)
    found = np.full((2, n_sets, len(texts)), np.nan)
    label, places = f"{loaded.spec.name} without each component", np.flatnonzero(used).tolist()
    for column in tqdm(places, desc=label, unit="answer", delay=2, mininterval=1):
        text = texts[column]
        if not (steps := text.steps()):
            continue
        before = text.answer[: steps[-1]]
        margins = step_margins(loaded, text.prompt, before, steps, rows, n_sets=n_sets)
        margins = margins.astype(np.float64)
        found[0, :, column] = margins[:, -1]
        if len(steps) > 1:
            found[1, :, column] = margins[:, :-1].mean(1)
    layout, n_modes = loaded.anatomy.layout, len(modes)
    effects = found[:, :1] - found[:, 1:]
    effects = effects.reshape(2, n_modes, -1, len(texts)).swapaxes(2, 3)
    heads, mlps = layout.spread(effects, np.nan)
    data = {"margin": (("sample",), found[0, 0]), "margin_before": (("sample",), found[1, 0])}
    dims = ("mode", "sample", "layer")
    for place, name in enumerate(("effect", "effect_before")):
        data[f"{name}_head"] = ((*dims, "head"), heads[place])
        data[f"{name}_mlp"] = (dims, mlps[place])
    return xr.Dataset(data, coords={"mode": list(modes)})


def _without_each(
    loaded: LoadedModel, modes: Sequence[str], positions: str, replacement: Replacement | None
) -> Intervention:
    """A row that removes nothing, then one without each head and each MLP, for every mode."""
    device, layout = loaded.device, loaded.anatomy.layout
    number = layout.n_components
    one = np.tile(np.eye(number, dtype=bool), (len(modes), 1))
    masks = layout.spread(np.concatenate([one[:1] & False, one]), False)
    heads, mlps = (torch.from_numpy(mask).to(device) for mask in masks)
    replaced = None
    if replacement is not None:
        by_mode = [mode == "mean" for mode in modes for _ in range(number)]
        replaced = torch.tensor([False, *by_mode], device=device)
    return Intervention(heads, mlps, positions, replaced, replacement)
