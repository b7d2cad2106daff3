"""The tests of claims.yaml, made, corrected and judged: `tables/confirmatory.csv`.

1. Every test is made for each pair of models that it concerns: `score_tests` and `set_tests`.
2. Holm's correction keeps the chance of any false positive in a *family* at 1 - level. A family is
   all tests of one status and one kind about one pair of models; the column `family` says which. A
   test of it that could not be made enters with p = 1, which only makes the others harder to pass.
3. Verdicts. Confirmatory tests are `shown` or `not shown`; those of models whose results were seen
   before are exploratory and no more than `suggested` or `not suggested`. A permutation test is
   only shown or suggested where the score also exceeds the output norm. `no data`: the run has no
   such model or file; `not tested`: it has, but not enough for a p-value; `reason` says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.ablation.hypotheses import CONFIRMATORY, Hypothesis
from lengthlens.analysis.score_tests import NORM, NoEffect, score_test
from lengthlens.analysis.set_tests import MODES, set_test
from lengthlens.analysis.tables import header
from lengthlens.statistics import DEFAULT, Bootstrap, holm

VERDICTS = {True: ("shown", "not shown"), False: ("suggested", "not suggested")}  # by confirmatory
POSITIVE = ("shown", "suggested")
NOT_TESTED, NO_DATA = "not tested", "no data"
COLUMNS = header(
    "id claim status test family model language method effect_name direction mode k components "
    "n_components n_samples n_topics n_draws n_possible chosen control value±",
    *(f"effect_{mode}±" for mode in MODES),
    "over_norm± p p_holm verdict reason level",
)
Files = Mapping[str, Mapping[tuple[str, str], xr.Dataset]]


def confirm(
    hypotheses: Sequence[Hypothesis],
    pairs: Sequence[Mapping[str, str]],
    files: Files,
    bootstrap: Bootstrap = DEFAULT,
) -> pd.DataFrame:
    """Make all tests of a run.

    Args:
        hypotheses: the tests of claims.yaml.
        pairs: tuning -> name, of each pair of models.
        files: folder (`ablation`, `attribution`, `forced`) -> file of each (model, language).
        bootstrap: of the intervals and the permutations; 1 - level is a family's error rate.

    Returns:
        One row a test and pair that it concerns, columns `COLUMNS`; a test of models that the run
        lacks has one row. `id` is unique: it carries the model's name where a test is made twice.
    """
    level = bootstrap.level
    rows = [
        _labels(one, pair.get(one.tuning, ""), level)
        | {"family": f"{one.status} {one.test} tests of {' and '.join(pair.values())}"}
        | _made(one, pair, files, bootstrap)
        for pair in pairs
        for one in hypotheses
        if one.concerns(pair)
    ]
    for one in hypotheses:
        if not any(map(one.concerns, pairs)):
            models = " or ".join(one.models)
            lacking = {"verdict": NO_DATA, "reason": f"the run has no model {models}"}
            rows.append(_labels(one, models, level) | lacking)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for _, family in table[table["family"] != ""].groupby("family"):
        table.loc[family.index, "p_holm"] = holm(family["p"].fillna(1.0).to_numpy(dtype=float))
    judged = [_judge(row, level) for row in table.to_dict("records")]
    table["verdict"], table["reason"] = zip(*judged, strict=True) if judged else ((), ())
    twice = table["id"].duplicated(keep=False)
    table.loc[twice, "id"] = table["id"] + "." + table["model"]
    return table


def _labels(one: Hypothesis, model: str, level: float) -> dict:
    names = ("id", "claim", "status", "test", "language", "method", "direction")
    row = {name: getattr(one, name) for name in names}
    row |= {"k": np.nan if one.k is None else one.k, "effect_name": one.effect}
    return row | {"model": model, "family": "", "p": np.nan, "reason": "", "level": level}


def _made(one: Hypothesis, models: Mapping[str, str], files: Files, bootstrap: Bootstrap) -> dict:
    """The part of the row that the test gives; without its files a verdict and a reason."""
    if one.tuning not in models:
        return {"verdict": NO_DATA, "reason": f"the run has no {one.tuning} model"}
    key = (models[one.tuning], one.language)
    needed = ["ablation"] if one.test == "set" else ["attribution", "forced"]
    for folder in needed:
        if key not in files.get(folder, {}):
            lacking = f"the run has no {folder}/{key[0]}.{key[1]}.nc"
            return {"verdict": NO_DATA, "reason": lacking}
    opened = [files[folder][key] for folder in needed]
    if one.test == "set":
        return set_test(one, *opened, bootstrap)
    try:
        return score_test(one, *opened, bootstrap)
    except NoEffect as missing:
        return {"verdict": NO_DATA, "reason": str(missing)}


def _judge(row: Mapping, level: float) -> tuple[str, str]:
    """Verdict and reason of a row."""
    if row["verdict"] == NO_DATA:
        return NO_DATA, row["reason"]
    if np.isnan(row["p"]):
        return NOT_TESTED, row["reason"]
    yes, no = VERDICTS[row["status"] == CONFIRMATORY]
    if row["p_holm"] > 1 - level:
        return no, ""
    if row["test"] == "permutation" and row["method"] != NORM and not row["over_norm_low"] > 0:
        return no, "the score is not shown to exceed the output norm, which may be all it follows"
    return yes, ""
