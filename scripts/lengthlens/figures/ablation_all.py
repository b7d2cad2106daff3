"""Supplement to `ablation`: every score and every model."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from lengthlens.figures.ablation import draw_scores_removed
from lengthlens.figures.style import Cast
from lengthlens.statistics import DEFAULT, Bootstrap

TITLE = "Ablation of chosen heads, every score and model"


def draw_ablation_all(
    ablations: Mapping[tuple[str, str], xr.Dataset], cast: Cast, bootstrap: Bootstrap = DEFAULT
) -> Figure:
    """Draw the ablation of the heads that each score chose, for all models.

    Args:
        ablations: ablation file of each (model, language).
        cast: models and languages, in order.
        bootstrap: of the intervals.
    """
    return draw_scores_removed(ablations, cast, bootstrap)
