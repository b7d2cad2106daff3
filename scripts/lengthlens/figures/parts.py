"""Parts of tables that a panel or a caption is about."""

from __future__ import annotations

import pandas as pd

from lengthlens.figures.style import Cast, percent
from lengthlens.figures.titles import span


def rows_of(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """The rows that have these values in the columns of these names."""
    for name, value in values.items():
        table = table[table[name] == value]
    return table


def largest_sets(table: pd.DataFrame) -> pd.DataFrame:
    """The rows about the largest number `k` of components."""
    return table[table["k"] == table["k"].max()]


def in_own_language(table: pd.DataFrame) -> pd.DataFrame:
    """The rows about what was found in a language and is measured in the same one."""
    return table[table["source_language"] == table["language"]]


def first_of(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows that have the first value of a column: of several modes or methods, one."""
    return table[table[column].isin(table[column].unique()[:1])]


def level_of(table: pd.DataFrame) -> str:
    """The level of a table's intervals: "95 %"."""
    return percent(table["level"].iloc[0] if len(table) else 0.95)


def drawn_models(table: pd.DataFrame, cast: Cast) -> list[str]:
    """The models with rows in a table; if there are none, the last one, whose panels stay empty."""
    models = [model for model in cast.tunings if (table["model"] == model).any()]
    return models or list(cast.tunings)[-1:]


def basis(table: pd.DataFrame, answers: str = "answers") -> str:
    """On what a table rests, for a caption: "9 to 12 answers of at least 7 topics"."""
    topics = int(table["n_topics"].min())
    return f"{span(table['n_samples'], 'count')} {answers} of at least {topics} topics"
