"""Parts of tables that a panel or a caption is about."""

from __future__ import annotations

import pandas as pd

from lengthlens.figures.style import Cast, percent
from lengthlens.figures.titles import span


def largest_sets(table: pd.DataFrame) -> pd.DataFrame:
    """The rows about the largest number `k` of components."""
    return table[table["k"] == table["k"].max()]


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
