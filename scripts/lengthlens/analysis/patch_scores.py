"""Which score finds what carries N: every score against patches, as `tables/patch_scores.csv`.

The yardstick is the noising patch at all positions, swap +1: what taking a component from the run
with the next larger number does to the margin. A component's score is its mean over the `select`
answers, its patch the mean over the `evaluate` answers; their rank correlation over components says
how well the score foretells the patch. The scores are those of `causes` (the zero effect, `effect`,
is one of them) and AtP.

Where only some heads are patched, the random sample alone is compared: the best by AtP were chosen
by a score. `over` is as in `causes`: `all` components of a kind, or those `within` each layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.ablation.selection import sample_scores, with_forced
from lengthlens.analysis.causes import (
    KINDS,
    OVERS,
    SCORES,
    agreement_row,
    component_values,
    layers_of,
    named_values,
    parts_of,
    present_components,
    score_values,
    scores_over,
)
from lengthlens.analysis.tables import Files, header, of_split, table_of
from lengthlens.patching.sampled import SAMPLED
from lengthlens.statistics import Bootstrap, Ranking, rank_components

ATP = "atp"
REFERENCE = "norm"  # the mean norm of an output: what any score must beat
OUTCOME = "noising_all"
COLUMNS = header(
    "model language kind over outcome score correlation± over_norm± n_components n_select "
    "n_evaluate n_topics level",
)


def compare_with_patches(
    attributions: Files, forced: Files, patching: Files, bootstrap: Bootstrap
) -> pd.DataFrame:
    """One row a model, language, kind, over and score, columns `COLUMNS`."""

    def rows(files: tuple[xr.Dataset, xr.Dataset]) -> Iterator[dict]:
        for kind, over in itertools.product(KINDS, OVERS):
            if (kind, over) != ("mlp", "within"):
                yield from _rows(*files, {"kind": kind, "over": over}, bootstrap)

    joined = {
        key: (with_forced(attributions[key], forced[key], patches), patches)
        for key, patches in patching.items()
    }
    return table_of(joined, rows, COLUMNS)


def _rows(
    scores: xr.Dataset, patching: xr.Dataset, labels: Mapping[str, str], bootstrap: Bootstrap
) -> Iterator[dict]:
    """Every score of one kind of components against their patches."""
    kind, over = labels.values()
    select = of_split(scores, "select")
    evaluate = of_split(patching.sel(swap=1, positions="all"), "evaluate")
    sampled = patching["patched_head"].to_numpy() == SAMPLED
    parts = {"head": sampled.ravel(), "mlp": np.ones(len(sampled), dtype=bool)}
    keep = np.concatenate([parts[part] for part in parts_of(kind)])
    keep &= present_components(scores, kind)
    groups = layers_of(select, kind)[keep] if over == "within" else None

    def ranked(values: np.ndarray, data: xr.Dataset, side: int) -> Ranking:
        topics = data["topic"].to_numpy()
        return rank_components(values[:, keep], topics, bootstrap.apart(side), groups=groups)

    atp = component_values(select, kind, lambda data, part: sample_scores(data, ATP, part))
    patch = ranked(named_values(evaluate, "noising", kind), evaluate, 1)
    rankings = {
        name: ranked(atp if name == ATP else score_values(select, kind, name), select, 0)
        for name in (*SCORES, ATP, *scores_over(kind, over)[len(SCORES) :])
    }
    for name, score in rankings.items():
        references = {REFERENCE: rankings[REFERENCE]} if name != REFERENCE else {}
        row = agreement_row(score, patch, references, bootstrap.level)
        yield {**labels, "outcome": OUTCOME, "score": name} | row
