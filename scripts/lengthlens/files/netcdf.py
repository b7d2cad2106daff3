"""Reading and writing labelled arrays as netCDF, whole and with their provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import xarray as xr
from xarray.backends import H5NetCDFStore

from lengthlens.errors import LengthlensError
from lengthlens.files.formats import HDF5_LAYOUTS
from lengthlens.files.integrity import append_digest, check_digest
from lengthlens.files.provenance import check_schema
from lengthlens.files.refusals import refusals, unreadable
from lengthlens.files.whole import written_whole


def write_dataset(dataset: xr.Dataset, path: str | Path, made: Mapping) -> None:
    """Write a dataset; its attributes `schema` and `provenance` say what made it.

    Raises:
        ValueError: a variable is named like a dimension without being its coordinates.
    """
    check_names(dataset)
    dataset = dataset.assign_attrs(
        schema=made["schema"], provenance=json.dumps(made, sort_keys=True)
    )
    with written_whole(path) as temporary, refusals(path):
        # NOTE `Dataset.to_netcdf` has no argument for the layouts.
        store = H5NetCDFStore.open(temporary, "w", driver_kwds={"libver": HDF5_LAYOUTS})
        try:
            dataset.dump_to_store(store)
        finally:
            store.close()
        append_digest(temporary)


def check_names(dataset: xr.Dataset) -> None:
    """Check that only coordinates have a dimension's name.

    Older xarray cannot open a file in which, say, `head (layer, head)` has the name of its
    dimension, and R's ncdf4 takes the variable for coordinates.

    Raises:
        ValueError: naming the variables.
    """
    wrong = [
        f"{name} {variable.dims}".replace("'", "")
        for name, variable in dataset.variables.items()
        if name in dataset.dims and variable.dims != (name,)
    ]
    if wrong:
        raise ValueError(f"variables may not be named like a dimension: {', '.join(wrong)}")


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
    except (OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        raise unreadable(path, error) from error
    check_schema(path, dataset.attrs.get("schema"), schema)
    return dataset


def tell_meanings(dataset: xr.Dataset, meanings: Mapping[str, str]) -> None:
    """Give variables their meaning as `long_name`.

    A key is a variable's name, or its first words: `effect` is also the meaning of `effect_head`.
    """
    for name in map(str, dataset.variables):
        starts = [start for start in meanings if name.startswith(f"{start}_")]
        if name in meanings:
            dataset[name].attrs["long_name"] = meanings[name]
        elif starts and name in dataset.data_vars:
            dataset[name].attrs["long_name"] = meanings[starts[0]]
