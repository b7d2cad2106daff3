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

    def rows(table: pd.DataFrame) -> Iterator[dict]:
        for probe in PROBES:
            answers = table[table["probe"] == probe]
            gain = _gain(answers, bootstrap) if len(answers) else {}
            for n, part in answers.groupby("n"):
                yield {"n": n, "probe": probe} | _row(part, bootstrap) | gain

    return table_of(probes, rows, COLUMNS)


def _gain(answers: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, float]:
    """Slope of words on N; NaN for a single N."""
    one = np.zeros(len(answers), dtype=int)
    terms = slope_terms(answers["n"].to_numpy(), answers["words"].to_numpy(), one)
    return ratio_interval(*terms, answers["topic"].to_numpy(), bootstrap).columns("gain")


def _row(answers: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, float]:
    words, error = (answers[name].to_numpy(dtype=float) for name in ("words", "error"))
    values = {"words": words, "error": error, "absolute_error": np.abs(error)}
    cut = answers["truncated"].to_numpy(dtype=bool)
    return error_columns(values, cut, answers["topic"].to_numpy(), bootstrap)
