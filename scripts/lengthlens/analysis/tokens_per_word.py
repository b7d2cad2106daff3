"""Do answers err more where their words are of more tokens? `tables/tokens_per_word.csv`.

One regression a model, language and measure: the measure of each free answer on the mean number of
tokens of its words, among answers to the same N. With x and y less their means over the answers to
that N, the least-squares slope is

    slope = sum x y / sum x^2,

a ratio of sums, so that its interval is clustered by topic like every other (`statistics`). The
means are taken as known. Only words up to the N-th count, without punctuation, so that the error
cannot be part of x; answers cut at the token limit have no known error and are left out.

The language `all` takes a model's languages together, each answer compared with those to the same N
in the same language.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Num, Shaped

from lengthlens.analysis.behaviour import ALL
from lengthlens.analysis.tables import header, table_of
from lengthlens.statistics import DEFAULT, Bootstrap, mean_interval, ratio_interval

MEASURES = ("error", "absolute_error", "exact")
COLUMNS = header(
    "model language measure slope± tokens_per_word± spread one_token n_samples n_erring n_topics "
    "n_cut level",
)


def answer_values(answers: pd.DataFrame, measure: str) -> Float[np.ndarray, " answer"]:
    """error or |error| in words, or 1 where an answer ended by itself with N words, else 0."""
    error = answers["error"].to_numpy(dtype=float)
    if measure == "absolute_error":
        return np.abs(error)
    if measure == "exact":
        return ((error == 0) & ~answers["truncated"].to_numpy(dtype=bool)).astype(float)
    return error


def slope_terms(
    x: Num[np.ndarray, " sample"],
    y: Num[np.ndarray, " sample"],
    strata: Shaped[np.ndarray, " sample"],
) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
    """Numerators x y and denominators x^2 of the slope, x and y less their stratum's means."""
    table = pd.DataFrame({"x": x, "y": y}, dtype=float)
    table = table - table.groupby(np.asarray(strata)).transform("mean")
    return (table["x"] * table["y"]).to_numpy(), (table["x"] ** 2).to_numpy()


def usable(free: pd.DataFrame) -> pd.DataFrame:
    """Free answers that were not cut and have a word."""
    return free[~free["truncated"].astype(bool) & free["tokens_per_word"].notna()]


def regress_errors(
    probes: Mapping[tuple[str, str], pd.DataFrame],
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Make the table."""
    return table_of(_free_answers(probes), _rows, COLUMNS, bootstrap=bootstrap)


def _free_answers(
    probes: Mapping[tuple[str, str], pd.DataFrame],
) -> dict[tuple[str, str], pd.DataFrame]:
    """Free answers of each model and language, then of each model in all its languages."""
    found = {
        (model, language): free.assign(cell=language + free["n"].astype(str))
        for (model, language), table in probes.items()
        for free in [table[table["probe"] == "free"]]
    }
    for model in dict.fromkeys(model for model, _ in probes):
        own = [free for (name, _), free in found.items() if name == model]
        if len(own) > 1:
            found[model, ALL] = pd.concat(own, ignore_index=True)
    return found


def _rows(free: pd.DataFrame, bootstrap: Bootstrap) -> Iterator[dict]:
    answers = usable(free)
    topics, cells = answers["topic"].to_numpy(), answers["cell"].to_numpy()
    x = answers["tokens_per_word"].to_numpy(dtype=float)
    mean = mean_interval(x, topics, bootstrap)
    for measure in MEASURES if len(answers) else ():
        top, bottom = slope_terms(x, answer_values(answers, measure), cells)
        yield {
            "measure": measure,
            **ratio_interval(top, bottom, topics, bootstrap).columns("slope"),
            **mean.columns("tokens_per_word"),
            "spread": float(np.sqrt(bottom.mean())),
            "one_token": float(answers["one_token"].mean()),
            "n_erring": int((answers["error"] != 0).sum()),
            "n_cut": int(free["truncated"].sum()),
            **mean.basis,
        }
