"""How the end margin builds up with depth, in the tuned and the untuned model."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.parts import basis
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import cases_of, span, stated, subject
from lengthlens.statistics import Estimate

_ROW = 1.9  # inches


@style.styled()
def draw_depth(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw one column a language; a row for own answers, and one for each text that models share.

    Args:
        table: tables/depth.csv.
        cast: models and languages, in order.
    """
    own = table[table["text"] == table["model"]]
    by_author = {author: rows_of(table, text=author) for author in cast.tunings}
    parts = {"own answers": own} | {
        f"answers of {author}": part
        for author, part in by_author.items()
        if part["model"].nunique() > 1
    }
    figure, panels = style.panel_grid([_ROW] * len(parts), cast, 0.6, sharex=True, sharey=True)
    for axes, name, language in style.cells(panels, parts, cast):
        _draw_panel(axes, rows_of(parts[name], language=language), cast)
        told = f"{cast.languages[language]}, {name}"
        axes.set_title(textwrap.fill(told, 34, break_on_hyphens=False), fontsize=7)
    style.label_grid(panels, "layers added, final scale", "end margin so far [logits]")
    drawn = [model for model in cast.tunings if (table["model"] == model).any()]
    if drawn:
        style.add_legend(figure, [cast.looks[model].handle(model) for model in drawn])
    figure.set_label(title(own, cast))
    return figure


def title(own: pd.DataFrame, cast: Cast) -> str:
    """From which layer on the models favour ending at the step where they should end."""
    ends, firsts = [], []
    for _, curve in own.groupby(["model", "language"], sort=False):
        curve = curve.sort_values("place")
        cases = cases_of(curve, "margin", cast)
        if not cases:
            continue
        ends.append(cases[-1])
        above = [case.side() > 0 for case in cases]
        if above[-1]:
            first = len(above) - above[::-1].index(False) if False in above else 0
            firsts.append(float(curve["layer"].fillna(0).iloc[first]))
    who = subject(cast)
    layers = f"layer {span(firsts, 'count')}" if firsts else ""
    return stated(
        ends,
        f"once N words are written, the margin of {who} favours ending from {layers} on",
        f"once N words are written, the margin of {who} favours going on",
        f"the margin of {who} favours ending once N words are written",
    )


def _draw_panel(axes: Axes, part: pd.DataFrame, cast: Cast) -> None:
    style.zero_line(axes)
    if part.empty:
        style.no_data(axes, "no decision was reached")
    for model in cast.tunings:
        curve = rows_of(part, model=model).sort_values("place")
        if len(curve):
            x = curve["place"].to_numpy(dtype=float) / 2
            style.interval_bars(axes, x, Estimate.read(curve, "margin"), cast.looks[model])


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on."""
    if table.empty:
        return "no answer reaches a decision step"
    return f"n = {basis(table, 'decisions')}"
