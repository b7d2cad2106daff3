"""The three ways to count words, side by side on the same free answers: `tables/counting.csv`.

No prompt says what a word is. A model that is exact under one convention cannot be so under
another wherever they differ, in Italian at every elision: "l'isola" is one word between blanks and
one segment of Unicode, but two where the article is counted apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from lengthlens.analysis.tables import header, table_of
from lengthlens.language.words import CONVENTIONS, count_words
from lengthlens.statistics import DEFAULT, Bootstrap, mean_interval, share_interval

COLUMNS = header(
    "model language convention asked words error± absolute_error± extra± exact± truncated "
    "n_samples n_topics level",
)


def compare_conventions(
    probes: Mapping[tuple[str, str], pd.DataFrame],
    asked: str,
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Make the table, of the free answers among the probes."""

    def rows(table: pd.DataFrame) -> Iterator[dict]:
        free = table[table["probe"] == "free"]
        for convention in CONVENTIONS if len(free) else ():
            about = {"convention": convention, "asked": convention == asked}
            yield about | _row(free, convention, bootstrap)

    return table_of(probes, rows, COLUMNS)


def _row(free: pd.DataFrame, convention: str, bootstrap: Bootstrap) -> dict[str, float]:
    topics, n = free["topic"].to_numpy(), free["n"].to_numpy(dtype=float)
    words, blanks = (
        np.array([count_words(text, how) for text in free["text"]], dtype=float)
        for how in (convention, "whitespace")
    )
    cut = free["truncated"].to_numpy(dtype=bool)
    error = words - n
    means = mean_interval(
        np.column_stack([error, np.abs(error), words - blanks]), topics, bootstrap
    )
    exact = share_interval((error == 0) & ~cut, topics, bootstrap.level)
    row = {"words": float(words.mean())} | means.columns("error", "absolute_error", "extra")
    row |= exact.columns("exact")
    return row | {
        "truncated": float(cut.mean()),
        "n_samples": len(free),
        "n_topics": len(np.unique(topics)),
        "level": bootstrap.level,
    }
