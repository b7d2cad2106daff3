"""How tables are put together: their columns, and the rows of one file after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.statistics import ENDS

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


def rows_of(table: pd.DataFrame, **values: Any) -> pd.DataFrame:
    """The rows that have these values in the columns of these names."""
    for name, value in values.items():
        table = table[table[name] == value]
    return table


def first_of(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows that have the first value of a column: of several modes or methods, one."""
    return table[table[column].isin(table[column].iloc[:1])]


def in_own_language(table: pd.DataFrame) -> pd.DataFrame:
    """The rows about what was found in a language and is measured in the same one."""
    return table[table["source_language"] == table["language"]]


def language_pairs(files: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Every model with every two of its languages."""
    for (model, first), (other, second) in itertools.combinations(files, 2):
        if model == other:
            yield model, first, second


def table_of(
    files: Mapping[tuple[str, ...], Any],
    rows: Callable[..., Iterable[Mapping]],
    columns: Sequence[str],
    *more: Mapping[tuple[str, ...], Any],
    **options: Any,
) -> pd.DataFrame:
    """The rows of all files under one another, the key of the file in front of each.

    Args:
        files: by (model, language), or whatever the first columns are.
        rows: of one file, the files of its key in `more`, and `options`.
        columns: of the table, which has them without a row, too.
    """
    found = [
        dict(zip(columns, key, strict=False)) | row
        for key in files
        for row in rows(*(own[key] for own in (files, *more)), **options)
    ]
    return pd.DataFrame(found, columns=list(columns))
