"""How much of the effect of N circuits keep, by their size and the score that ranks components."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lengthlens.analysis.tables import first_of, in_own_language, rows_of
from lengthlens.figures import style
from lengthlens.figures.parts import basis, drawn_models
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import all_apart, cases_of, span, stated

RANDOM = "random"
_BANDS = {  # of random circuits: colour and hatching
    "random orders, 95 %": (style.HAIR, None),
    "heads of each layer permuted": ("none", "////"),
}
_ROW = 2.0  # inches


@style.styled()
def draw_faithfulness(table: pd.DataFrame, circuits: pd.DataFrame, cast: Cast) -> Figure:
    """Draw one row a tuned model and one column a language.

    Args:
        table: tables/faithfulness.csv.
        circuits: tables/circuits.csv.
        cast: models and languages, in order.
    """
    own = in_own_language(table)
    models = drawn_models(own, cast)
    methods = [name for name in style.METHOD_NAMES if (own["method"] == name).any()]
    figure, panels = style.panel_grid([_ROW] * len(models), cast, 0.9, sharex=True, sharey=True)
    for axes, model, language in style.cells(panels, models, cast):
        _draw_panel(axes, rows_of(own, model=model, language=language), methods)
        axes.set_title(f"{model}, {cast.languages[language]}", fontsize=7)
    style.label_grid(panels, "components kept [share of all]", "share of the effect of N")
    style.add_legend(figure, _legend(methods))
    figure.set_label(title(circuits, cast))
    return figure


def title(circuits: pd.DataFrame, cast: Cast) -> str:
    """How much the smallest circuits of the first score keep, against random ones of equal size."""
    own = first_of(in_own_language(circuits), "method")
    found = own[own["k"].notna()]
    if found.empty:
        return "No measured set of components keeps enough of the effect of N to be a circuit"
    limits = {"low": "faithfulness_low", "high": "faithfulness_high"}
    own = own.rename(columns=limits)
    kept, random = (cases_of(own, name, cast) for name in ("faithfulness", "random"))
    size = f"{span(found['k'].astype(float), 'count')} of {int(found['n_components'].max())}"
    share = f"{span(found['faithfulness'], 'percent')} % of the effect of N"
    rivals = "as many with heads drawn at random"
    return stated(
        all_apart(kept, random),
        f"{size} components keep {share}, more than {rivals},",
        f"{size} components keep {share}, less than {rivals},",
        f"{size} components keep more of the effect of N than {rivals}",
    )


def _draw_panel(axes: Axes, part: pd.DataFrame, methods: list[str]) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.25, 1.25)
    if style.lacks_data(axes, part["faithfulness"], "N has no effect to explain"):
        return
    style.zero_line(axes)
    axes.axhline(1, color=style.HAIR, linewidth=0.8, zorder=1)
    for name, (colour, hatch) in zip((RANDOM, _permuted(part)), _BANDS.values(), strict=True):
        band = rows_of(part, method=name).sort_values("k")
        x = band["k"] / band["n_components"]
        axes.fill_between(
            x, band["low"], band["high"], facecolor=colour, edgecolor=style.MUTED, hatch=hatch,
            linewidth=0.4, zorder=1.5,
        )  # fmt: skip
    for name in methods:
        curve = rows_of(part, method=name).sort_values("k")
        x = (curve["k"] / curve["n_components"]).to_numpy()
        colour, marker = style.METHOD_COLOURS[name], style.METHOD_MARKERS[name]
        axes.vlines(x, curve["low"], curve["high"], color=colour, linewidth=0.8)
        axes.plot(
            x, curve["faithfulness"], color=colour, marker=marker, markeredgecolor=style.PAPER,
            markeredgewidth=0.4, zorder=3,
        )  # fmt: skip


def _permuted(part: pd.DataFrame) -> str:
    """The random orders that keep the MLPs of the first score: those of the most sizes."""
    names = part["method"][part["method"].str.startswith(f"{RANDOM}_")]
    return names.value_counts().index[0] if len(names) else ""


def _legend(methods: list[str]) -> list:
    lines = [
        style.legend_entry(
            style.METHOD_NAMES[name],
            color=style.METHOD_COLOURS[name],
            marker=style.METHOD_MARKERS[name],
            markeredgecolor=style.PAPER,
        )
        for name in methods
    ]
    bands = [
        Patch(facecolor=colour, edgecolor=style.MUTED, hatch=hatch, linewidth=0.4, label=label)
        for label, (colour, hatch) in _BANDS.items()
    ]
    return lines + bands


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on."""
    if table.empty:
        return "no circuits were measured"
    orders = int(table["n_orders"].max())
    return f"{basis(table, 'evaluate answers')}; {orders} random orders of each kind"
