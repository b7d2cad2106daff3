"""From recorded batches to one labelled dataset: attribution of every token of every answer.

Answers differ in length, so every array over steps is padded with NaN (token ids with -1, texts
with "") after an answer's last token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

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
_OF_N = ("sign", "decision")
_LABELS = ("words_before", "words_after", "boundary", *_OF_N)


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
        steps, missed = part.steps, incompleteness(scores, part.steps)
        _check_complete(scores, missed, steps, done, TOLERANCES[dtype])
        first = part.samples.first_step[steps.sample]
        block = _values(scores, steps).assign_coords(
            sample=("place", steps.sample + done), step=("place", np.arange(len(first)) - first)
        )
        blocks.append(block.assign(completeness_error=("place", missed)))
        added = sum_activations(part, np.ones(len(part.samples), dtype=bool))
        sums = added if sums is None else sums + added
        done += len(part.samples)
    dataset = xr.concat(blocks, "place").set_index(place=("sample", "step"))
    dataset = dataset.unstack("place", fill_value={"token_id": -1})
    dataset = dataset.transpose("sample", "step", ..., "target").drop_vars("step")
    dataset["completeness_error"] = dataset["completeness_error"].max("step")
    if any(known):
        given = xr.DataArray(list(known), dims="sample")
        dataset = dataset.assign({name: dataset[name].where(given) for name in _OF_N})
    else:
        dataset = dataset.drop_vars(_OF_N)
    dataset = dataset.merge(sums)
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
    scores: Scores,
    missed: Float[np.ndarray, " step"],
    steps: Steps,
    first_sample: int,
    tolerance: float,
) -> None:
    """Refuse scores that miss the logit by more than rounding: something else adds to it."""
    logit = TARGETS.index("logit")
    parts = [np.abs(getattr(scores, kind)[logit]).reshape(len(steps), -1) for kind in KINDS]
    size = np.concatenate(parts, axis=1).sum(1, dtype=np.float64)
    if not (missed <= tolerance * size).all():
        worst = int(np.argmax(np.nan_to_num(missed / size, nan=np.inf)))
        raise LengthlensError(
            f"the attributions of sample {first_sample + steps.sample[worst]} miss the model's own "
            f"logit by {missed[worst]:.3g} (of {steps.logit[worst]:.3g}): something adds to it "
            "that was not there when the Lens was made, such as a hook or an adapter; remove it, "
            "or make the Lens anew"
        )


def _values(scores: Scores, steps: Steps) -> xr.Dataset:
    """Scores and labels of steps, whose place among the answers is one axis.

    Those of `end` are NaN where it is not defined.
    """
    boundary = steps.boundary.astype(bool)
    kinds = KINDS | ({} if scores.experts is None else {"experts": ("layer",)})
    data = {}
    for kind, dims in kinds.items():
        values = np.moveaxis(getattr(scores, kind), 0, -1).copy()
        values[~boundary, ..., TARGETS.index("end")] = np.nan
        data[f"dla_{kind}"] = (("place", *dims, "target"), values)
    margin = steps.ender_logit - steps.word_logit
    data["logit"] = ("place", steps.logit)
    data["end_margin"] = ("place", np.where(boundary, margin, np.nan).astype(margin.dtype))
    coords = {name: ("place", getattr(steps, name).astype(np.float32)) for name in _LABELS}
    coords |= {
        "token_id": ("place", steps.token),
        "target": list(TARGETS),
        "layer": np.arange(scores.head.shape[2]),
        "head": np.arange(scores.head.shape[3]),
    }
    return xr.Dataset(data, coords=coords)
