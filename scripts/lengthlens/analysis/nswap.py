"""What asking for another number does to the end margin on the same text: `tables/nswap.csv`.

One row a model, language, swap (-1, +1) and N, and one over all N; docs/files.md has the columns.
A model that follows the number asked for has a margin above 0: it is readier to end where it has
written as many words as it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool

from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.forced.nswap import REASONS
from lengthlens.statistics import DEFAULT, Bootstrap, mean_interval

COLUMNS = header(
    "model language swap n n_swapped margin± n_samples n_topics n_answers",
    *REASONS.values(),
    "level",
)


def summarise_nswap(forced: Files, bootstrap: Bootstrap = DEFAULT) -> pd.DataFrame:
    """The table."""
    table = table_of(forced, lambda data: _rows(data, bootstrap), COLUMNS)
    return table.astype({"n_swapped": "Int64"})


def _rows(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    n = data["n"].to_numpy()
    for swap in data["swap"].to_numpy().tolist():
        part = data.sel(swap=swap)
        for number in ["all", *np.unique(n).tolist()]:
            chosen = np.ones(len(n), dtype=bool) if number == "all" else n == number
            yield {"swap": swap, "n": str(number)} | _row(part, chosen, bootstrap)


def _row(data: xr.Dataset, chosen: Bool[np.ndarray, " sample"], bootstrap: Bootstrap) -> dict:
    """Mean over the legal swaps of some answers, and why the others were left out."""
    margins, topics = (data[name].to_numpy()[chosen] for name in ("nswap_margin", "topic"))
    reasons, others = (data[name].to_numpy()[chosen] for name in ("nswap_reason", "n_swapped"))
    numbers = np.unique(others)
    one = len(np.unique(data["n"].to_numpy()[chosen])) == 1 and numbers[0] > 0
    found = mean_interval(margins, topics, bootstrap)
    return {
        "n_swapped": int(numbers[0]) if one else pd.NA,
        **found.columns("margin"),
        **found.basis,
        "n_answers": int(chosen.sum()),
        **{reason: int((reasons == reason).sum()) for reason in REASONS.values()},
    }
