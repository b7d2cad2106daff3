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

from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from lengthlens.ablation.selection import with_forced
from lengthlens.analysis.causes import (
    CASES,
    SCORES,
    Comparison,
    baselines,
    component_values,
    named_values,
)
from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.patching.sampled import SAMPLED
from lengthlens.statistics import Bootstrap

REFERENCES = ("norm",)  # the mean norm of an output: what any score must beat
OUTCOME = "noising_all"
COLUMNS = header(
    "model language kind over outcome score correlation± over_norm± n_components n_select "
    "n_evaluate n_topics level",
)


def compare_with_patches(
    attributions: Files, forced: Files, patching: Files, bootstrap: Bootstrap
) -> pd.DataFrame:
    """One row a model, language, kind, over and score, columns `COLUMNS`."""
    return table_of(patching, _rows, COLUMNS, attributions, forced, bootstrap=bootstrap)


def _rows(
    patching: xr.Dataset, attribution: xr.Dataset, forced: xr.Dataset, bootstrap: Bootstrap
) -> Iterator[dict]:
    """Every score of one kind of components against their patches."""
    scores = with_forced(attribution, forced, patching)
    sampled = patching["patched_head"].to_numpy() == SAMPLED
    patches = patching.sel(swap=1, positions="all")
    parts = {"head": sampled, "mlp": np.ones(len(sampled), dtype=bool)}
    for kind, over in CASES:
        chosen = component_values(kind, parts.get, lead=0)
        made = Comparison(scores, patches, (kind, over), bootstrap, chosen)
        labels = {"kind": kind, "over": over, "outcome": OUTCOME}
        effects = [(labels, named_values(made.evaluate, "noising", kind))]
        methods = (*SCORES, "atp", *baselines(kind, over))
        yield from made.rows(methods, REFERENCES, effects)
