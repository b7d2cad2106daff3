"""Tuning step by step: behaviour, the effect of N, and the members of the last model's circuit."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import apart, case_of, stated

PANELS = {
    "exact": "exact answers\n[share]",
    "n_effect": "effect of N\n[logits]",
    "member": "carried by\n[share of it]",
}
CARRIES = 0.1  # of the effect of N: a component is named if its whole interval lies above it
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
    figure, panels = style.panel_grid([_ROW] * len(rows), cast, 0.7, sharex=True, sharey="row")
    for axes, (series, quantity), language in style.cells(panels, rows, cast):
        _draw_panel(axes, rows_of(table, series=series, quantity=quantity, language=language))
    style.label_grid(panels, "step of tuning", [PANELS[quantity] for _, quantity in rows])
    style.name_columns(panels, cast, fontsize=7)
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


def _draw_panel(axes: Axes, part: pd.DataFrame) -> None:
    """One line, or one for each component: named at its end if it ever carries much, else grey."""
    if style.lacks_data(axes, part["value"], _EMPTY):
        return
    style.zero_line(axes)
    axes.set_xscale("symlog", linthresh=100)
    most = part.groupby("component")["value_low"].max()
    colours = dict(zip(most[most > CARRIES].index, itertools.cycle(style.PART_COLOURS)))
    ends = []
    for name, curve in part.groupby("component"):
        curve = curve.dropna(subset="value").sort_values("step")
        colour = colours.get(name, style.HAIR) if name else style.TUNING_COLOURS["tuned"]
        look = {"color": colour, "zorder": 2 if colour == style.HAIR else 3}
        axes.vlines(curve["step"], curve["value_low"], curve["value_high"], **look)
        axes.plot(
            curve["step"], curve["value"], marker="o", markeredgecolor=style.PAPER,
            markeredgewidth=0.4, **look,
        )  # fmt: skip
        if name in colours:
            ends.append((curve["value"].iloc[-1], name, colour))
    style.label_lines(axes, ends)
