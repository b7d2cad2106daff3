"""What the drop of the end margin consists of: `tables/repair.csv`.

One row a model, language, chosen set and term of the decomposition (`ablation.repair`):
`contribution` is the mean over samples of what the term adds to the drop [logits]. Positive: margin
lost. A component that was not removed adds what it gives less than before; the removal takes away
what it read from the removed ones (mediation), and it may give more of its own (self-repair). The
two are not told apart here: only their sum is known, and a negative one says that self-repair
outweighs.

| term | of the drop |
|---|---|
| `drop` | all of it |
| `direct` | what the removed components themselves gave |
| `heads`, `mlps` | all other heads, all other MLPs |
| `final_mlp` | the last MLP alone (also part of `mlps`); NaN where it is itself removed |
| `scale` | the final norm's scale |

Rows with a language in `minus` are differences between two languages, paired by topic.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from lengthlens.analysis.effects import GROUP, ChosenSet, chosen_sets, row_means
from lengthlens.analysis.tables import Files, header, language_pairs
from lengthlens.statistics import (
    DEFAULT,
    Bootstrap,
    Interval,
    difference_interval,
    mean_interval,
)

TERMS = ("drop", "direct", "heads", "mlps", "final_mlp", "scale")
COLUMNS = header(
    "model language minus",
    *GROUP[1:],
    "kind components term n_samples n_topics n_controls contribution± control level",
)


def term_values(data: xr.Dataset, term: str) -> Float[np.ndarray, "condition sample"]:
    """A term for every condition and sample, in logits; NaN where it is not defined."""
    if term in ("drop", "direct", "scale"):
        return data[term].to_numpy().astype(float)
    if term == "final_mlp":
        final = data["share_mlp"].isel(layer=-1).where(~data["removed_mlp"].isel(layer=-1))
        return final.transpose("condition", "sample").to_numpy().astype(float)
    kind, dims = {"heads": ("head", ("layer", "head")), "mlps": ("mlp", ("layer",))}[term]
    # NOTE a share is NaN of what a layer lacks, too; the drop only where nothing is defined.
    kept = data[f"share_{kind}"].where(~data[f"removed_{kind}"], 0.0).fillna(0.0)
    total = kept.sum(dims, skipna=False).where(data["drop"].notnull())
    return total.transpose("condition", "sample").to_numpy().astype(float)


def summarise_repair(repairs: Files, bootstrap: Bootstrap = DEFAULT) -> pd.DataFrame:
    """All terms of all chosen sets, and their differences between languages."""
    rows = [
        {"model": model, "language": language, "minus": ""} | row
        for (model, language), data in repairs.items()
        for row in _rows(data, bootstrap)
    ]
    for model, first, second in language_pairs(repairs):
        named = {"model": model, "language": second, "minus": first}
        sides = repairs[model, second], repairs[model, first]
        rows += [named | row for row in _differences(*sides, bootstrap)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    sets, topics = chosen_sets(data), data["topic"].to_numpy()
    for term in TERMS if sets else ():
        values = term_values(data, term)
        chosen = values[[found.place for found in sets]]
        interval = mean_interval(chosen.T, topics, bootstrap)
        for column, found in enumerate(sets):
            draws = row_means(values[found.controls])
            draws = draws[np.isfinite(draws)]
            yield _row(found, data, term, interval[column]) | {
                "components": str(data["components"].to_numpy()[found.place]),
                "n_controls": len(draws),
                "control": draws.mean() if len(draws) else np.nan,
            }


def _differences(first: xr.Dataset, second: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    """Terms of `first` minus those of `second`, for the sets that both have."""
    places = [
        {tuple(found.labels[name] for name in GROUP[1:]): found for found in chosen_sets(data)}
        for data in (first, second)
    ]
    shared = [key for key in places[0] if key in places[1]]
    for term in TERMS if shared else ():
        sides = []
        for data, found in zip((first, second), places, strict=True):
            values = term_values(data, term)[[found[key].place for key in shared]].T
            sides.append((values, np.ones(len(values))))
        topics = first["topic"].to_numpy(), second["topic"].to_numpy()
        interval = difference_interval(sides[0], topics[0], sides[1], topics[1], bootstrap)
        for column, key in enumerate(shared):
            row = _row(places[0][key], first, term, interval[column])
            yield row | {"components": "", "n_controls": 0}


def _row(found: ChosenSet, data: xr.Dataset, term: str, contribution: Interval) -> dict:
    """What the rows of a set and of a difference have in common."""
    kind = {"kind": str(data["kind"].to_numpy()[found.place]), "term": term}
    return found.labels | kind | contribution.columns("contribution") | contribution.basis
