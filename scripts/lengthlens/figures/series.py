"""Tuning step by step: behaviour, the effect of N, and the members of the last model's circuit."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lengthlens.figures import style
from lengthlens.figures.parts import rows_of
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import apart, case_of, stated

PANELS = {
    "exact": "exact answers\n[share]",
    "n_effect": "effect of N\n[logits]",
    "member": "carried by\n[share of it]",
}
_MARKERS = "osD^vP<>"
_ROW = 1.4  # inches
_EMPTY = "no model belongs to a series"


@style.styled()
def draw_series(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw a row for each series and quantity, a column for each language.

    Args:
        table: tables/series.csv.
        cast: models and languages, in order.
    """
    rows = list(itertools.product(table["series"].unique(), PANELS)) or [("", "exact")]
    figure, panels = style.panel_grid([_ROW] * len(rows), len(cast.languages), 0.7, sharey="row")
    handles = {}
    for row, (series, quantity) in zip(panels, rows, strict=True):
        own = rows_of(table, series=series, quantity=quantity)
        for axes, (language, name) in zip(row, cast.languages.items(), strict=True):
            handles |= _draw_panel(axes, rows_of(own, language=language))
            axes.set_title(name, fontsize=7)
        row[0].set_ylabel(PANELS[quantity])
    for axes in panels[-1]:
        axes.set_xlabel("step of tuning")
    if handles:
        style.add_legend(figure, list(handles.values()))
    figure.set_label(title(table, cast))
    return figure


def title(table: pd.DataFrame, cast: Cast) -> str:
    """Whether answers are exact more often after the last step of tuning than after the first."""
    own = table[(table["quantity"] == "exact") & table["language"].isin(list(cast.languages))]
    cases = []
    for _, curve in own.groupby(["series", "language"], sort=False):
        ends = curve.sort_values("step").iloc[[0, -1]].to_dict("records")
        first, last = (case_of(row, "value", cast, "series") for row in ends)
        cases.append(apart(last, first))
    if not cases:
        return _EMPTY.capitalize()
    return stated(
        cases, "tuning makes answers exact more often", "tuning makes answers exact less often"
    )


def _draw_panel(axes: Axes, part: pd.DataFrame) -> dict:
    """A line for each component, or one; the handles of components by name."""
    if part["value"].isna().all():
        style.no_data(axes, _EMPTY)
        return {}
    style.zero_line(axes)
    handles = {}
    for place, (name, curve) in enumerate(part.groupby(part["component"], sort=True)):
        curve = curve.dropna(subset="value").sort_values("step")
        colour = (
            style.PART_COLOURS[place % len(style.PART_COLOURS)]
            if name
            else style.TUNING_COLOURS["tuned"]
        )
        axes.vlines(curve["step"], curve["value_low"], curve["value_high"], color=colour)
        (line,) = axes.plot(
            curve["step"], curve["value"], color=colour, marker=_MARKERS[place % len(_MARKERS)],
            markeredgecolor=style.PAPER, markeredgewidth=0.4, label=name,
        )  # fmt: skip
        if name:
            handles[name] = line
    axes.set_xscale("symlog", linthresh=100)
    return handles
