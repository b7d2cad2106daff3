"""How tables are put together: their columns, and the rows of one file after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.statistics import ENDS

File = TypeVar("File")
Files = Mapping[tuple[str, str], xr.Dataset]  # by model and language


def header(*names: str) -> tuple[str, ...]:
    """Names of a table's columns, of words; `share±` is a number with its limits, three columns.

    `header("n share±", "level")` is n, share, share_low, share_high, level.
    """
    found: list[str] = []
    for word in " ".join(names).split():
        name = word.removesuffix("±")
        found += [name] if name == word else [end.format(name) for end in ENDS]
    return tuple(found)


def of_split(data: xr.Dataset, split: str) -> xr.Dataset:
    """The answers of `select` or `evaluate`."""
    return data.isel(sample=np.flatnonzero(data["split"].to_numpy() == split))


def table_of(
    files: Mapping[tuple[str, ...], File],
    rows: Callable[[File], Iterable[Mapping]],
    columns: Sequence[str],
) -> pd.DataFrame:
    """The rows of all files under one another, the key of the file in front of each.

    Args:
        files: by (model, language), or whatever the first columns are.
        rows: of one file; columns: of the table, which has them without a row, too.
    """
    found = [
        dict(zip(columns, key, strict=False)) | row
        for key, file in files.items()
        for row in rows(file)
    ]
    return pd.DataFrame(found, columns=list(columns))
