"""Tables as shown on a page: short headings, few digits, and intervals next to their values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lengthlens.figures.numbers import MINUS, NONE

_HEADS = {"n": "N", "n_samples": "answers", "n_topics": "topics", "n_controls": "control sets"}
_LANGUAGES = ("language", "source_language", "target_language", "reference", "minus")
_DIGITS = 3  # significant ones


@dataclass(frozen=True)
class Grid:
    """A table as text.

    Attributes:
        title: what it holds.
        columns: heads; numeric: those whose cells are numbers.
        rows: cells in the order of the columns.
    """

    title: str
    columns: tuple[str, ...]
    numeric: frozenset[str]
    rows: tuple[tuple[str, ...], ...]


def with_names(table: pd.DataFrame, languages: Mapping[str, str]) -> pd.DataFrame:
    """A table with the languages' names (code -> name) in place of their codes."""
    columns = [name for name in table if name in _LANGUAGES]
    return table.assign(**{name: table[name].replace(dict(languages)) for name in columns})


def grid(table: pd.DataFrame, title: str) -> Grid:
    """Any table as text; `x`, `x_low` and `x_high` become one column."""
    limits = {name: {f"{name}_low", f"{name}_high"} for name in table}
    beside = set().union(*(pair for pair in limits.values() if pair <= set(table)))
    shown = [name for name in table if name not in beside]
    heads = tuple(_HEADS.get(name, name.replace("_", " ")) for name in shown)
    numeric = frozenset(
        head
        for head, name in zip(heads, shown, strict=True)
        if pd.api.types.is_numeric_dtype(table[name]) and table[name].dtype != bool
    )
    rows = tuple(tuple(_cell(row, name) for name in shown) for row in table.to_dict("records"))
    return Grid(title, heads, numeric, rows)


def _cell(row: dict, name: str) -> str:
    text, low, high = short(row[name]), row.get(f"{name}_low"), row.get(f"{name}_high")
    if pd.isna(low) or pd.isna(high):
        return text
    return f"{text} [{short(low)}, {short(high)}]"


def short(value: object) -> str:
    """A cell as text: numbers with three significant digits, whole ones whole; a dash for none."""
    if pd.isna(value):
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return str(value).replace("-", MINUS) if isinstance(value, int) else str(value)
    if value == 0 or not math.isfinite(value):
        return f"{value:g}".replace("-", MINUS)
    if value.is_integer() and abs(value) < 1e6:
        return f"{value:.0f}".replace("-", MINUS)
    digits = max(0, _DIGITS - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}" if digits <= 5 else f"{value:.{_DIGITS - 1}e}"
    return text.replace("-", MINUS)
