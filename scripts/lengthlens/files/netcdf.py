"""Reading and writing labelled arrays as netCDF, whole and with their provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import xarray as xr

from lengthlens.errors import LengthlensError
from lengthlens.files.integrity import append_digest, check_digest
from lengthlens.files.provenance import check_schema
from lengthlens.files.whole import written_whole


def write_dataset(dataset: xr.Dataset, path: str | Path, made: Mapping) -> None:
    """Write a dataset; its attributes `schema` and `provenance` say what made it."""
    dataset = dataset.assign_attrs(
        schema=made["schema"], provenance=json.dumps(made, sort_keys=True)
    )
    with written_whole(path) as temporary:
        dataset.to_netcdf(temporary, engine="h5netcdf")
        append_digest(temporary)


def read_dataset(path: str | Path, schema: str) -> xr.Dataset:
    """Read a dataset into memory and check its checksum and format.

    Raises:
        LengthlensError: the file is missing, was changed, cannot be read, or has another format.
    """
    try:
        check_digest(path)
    except FileNotFoundError:
        raise LengthlensError(f"{path} does not exist; run the stage that makes it") from None
    try:
        with xr.open_dataset(path, engine="h5netcdf") as opened:
            dataset = opened.load()
    except (OSError, ValueError, KeyError) as error:
        raise LengthlensError(
            f"{path} cannot be read as netCDF ({error}); delete it and run again"
        ) from error
    check_schema(path, dataset.attrs.get("schema"), schema)
    return dataset
