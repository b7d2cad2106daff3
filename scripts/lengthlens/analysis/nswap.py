"""What asking for another number does to the end margin on the same text: `tables/nswap.csv`.

One row a model, language, swap (-1, +1) and N, and one over all N; docs/files.md has the columns.
A model that follows the number asked for has a margin above 0: it is readier to end where it has
written as many words as it was asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.analysis.behaviour import ALL
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
    table = table_of(forced, _rows, COLUMNS, bootstrap=bootstrap)
    return table.astype({"n_swapped": "Int64"})


def _rows(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    """The mean over the legal swaps of some answers, and why the others were left out."""
    n = data["n"].to_numpy()
    numbers = [ALL, *map(str, np.unique(n))]
    for swap, number in itertools.product(data["swap"].to_numpy(), numbers):
        part = data.sel(swap=swap).isel(sample=(n.astype(str) == number) | (number == ALL))
        swapped = np.unique(part["n_swapped"])
        one = len(np.unique(part["n"])) == 1 and swapped[0] > 0
        found = mean_interval(part["nswap_margin"].to_numpy(), part["topic"].to_numpy(), bootstrap)
        reasons = part["nswap_reason"].to_numpy()
        yield {
            "swap": int(swap),
            "n": number,
            "n_swapped": int(swapped[0]) if one else pd.NA,
            **found.columns("margin"),
            **found.basis,
            "n_answers": len(reasons),
            **{reason: int((reasons == reason).sum()) for reason in REASONS.values()},
        }
