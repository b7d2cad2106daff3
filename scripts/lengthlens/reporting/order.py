"""The order in which models are mentioned."""

from __future__ import annotations

import pandas as pd


def least_cut_first(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by model, beginning with the model with the fewest answers cut at the token limit.

    Its numbers are least affected by censoring. Models with equal counts keep their order.
    """
    if table.empty:
        return table
    share = table.groupby("model", sort=False)["truncated"].mean().fillna(0)
    models = share.sort_values(kind="stable").index
    return pd.concat([table[table["model"] == model] for model in models])
