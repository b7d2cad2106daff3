"""Reading and writing CSV tables, whole and with their provenance beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from lengthlens.errors import LengthlensError
from lengthlens.files import written_whole
from lengthlens.provenance import read_sidecar, write_sidecar


def write_table(table: pd.DataFrame, path: str | Path, made: Mapping) -> None:
    """Write a table without its index."""
    write_sidecar(path, made)
    with written_whole(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def read_table(path: str | Path, schema: str, **options) -> pd.DataFrame:
    """Read a table and check its format; `options` go to `pandas.read_csv`.

    Raises:
        LengthlensError: the table or its provenance is missing, broken, or of another format.
    """
    read_sidecar(path, schema)
    try:
        return pd.read_csv(path, **options)
    except FileNotFoundError:
        raise LengthlensError(f"{path} does not exist; run the stage that makes it") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise LengthlensError(
            f"{path} is not a table ({error}); delete it and run again"
        ) from error
