"""Supplement to `ablation`: every score, measure and model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from lengthlens.analysis.outcomes import measure_values
from lengthlens.analysis.tables import rows_of
from lengthlens.figures.ablation import MEASURES, Panels, draw_rows, exact_effects
from lengthlens.figures.parts import largest_sets
from lengthlens.figures.style import METHOD_COLOURS, METHOD_NAMES, Cast
from lengthlens.figures.titles import cases_of, tallied, tuned_first
from lengthlens.statistics import DEFAULT, Bootstrap


def draw_ablation_all(
    ablations: Mapping[tuple[str, str], xr.Dataset],
    effects: pd.DataFrame,
    cast: Cast,
    bootstrap: Bootstrap = DEFAULT,
) -> Figure:
    """Draw the ablation of the heads that each score chose, for all models: a row a measure.

    Models whose answers are never exact, even with nothing removed, have no row for that.

    Args:
        ablations: ablation file of each (model, language).
        effects: tables/ablation.csv.
        cast: models and languages, in order.
        bootstrap: of the intervals.
    """
    scores = tuple(METHOD_COLOURS)
    rows = [
        Panels(model, measure, scores, label)
        for model in tuned_first(cast)
        for measure, label in MEASURES.items()
        if measure != "exact" or _ever_exact(ablations, model)
    ]
    figure = draw_rows(ablations, rows, cast, bootstrap, legend=True)
    figure.set_label(title(effects, cast))
    return figure


def title(effects: pd.DataFrame, cast: Cast) -> str:
    """For which scores exact answers fall without the largest set of heads."""
    own = largest_sets(exact_effects(effects, cast))
    if own.empty:
        return "No heads were removed"
    k = int(own["k"].max())
    falls = {
        f"by {METHOD_NAMES[score]}": [case.negated for case in cases_of(rows, "change", cast)]
        for score in METHOD_COLOURS
        if len(rows := rows_of(own, method=score))
    }
    return f"Exact answers fall without the {k} heads that are ranked highest {tallied(falls)}"


def _ever_exact(ablations: Mapping[tuple[str, str], xr.Dataset], model: str) -> bool:
    """Whether any answer of a model is exact with nothing removed."""
    own = [data for (name, _), data in ablations.items() if name == model]
    return any(np.nansum(measure_values(data, "exact")[0]) > 0 for data in own)
