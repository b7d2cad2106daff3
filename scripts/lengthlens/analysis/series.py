"""Tuning as a series of checkpoints: `tables/series.csv`, from the tables of its models.

| quantity | of | meaning |
|---|---|---|
| `exact`, `absolute_error` | | as in tables/behaviour.csv, all N |
| `n_effect` | | mean N effect at swap +1, as in tables/patches.csv [logits] |
| `member` | a component | its noising patch: a share of the N effect of its own step |
| `attention` | a head, with `role` | attention from the decision step, as in tables/attention.csv |

The components are the members of the smallest circuit of the last step that has one. They were
chosen where their effects were large, so that what they do at that step is flattered by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from lengthlens.analysis.tables import header, rows_of

COLUMNS = header(
    "series step model language quantity component role value± n_samples n_topics level",
)
BEHAVIOUR = ("exact", "absolute_error")


def summarise_series(
    steps: Mapping[str, tuple[str, int]], tables: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """One row a series, step, language and quantity; none where no model belongs to a series."""
    order = sorted(steps, key=lambda model: steps[model])
    rows = []
    for model in order:
        series, step = steps[model]
        names = {"series": series, "step": step, "model": model}
        rows += [names | row for row in _behaviour(tables["behaviour"], model)]
        peers = [other for other in order if steps[other][0] == series]
        rows += [names | row for row in _mechanism(tables, model, peers)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _behaviour(table: pd.DataFrame, model: str) -> Iterator[dict]:
    own = rows_of(table, model=model, n="all", split="all")
    for row in own[own["language"] != "all"].to_dict("records"):
        for quantity in BEHAVIOUR:
            yield _row(row, quantity, quantity)


def _mechanism(tables: Mapping[str, pd.DataFrame], model: str, peers: list[str]) -> Iterator[dict]:
    own = rows_of(tables["patches"], model=model, swap=1, positions="all", direction="noising")
    for language, rows in own.groupby("language", sort=False):
        yield _row(rows.iloc[0].to_dict(), "n_effect", "n_effect")
        members = _members(tables["circuit_members"], peers, language)
        for row in rows[rows["component"].isin(members)].to_dict("records"):
            yield _row(row, "share", "member")
        heads = rows_of(tables["attention"], model=model, language=language)
        for row in heads[heads["component"].isin(members)].to_dict("records"):
            value = {"attention_low": row["low"], "attention_high": row["high"]}
            yield _row(row | value, "attention", "attention") | {"role": row["role"]}


def _members(table: pd.DataFrame, peers: list[str], language: str) -> list[str]:
    """The circuit of the last step that has one."""
    for model in reversed(peers):
        own = rows_of(table, model=model, language=language)
        if len(own):
            return own["component"].tolist()
    return []


def _row(row: Mapping, name: str, quantity: str) -> dict:
    ends = {f"value{end}": row[f"{name}{end}"] for end in ("", "_low", "_high")}
    shared = {key: row[key] for key in ("language", "n_samples", "n_topics", "level")}
    component = row.get("component", "") if quantity in ("member", "attention") else ""
    return shared | ends | {"quantity": quantity, "component": component, "role": ""}
