"""From recorded answers to an attribution file: per-sample sums, labelled and checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from lengthlens.attribution.dla import scored_blocks, sum_scores
from lengthlens.attribution.means import sum_activations
from lengthlens.attribution.output_norms import mean_norms
from lengthlens.attribution.pushes import batch_pushes
from lengthlens.errors import LengthlensError
from lengthlens.files.netcdf import tell_meanings
from lengthlens.generation.records import Batch
from lengthlens.generation.rows import LABELS
from lengthlens.models.readout import Readout

ATTRIBUTES = {
    "cwa": "sum over the answer's steps of adherence sign times DLA [logits]",
    "null_variance": "variance of CWA over all circular shifts of the answer's signs [logits^2]",
    "decision": "share of the end margin at the decision step [logits]",
    "end_contrast": "share of the end margin at the decision step minus its mean at earlier "
    "boundary steps [logits]",
    "norm": "norm of what the component adds to the residual stream, mean over the answer's steps",
    "completeness_error": "largest |sum of DLA - the model's own logit| of the answer's steps",
    "logit_scale": "largest |logit| of the answer's produced tokens",
    "sum": "sum of activations over the steps of the select split",
}


def attribute_batches(
    readout: Readout, batches: Iterable[Batch], selected: set[str]
) -> tuple[xr.Dataset, xr.Dataset, list[dict]]:
    """Attribute a stream of batches.

    Args:
        readout: of the model that produced them.
        batches: recorded answers.
        selected: sample ids of the `select` split, over which activations are summed.

    Returns:
        Sums of DLA and mean norms of the outputs (one entry a sample), sums of activations, and
        what pushed at each step (`pushes.batch_pushes`, one row a sample).
    """
    parts, sums, pushes = [], None, []
    for scores, block in scored_blocks(readout, batches):
        sums_of_block = sum_scores(scores, block, readout.layout)
        parts.append(sums_of_block.merge(mean_norms(readout, block)))
        pushes += batch_pushes(scores, block)
        mask = np.array([sample in selected for sample in block.samples.sample_id])
        added = sum_activations(block, mask)
        sums = added if sums is None else sums + added
    return xr.concat(parts, dim="sample", coords="minimal", compat="override"), sums, pushes


def pushes_file(rows: Iterable[dict], answers: Sequence[dict]) -> list[dict]:
    """The rows of a tokens file, in the order of the answers; others are left out."""
    by_sample = {row["sample_id"]: row for row in rows}
    return [by_sample[answer["sample_id"]] for answer in answers]


def attribution_file(scores: xr.Dataset, sums: xr.Dataset, answers: Sequence[dict]) -> xr.Dataset:
    """The dataset of an attribution file, its samples in the order of the answers.

    Args:
        scores: one entry a sample; samples that are not asked for are left out.
        sums: sums of activations over the `select` split.
        answers: rows of the generations file.

    Raises:
        LengthlensError: an answer was not attributed.
    """
    place = {sample: row for row, sample in enumerate(scores["sample_id"].to_numpy())}
    missing = [row["sample_id"] for row in answers if row["sample_id"] not in place]
    if missing:
        raise LengthlensError(
            f"{len(missing)} answers have no recorded activations, {missing[0]} among them; delete "
            "their shards and run again"
        )
    ordered = scores.isel(sample=[place[row["sample_id"]] for row in answers])
    labels = {name: ("sample", [row[name] for row in answers]) for name in LABELS if name != "n"}
    dataset = ordered.assign_coords(labels).merge(sums)
    tell_meanings(dataset, ATTRIBUTES)
    return dataset
