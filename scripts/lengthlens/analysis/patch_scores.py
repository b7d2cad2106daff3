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

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Int

from lengthlens.ablation.selection import sample_scores, with_forced
from lengthlens.analysis.causes import (
    BASELINES,
    KINDS,
    OVERS,
    SCORES,
    agreement_row,
    component_values,
    layers_of,
    score_values,
)
from lengthlens.analysis.tables import header
from lengthlens.patching.sampled import SAMPLED
from lengthlens.statistics import Bootstrap, Ranking, rank_components

ATP = "atp"
REFERENCE = "norm"  # the mean norm of an output: what any score must beat
OUTCOME = "noising_all"
COLUMNS = header(
    "model language kind over outcome score correlation± over_norm± n_components n_select "
    "n_evaluate n_topics level",
)

Files = Mapping[tuple[str, str], xr.Dataset]


def compare_with_patches(
    attributions: Files, forced: Files, patching: Files, bootstrap: Bootstrap
) -> pd.DataFrame:
    """One row a model, language, kind, over and score, columns `COLUMNS`.

    Args:
        attributions, forced, patching: the files of each (model, language).
        bootstrap: of the intervals.
    """
    rows = []
    for (model, language), patches in patching.items():
        made = _Comparison(
            attributions[model, language], forced[model, language], patches, bootstrap
        )
        rows += [
            {"model": model, "language": language, "kind": kind, "over": over} | row
            for kind in KINDS
            for over in (OVERS[:1] if kind == "mlp" else OVERS)
            for row in made.rows(kind, over)
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


class _Comparison:
    """One model in one language."""

    def __init__(
        self,
        attribution: xr.Dataset,
        forced: xr.Dataset,
        patching: xr.Dataset,
        bootstrap: Bootstrap,
    ) -> None:
        data = with_forced(attribution, forced, patching)
        patches = patching.sel(swap=1, positions="all")
        split = data["split"].to_numpy()
        self.select = data.isel(sample=np.flatnonzero(split == "select"))
        self.evaluate = patches.isel(sample=np.flatnonzero(split == "evaluate"))
        self.sampled = patching["patched_head"].to_numpy() == SAMPLED
        self.bootstrap = bootstrap

    def rows(self, kind: str, over: str) -> list[dict]:
        """Every score against the patch."""
        keep, layers = self._kept(kind), layers_of(self.select, kind)
        groups = layers[keep] if over == "within" else None
        patch = self._ranking(self._patches(kind)[:, keep], self.evaluate, groups, 1)
        names = [*SCORES, ATP]
        if over == "all":
            names += BASELINES if kind != "mlp" else BASELINES[1:]
        rankings = {
            name: self._ranking(self._scores(kind, name)[:, keep], self.select, groups, 0)
            for name in names
        }
        return [self._row(name, rankings, patch) for name in names]

    def _row(self, name: str, rankings: Mapping[str, Ranking], patch: Ranking) -> dict:
        references = {REFERENCE: rankings[REFERENCE]} if name != REFERENCE else {}
        row = agreement_row(rankings[name], patch, references, self.bootstrap.level)
        return {"outcome": OUTCOME, "score": name} | row

    def _kept(self, kind: str) -> Bool[np.ndarray, " component"]:
        parts = {"head": self.sampled.ravel(), "mlp": np.ones(len(self.sampled), dtype=bool)}
        parts["all"] = np.concatenate([parts["head"], parts["mlp"]])
        return parts[kind]

    def _scores(self, kind: str, name: str) -> np.ndarray:
        if name != ATP:
            return score_values(self.select, kind, name)
        return component_values(
            self.select, kind, lambda data, part: sample_scores(data, ATP, part)
        )

    def _patches(self, kind: str) -> np.ndarray:
        return component_values(
            self.evaluate, kind, lambda data, part: data[f"noising_{part}"].to_numpy()
        )

    def _ranking(
        self,
        values: np.ndarray,
        data: xr.Dataset,
        groups: Int[np.ndarray, " component"] | None,
        side: int,
    ) -> Ranking:
        topics = data["topic"].to_numpy()
        return rank_components(values, topics, self.bootstrap.apart(side), groups=groups)
