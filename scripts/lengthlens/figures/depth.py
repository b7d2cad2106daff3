"""How the end margin builds up with depth, in the tuned and the untuned model."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lengthlens.figures.style import (
    Cast,
    add_legend,
    interval_bars,
    no_data,
    page_width,
    styled,
    zero_line,
)
from lengthlens.figures.titles import cases_of, span, stated, subject
from lengthlens.statistics import Estimate

_ROW = 1.9  # inches


def draw_depth(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw one column a language; a row for own answers, and one for each text that models share.

    Args:
        table: tables/depth.csv.
        cast: models and languages, in order.
    """
    shared = [
        author for author in cast.tunings if (table["model"][table["text"] == author].nunique() > 1)
    ]
    own = table[table["text"] == table["model"]]
    parts = [("own answers", own)]
    parts += [(f"answers of {author}", table[table["text"] == author]) for author in shared]
    with styled():
        figure = Figure(figsize=(page_width(len(cast.languages)), _ROW * len(parts) + 0.6))
        panels = figure.subplots(
            len(parts), len(cast.languages), squeeze=False, sharex=True, sharey=True
        )
        for row, (name, part) in zip(panels, parts, strict=True):
            for axes, (language, spoken) in zip(row, cast.languages.items(), strict=True):
                _draw_panel(axes, part[part["language"] == language], cast)
                told = textwrap.fill(f"{spoken}, {name}", 34, break_on_hyphens=False)
                axes.set_title(told, fontsize=7)
            row[0].set_ylabel("end margin so far [logits]")
        for axes in panels[-1]:
            axes.set_xlabel("layers added, final scale")
        drawn = [model for model in cast.tunings if (table["model"] == model).any()]
        if drawn:
            add_legend(figure, [cast.looks[model].handle(model) for model in drawn])
    figure.set_label(title(own, cast))
    return figure


def title(own: pd.DataFrame, cast: Cast) -> str:
    """From which layer on the models favour ending at the step where they should end."""
    ends, firsts = [], []
    for _, curve in own.groupby(["model", "language"], sort=False):
        cases = cases_of(curve.sort_values("place"), "margin", cast)
        if not cases:
            continue
        ends.append(cases[-1])
        above = [case.side() > 0 for case in cases]
        if above[-1]:
            first = len(above) - above[::-1].index(False) if False in above else 0
            firsts.append(float(curve.sort_values("place")["layer"].fillna(0).iloc[first]))
    who = subject(cast)
    layers = f"layer {span(firsts, 'count')}" if firsts else ""
    return stated(
        ends,
        f"once N words are written, the margin of {who} favours ending from {layers} on",
        f"once N words are written, the margin of {who} favours going on",
        f"the margin of {who} favours ending once N words are written",
    )


def _draw_panel(axes: Axes, part: pd.DataFrame, cast: Cast) -> None:
    zero_line(axes)
    if part.empty:
        no_data(axes, "no decision was reached")
    for model in cast.tunings:
        curve = part[part["model"] == model].sort_values("place")
        if len(curve):
            x = curve["place"].to_numpy(dtype=float) / 2
            interval_bars(axes, x, Estimate.read(curve, "margin"), cast.looks[model])


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on."""
    if table.empty:
        return "no answer reaches a decision step"
    low, high = int(table["n_samples"].min()), int(table["n_samples"].max())
    answers = f"{low}" if low == high else f"{low} to {high}"
    return f"n = {answers} decisions of at least {int(table['n_topics'].min())} topics"
