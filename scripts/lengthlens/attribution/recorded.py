"""Recorded shards as a stream of batches, or their scores joined."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import xarray as xr
from tqdm import tqdm

from lengthlens.errors import LengthlensError
from lengthlens.files.formats import ATTRIBUTION
from lengthlens.files.identity import check_agreement, check_computation, this_run
from lengthlens.files.netcdf import read_dataset
from lengthlens.generation.activations import open_activations
from lengthlens.generation.records import Batch

SUMS = ("sum_head", "sum_mlp", "count")


def recorded_dtype(
    paths: Sequence[str | Path], manifest: Mapping, config: Mapping | None = None
) -> str:
    """The precision in which the shards' model ran.

    Raises:
        LengthlensError: a shard was made with other weights than the manifest's, with another
            configuration than `config`, or in another precision, on another kind of device or with
            other versions than the first.
    """
    origins: dict[str, Mapping] = {}
    for path in paths:
        with open_activations(path) as recorded:
            made = recorded.provenance
        if made["model"]["sha256"] != manifest["sha256"]:
            raise LengthlensError(
                f"{path} was recorded from other weights ({made['model']['sha256'][:12]}) than "
                f"those of {manifest['model']} ({manifest['sha256'][:12]}); delete it and run again"
            )
        check_agreement(this_run(config or {}) | {str(path): made})
        origins[str(path)] = made
        found, dtype = (origins[str(one)]["config"]["dtype"] for one in (path, paths[0]))
        if found != dtype:
            raise LengthlensError(
                f"{path} was recorded in {found}, but {paths[0]} in {dtype}; delete the "
                "older of them and run again"
            )
    check_computation(origins)
    return dtype


def recorded_batches(paths: Sequence[str | Path], wanted: set[str]) -> Iterator[Batch]:
    """Batches of all shards, one after another, that hold a wanted sample."""
    for path in tqdm(paths, desc="attributing", unit="shard", delay=2):
        with open_activations(path) as recorded:
            for batch in recorded.batches():
                if wanted.intersection(batch.samples.sample_id):
                    yield batch


def joined_scores(
    paths: Sequence[str | Path], run: Mapping[str, Mapping] | None = None
) -> tuple[xr.Dataset, xr.Dataset]:
    """Scores and activation sums of shards that were attributed while generating.

    Sums run over all `select` prompts of the shards, also those at the end of the last shard that
    the study does not use.

    Raises:
        LengthlensError: a shard does not agree with `run` (`identity.this_run`), or was computed
            in another way than the first (`identity.check_computation`).
    """
    shards = [read_dataset(path, ATTRIBUTION) for path in paths]
    made = [json.loads(shard.attrs["provenance"]) for shard in shards]
    origins = dict(zip(map(str, paths), made, strict=True))
    check_computation(origins)
    check_agreement({**(run or {}), **origins})
    scores = xr.concat(
        [shard.drop_vars(SUMS) for shard in shards],
        dim="sample",
        coords="minimal",
        compat="override",
        combine_attrs="drop",
    )
    sums = functools.reduce(operator.add, [shard[list(SUMS)] for shard in shards])
    return scores, sums
