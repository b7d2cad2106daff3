"""Statistics of claims about the mechanism: a number that a table holds, with the table's interval.

What N does to the stream, to attention and to the final MLP is measured once, by the stages that
write the tables. `table` reads one row: that of the pair's model and the language which agrees with
`where`, and whose layer is nearest to a `depth`. Nothing is computed anew, so that a claim and the
table that it is about can never differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lengthlens.analysis.tables import rows_of
from lengthlens.claims.kinds import Data, Measurement, NoData
from lengthlens.models.depth import nearest_layer
from lengthlens.statistics import Bootstrap, Estimate, Interval


def tabled(statistic: Mapping[str, Any], data: Data, bootstrap: Bootstrap) -> Measurement:
    """One number of a table; the interval's level is the table's own.

    Raises:
        NoData: the run has no such model or table, or the table no such row or no number there.
    """
    tuning, language = statistic["tuning"], statistic["language"]
    model = data.model(tuning)
    source = f"tables/{statistic['table']}.csv"
    if statistic["table"] not in data.tables:
        raise NoData(f"the run has no {source}")
    wanted = {"model": model, "language": language} | statistic.get("where", {})
    row = _row(data.tables[statistic["table"]], source, wanted, statistic)
    found = Estimate.read(row, statistic["value"])
    if np.isnan(found.estimate):
        raise NoData(f"{source} has no {statistic['value']} there{_reason(row)}")
    interval = Interval.single(
        (found.estimate, found.low, found.high),
        (row["n_samples"], row["n_topics"]),
        level=bootstrap.level,
        method=source,
    )
    place = f" entering layer {int(row['layer'])}" if "depth" in statistic else ""
    labels = ", ".join(f"{key} {value}" for key, value in statistic.get("where", {}).items())
    return Measurement(
        interval=interval,
        text=f"{statistic['value']} of {source}: {labels}{place}",
        source=source,
    )


def _row(
    table: pd.DataFrame, source: str, wanted: Mapping[str, Any], statistic: Mapping[str, Any]
) -> pd.Series:
    """The one row with these labels, at the layer nearest to the depth."""
    missing = [name for name in (*wanted, statistic["value"]) if name not in table]
    if missing:
        raise NoData(f"{source} has no column {' or '.join(missing)}")
    rows = rows_of(table, **wanted)
    if "depth" in statistic and len(rows):
        last = int(table.loc[table["model"] == wanted["model"], "layer"].max())
        layer = nearest_layer(rows["layer"].tolist(), statistic["depth"], last)
        rows = rows[rows["layer"] == layer]
    if len(rows) != 1:
        labels = ", ".join(f"{name} {value}" for name, value in wanted.items())
        raise NoData(f"{source} has {len(rows) or 'no'} rows of {labels}")
    return rows.iloc[0]


def _reason(row: pd.Series) -> str:
    reason = row.get("absent", "")
    return f": {reason}" if isinstance(reason, str) and reason else ""
