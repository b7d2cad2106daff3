"""From recorded batches to one labelled dataset: attribution of every token of every answer.

Answers differ in length, so every array over steps is padded with NaN (token ids with -1, texts
with "") after an answer's last token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from lengthlens.attribution.dla import KINDS, TARGETS, Scores, incompleteness, scored_blocks
from lengthlens.attribution.means import sum_activations
from lengthlens.attribution.proof import TOLERANCES
from lengthlens.errors import LengthlensError
from lengthlens.generation.records import Batch, Steps
from lengthlens.models.anatomy import Anatomy
from lengthlens.models.readout import Readout

_MEANINGS = {
    "dla_head": "direct logit attribution of every head",
    "dla_mlp": "direct logit attribution of every MLP",
    "dla_embed": "direct logit attribution of the embedding",
    "dla_bias": "direct logit attribution of constants and biases",
    "dla_routed": "direct logit attribution of every MLP's routed experts",
    "dla_shared": "direct logit attribution of every MLP's shared experts",
    "logit": "the model's own logit of the token, before a soft cap",
    "end_margin": "logit of the best ender minus that of the best word-beginning token; NaN where "
    "the token goes on with a word",
    "completeness_error": "largest |sum of DLA - the model's own logit| of the answer's tokens",
}
_COLUMNS = ("words_before", "words_after", "boundary")
_OF_N = ("sign", "decision")


@dataclass(frozen=True)
class _Block:
    """Scores and steps of some answers, and where they go: the sample and step of each."""

    scores: Scores
    steps: Steps
    sample: Int[np.ndarray, " step"]
    step: Int[np.ndarray, " step"]


def attributed(
    readout: Readout,
    batches: Iterable[Batch],
    dtype: str,
    known: Sequence[bool],
    anatomy: Anatomy,
) -> xr.Dataset:
    """Attribution of every step of recorded answers, in their order.

    Args:
        readout: of the model that gave them.
        batches: the answers.
        dtype: the model's precision, which says how exact the sums must be.
        known: for every answer whether a number of words was asked for.
        anatomy: of the model.

    Returns:
        Variables and coordinates over steps, as `Lens.generate` documents them, and the sums of
        activations over all answers (`means.sum_activations`). Where layers differ, scores are NaN
        for heads and MLPs that a layer lacks; so are those of experts, where they are told apart.

    Raises:
        LengthlensError: the parts of an answer's logits do not add up to them.
    """
    blocks, sums, done = [], None, 0
    for scores, part in scored_blocks(readout, batches):
        sample = part.steps.sample + done
        _check_complete(scores, part.steps, sample, TOLERANCES[dtype])
        first = part.samples.first_step[part.steps.sample]
        blocks.append(_Block(scores, part.steps, sample, np.arange(len(sample)) - first))
        added = sum_activations(part, np.ones(len(part.samples), dtype=bool))
        sums = added if sums is None else sums + added
        done += len(part.samples)
    dataset = _dataset(blocks, np.asarray(known, dtype=bool)).merge(sums)
    if anatomy.experts:
        dataset = _experts_apart(dataset, anatomy)
    for name, meaning in _MEANINGS.items():
        if name in dataset:
            dataset[name].attrs |= {"long_name": meaning, "units": "logits"}
    dataset = dataset.assign_coords(
        kind=("layer", [layer.kind for layer in anatomy.layers]),
        has_head=(("layer", "head"), anatomy.layout.has_head),
        has_mlp=("layer", anatomy.layout.has_mlp),
    )
    if not anatomy.uniform:
        for kind in ("head", "mlp"):
            dataset[f"dla_{kind}"] = dataset[f"dla_{kind}"].where(dataset[f"has_{kind}"])
    return dataset


def _experts_apart(dataset: xr.Dataset, anatomy: Anatomy) -> xr.Dataset:
    """The dataset with `dla_routed` and `dla_shared`, which add up to `dla_mlp`."""
    part = dataset["dla_experts"]
    rest = dataset["dla_mlp"] - part  # all of it where a layer has not both: nothing is recorded
    layers = [
        (False, False, False) if one is None else (True, one.shared, one.shared and one.routed)
        for one in anatomy.experts
    ]
    routed, shared, recorded = (
        xr.DataArray(list(column), dims="layer") for column in zip(*layers, strict=True)
    )
    return (
        dataset.drop_vars("dla_experts")
        .assign(
            dla_routed=xr.where(recorded, part, rest).where(routed).transpose(*part.dims),
            dla_shared=xr.where(recorded, rest, part).where(shared).transpose(*part.dims),
        )
        .assign_coords(has_routed=routed, has_shared=shared)
    )


def _check_complete(
    scores: Scores, steps: Steps, sample: Int[np.ndarray, " step"], tolerance: float
) -> None:
    """Refuse scores that miss the logit by more than rounding: something else adds to it."""
    logit = TARGETS.index("logit")
    parts = [np.abs(getattr(scores, kind)[logit]).reshape(len(steps), -1) for kind in KINDS]
    size = np.concatenate(parts, axis=1).sum(1, dtype=np.float64)
    missed = incompleteness(scores, steps)
    if not (missed <= tolerance * size).all():
        worst = int(np.argmax(np.nan_to_num(missed / size, nan=np.inf)))
        raise LengthlensError(
            f"the attributions of sample {sample[worst]} miss the model's own logit by "
            f"{missed[worst]:.3g} (of {steps.logit[worst]:.3g}): something adds to it that was not "
            "there when the Lens was made, such as a hook or an adapter; remove it, or make "
            "the Lens anew"
        )


def _dataset(blocks: Sequence[_Block], known: np.ndarray) -> xr.Dataset:
    """The blocks' values at their places, and labels."""
    n_samples = len(known)
    n_steps = 1 + max(int(block.step.max()) for block in blocks)
    places = [(block.sample, block.step) for block in blocks]

    def spread(values: Sequence[np.ndarray], fill: float = np.nan) -> np.ndarray:
        shape = (n_samples, n_steps, *values[0].shape[1:])
        whole = np.full(shape, fill, dtype=values[0].dtype)
        for place, value in zip(places, values, strict=True):
            whole[place] = value
        return whole

    def column(name: str) -> np.ndarray:
        return spread([np.asarray(getattr(b.steps, name), dtype=np.float32) for b in blocks])

    told_apart = blocks[0].scores.experts is not None
    kinds = KINDS | ({"experts": ("layer",)} if told_apart else {})
    data = {
        f"dla_{kind}": (("sample", "step", *dims, "target"), spread(_of_kind(blocks, kind)))
        for kind, dims in kinds.items()
    }
    by_step = ("sample", "step")
    data["logit"] = (by_step, spread([block.steps.logit for block in blocks]))
    data["end_margin"] = (by_step, spread([_margin(block.steps) for block in blocks]))
    data["completeness_error"] = (("sample",), _worst(blocks, n_samples))
    coords = {
        "target": list(TARGETS),
        "sample": np.arange(n_samples),
        "layer": np.arange(blocks[0].scores.head.shape[2]),
        "head": np.arange(blocks[0].scores.head.shape[3]),
        "token_id": (by_step, spread([block.steps.token for block in blocks], -1)),
        **{name: (by_step, column(name)) for name in _COLUMNS},
    }
    for name in _OF_N if known.any() else ():
        coords[name] = (by_step, np.where(known[:, None], column(name), np.nan))
    return xr.Dataset(data, coords=coords)


def _of_kind(blocks: Sequence[_Block], kind: str) -> list[np.ndarray]:
    """Scores of one kind [step, …, target]; those of `end` are NaN where it is not defined."""
    found = []
    for block in blocks:
        values = np.moveaxis(getattr(block.scores, kind), 0, -1).copy()
        values[~block.steps.boundary.astype(bool), ..., TARGETS.index("end")] = np.nan
        found.append(values)
    return found


def _margin(steps: Steps) -> Float[np.ndarray, " step"]:
    margin = steps.ender_logit - steps.word_logit
    return np.where(steps.boundary.astype(bool), margin, np.nan).astype(margin.dtype)


def _worst(blocks: Sequence[_Block], n_samples: int) -> Float[np.ndarray, " sample"]:
    worst = np.zeros(n_samples)
    for block in blocks:
        np.maximum.at(worst, block.sample, incompleteness(block.scores, block.steps))
    return worst
