"""The three ways to count words, side by side on the same free answers: `tables/counting.csv`.

No prompt says what a word is. A model that is exact under one convention cannot be so under
another wherever they differ, in Italian at every elision: "l'isola" is one word between blanks and
one segment of Unicode, but two where the article is counted apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from lengthlens.analysis.behaviour import error_columns
from lengthlens.analysis.tables import header, table_of
from lengthlens.language.words import CONVENTIONS, count_words
from lengthlens.statistics import DEFAULT, Bootstrap

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
    return table_of(probes, _rows, COLUMNS, asked=asked, bootstrap=bootstrap)


def _rows(table: pd.DataFrame, asked: str, bootstrap: Bootstrap) -> Iterator[dict]:
    free = table[table["probe"] == "free"]
    for convention in CONVENTIONS if len(free) else ():
        words, blanks = (
            np.array([count_words(text, how) for text in free["text"]], dtype=float)
            for how in (convention, "whitespace")
        )
        error = words - free["n"].to_numpy(dtype=float)
        yield {
            "convention": convention,
            "asked": convention == asked,
            "words": float(words.mean()),
            **error_columns(free, error, bootstrap, extra=words - blanks),
        }
