"""Words written by number of words asked for, within and beyond the N of the study, with dips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.parts import level_of
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import cases_of, language_name, stated, subject, told_models
from lengthlens.statistics import Estimate

_APART = 0.1


@style.styled()
def draw_extrapolation(table: pd.DataFrame, dips: pd.DataFrame, cast: Cast) -> Figure:
    """Draw words written and error by N, and each N's exactness against its neighbours'.

    One column per language; error and dips are shown for tuned models only, if there are any.

    Args:
        table: tables/extrapolation.csv.
        dips: tables/dip.csv.
        cast: models and all probed languages, in order.
    """
    table = table.assign(n=table["n"].astype(int))
    dips = dips.assign(n=dips["n"].astype(int))
    told = cast.only(told_models(cast))
    dips = rows_of(dips, measure="exact", against="neighbours")
    figure, panels = style.panel_grid([1.6, 1.2, 1.2], cast, sharex=True, sharey="row")
    for column, language in zip(panels.T, cast.languages, strict=True):
        own = rows_of(table, language=language)
        for axes in column:
            _shade(axes, own)
        _draw_by_n(column[0], own, cast, ("words",), "no answers")
        _draw_by_n(column[1], own, told, ("error",), "no answers")
        style.zero_line(column[2])
        dip = rows_of(dips, language=language)
        limits = ("value", "all_low", "all_high")  # that hold for all N together
        _draw_by_n(column[2], dip, told, limits, "nothing to compare", scale=100)
        column[0].set_title(language_name(language, cast))
    n = np.array(sorted(table["n"].unique()))
    for axes in panels[0]:
        axes.plot(n, n, color=style.MUTED, linewidth=0.8, linestyle="--", zorder=1)
    for axes in panels[1]:
        style.zero_line(axes)
    labels = ("words written", "error, words − N", "exact against its\nneighbours, points")
    style.label_grid(panels, "N, words asked for", labels)
    if len(n):
        panels[-1, 0].set_xticks(n[:: 1 + len(n) // 9])
    style.add_legend(figure, _legend(table, cast), columns=3)
    figure.set_label(title(table, cast))
    return figure


def title(table: pd.DataFrame, cast: Cast) -> str:
    """Whether answers grow with N beyond the N of the study."""
    own = table[table["probe"] == "extrapolation"]
    if own.empty:
        return "No N was asked for beyond those of the study"
    first = own.drop_duplicates(["model", "language"])  # the gain is one number for all its rows
    largest, who = int(own["n"].max()), subject(cast)
    cases = cases_of(first, "gain", cast)
    start = f"beyond the study, up to N = {largest}, answers of {who}"
    return stated(
        cases,
        f"{start} grow by {{by}} per word requested",
        f"{start} shrink by {{by}} per word requested",
        f"answers of {who} grow with N beyond the study, up to N = {largest},",
        unit="words",
    )


def _shade(axes: Axes, table: pd.DataFrame) -> None:
    """Mark the N of the study."""
    inside = table["n"][table["probe"] == "free"]
    if len(inside):
        axes.axvspan(inside.min() - 0.5, inside.max() + 0.5, color=style.HAIR, alpha=0.5, zorder=0)


def _draw_by_n(
    axes: Axes,
    table: pd.DataFrame,
    cast: Cast,
    columns: Sequence[str],
    empty: str,
    scale: float = 1,
) -> None:
    """The numbers of `columns` (of `Estimate.read`) by N; `empty` where there are none."""
    for index, (model, look) in enumerate(cast.looks.items()):
        own = rows_of(table, model=model).sort_values("n")
        x = own["n"].to_numpy(dtype=float) + style.beside(index, len(cast.tunings), _APART)
        style.interval_bars(axes, x, Estimate.read(own, *columns).times(scale), look)
    if table.empty:
        style.no_data(axes, empty)


def _legend(table: pd.DataFrame, cast: Cast) -> list:
    handles: list = []
    for model, look in cast.looks.items():
        count = int(rows_of(table, model=model)["n_samples"].sum())
        handles.append(look.handle(f"{model}: {count} answers"))
    asked = style.legend_entry("as many as asked for", color=style.MUTED, linestyle="--")
    studied = f"N of the study; bars: {level_of(table)} intervals"
    return [*handles, asked, Patch(color=style.HAIR, alpha=0.5, label=studied)]
