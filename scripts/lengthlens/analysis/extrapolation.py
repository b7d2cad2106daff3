"""How far does control extend beyond the study's N? `tables/extrapolation.csv`.

`gain` is the slope of words written on N: 1 for a model that follows, 0 for one that writes what it
always writes. It rests on all N of a probe, and is the same in all its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from lengthlens.analysis.behaviour import error_columns
from lengthlens.analysis.tables import header, table_of
from lengthlens.analysis.tokens_per_word import slope_terms
from lengthlens.statistics import DEFAULT, Bootstrap, ratio_interval

PROBES = ("free", "extrapolation")
COLUMNS = header(
    "model language n probe words± error± absolute_error± exact± truncated n_samples n_topics "
    "level gain±",
)


def extrapolate(
    probes: Mapping[tuple[str, str], pd.DataFrame],
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Make the table."""
    return table_of(probes, _rows, COLUMNS, bootstrap=bootstrap)


def _rows(table: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict]:
    for probe in PROBES:
        answers = table[table["probe"] == probe]
        if answers.empty:
            continue
        n, words, topics = (answers[name].to_numpy() for name in ("n", "words", "topic"))
        terms = slope_terms(n, words, np.zeros(len(answers)))
        gain = ratio_interval(*terms, topics, bootstrap).columns("gain")
        for number, part in answers.groupby("n"):
            words, error = (part[name].to_numpy(dtype=float) for name in ("words", "error"))
            yield {"n": number, "probe": probe, **gain} | error_columns(
                part, error, bootstrap, words=words
            )
