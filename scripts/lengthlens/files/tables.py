"""Reading and writing CSV tables, whole and with their provenance beside them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lengthlens.errors import LengthlensError
from lengthlens.files.provenance import read_with_sidecar, write_with_sidecar


def write_table(table: pd.DataFrame, path: str | Path, made: Mapping) -> None:
    """Write a table without its index.

    Raises:
        LengthlensError: the table has no columns. No reader could tell it from a broken file; a
            table of nothing has its columns all the same.
    """
    if not len(table.columns):
        raise LengthlensError(f"{path} would have no columns; name those of a table without rows")
    write_with_sidecar(path, table.to_csv(index=False, lineterminator="\n"), made)


def read_table(path: str | Path, schema: str, **options) -> pd.DataFrame:
    """Read a table and check its format; `options` go to `pandas.read_csv`.

    Its provenance is in `attrs["provenance"]`.

    Raises:
        LengthlensError: the table or its provenance is missing, changed, broken, or of another
            format.
    """
    text, made = read_with_sidecar(path, schema)
    try:
        table = pd.read_csv(io.StringIO(text), **options)
    except ValueError as error:
        raise LengthlensError(
            f"{path} is not a table ({error}); delete it and run again"
        ) from error
    table.attrs["provenance"] = made
    return table
