"""Claims about the mechanism say what a table says, and name what it does not hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lengthlens.claims.kinds import Data
from lengthlens.claims.verdicts import evaluate_claims
from lengthlens.statistics import Bootstrap

TRACING = {
    "kind": "table",
    "table": "tracing",
    "value": "share",
    "where": {"direction": "noising", "role": "mark"},
    "depth": 0.5,
    "tuning": "tuned",
    "language": "en",
}


def tracing() -> pd.DataFrame:
    """Half of N is at the mark from layer 2 of 0 to 4 on; nothing of it at the numeral there."""
    rows = [
        {
            "model": model, "language": "en", "direction": "noising", "layer": layer, "role": role,
            "share": share, "share_low": share - 0.1, "share_high": share + 0.1,
            "n_samples": 20, "n_topics": 9,
        }
        for model in ("m", "other")
        for role, late in (("mark", 0.8), ("numeral", 0.0))
        for layer in range(5)
        for share in [late if layer >= 2 else 0.3]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def row_of(statistic: dict, table: pd.DataFrame | None, direction: str = "above") -> pd.Series:
    claim = {"id": "c", "claim": "So.", "origin": "ours", "null_value": 0.5, "direction": direction}
    tables = {} if table is None else {statistic["table"]: table}
    data = Data({"tuned": "m"}, {}, {}, tables=tables)
    return evaluate_claims([claim | {"statistic": statistic}], data, Bootstrap()).iloc[0]


def test_the_claim_has_the_numbers_of_the_row_nearest_to_the_depth() -> None:
    row = row_of(TRACING, tracing())
    assert (row["value"], row["low"], row["high"]) == pytest.approx((0.8, 0.7, 0.9))
    assert (row["n"], row["n_topics"], row["unit"], row["verdict"]) == (20, 9, "share", "supported")
    assert row["statistic"].endswith("direction noising, role mark entering layer 2")
    assert row["source"] == "tables/tracing.csv"
    early = row_of(TRACING | {"depth": 0.2}, tracing())
    assert early["value"] == 0.3 and early["verdict"] == "not supported"
    gone = row_of(TRACING | {"where": {"direction": "noising", "role": "numeral"}}, tracing())
    assert gone["value"] == 0 and gone["verdict"] == "not supported"


def test_what_a_table_does_not_hold_is_named() -> None:
    assert row_of(TRACING, None)["reason"] == "the run has no tables/tracing.csv"
    other = row_of(TRACING | {"language": "it"}, tracing())
    assert other["verdict"] == "no data"
    assert "no rows of model m, language it, direction noising, role mark" in other["reason"]
    everywhere = {key: value for key, value in TRACING.items() if key != "depth"}
    assert "has 5 rows of model m" in row_of(everywhere, tracing())["reason"]
    wrong = row_of(TRACING | {"where": {"part": "mark"}}, tracing())
    assert wrong["reason"] == "tables/tracing.csv has no column part"


def test_a_number_that_could_not_be_had_gives_its_reason() -> None:
    table = tracing().assign(share=np.nan, share_low=np.nan, share_high=np.nan)
    assert row_of(TRACING, table)["reason"] == "tables/tracing.csv has no share there"
    table["absent"] = "no answer reaches a decision"
    assert row_of(TRACING, table)["reason"].endswith("there: no answer reaches a decision")
