"""How much of the effect of N circuits keep, by their size and the score that ranks components."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lengthlens.figures.parts import basis, drawn_models, rows_of
from lengthlens.figures.style import (
    HAIR,
    METHOD_COLOURS,
    METHOD_MARKERS,
    METHOD_NAMES,
    MUTED,
    PAPER,
    Cast,
    add_legend,
    legend_entry,
    no_data,
    panel_grid,
    styled,
    zero_line,
)
from lengthlens.figures.titles import all_apart, cases_of, span, stated

RANDOM = "random"
_ROW = 2.0  # inches


@styled()
def draw_faithfulness(table: pd.DataFrame, circuits: pd.DataFrame, cast: Cast) -> Figure:
    """Draw one row a tuned model and one column a language.

    Args:
        table: tables/faithfulness.csv.
        circuits: tables/circuits.csv.
        cast: models and languages, in order.
    """
    own = table[table["source_language"] == table["language"]]
    models = drawn_models(own, cast)
    methods = [name for name in METHOD_NAMES if (own["method"] == name).any()]
    figure, panels = panel_grid(
        [_ROW] * len(models), len(cast.languages), 0.9, sharex=True, sharey=True
    )
    for row, model in zip(panels, models, strict=True):
        for axes, (language, name) in zip(row, cast.languages.items(), strict=True):
            _draw_panel(axes, rows_of(own, model=model, language=language), methods)
            axes.set_title(f"{model}, {name}", fontsize=7)
        row[0].set_ylabel("share of the effect of N")
    for axes in panels[-1]:
        axes.set_xlabel("components kept [share of all]")
    add_legend(figure, _legend(methods))
    figure.set_label(title(circuits, cast))
    return figure


def title(circuits: pd.DataFrame, cast: Cast) -> str:
    """How much the smallest circuits of the first score keep, against random ones of equal size."""
    own = circuits[circuits["source_language"] == circuits["language"]]
    own = own[own["method"].isin(own["method"].unique()[:1])]
    found = own[own["k"].notna()]
    if found.empty:
        return "No measured set of components keeps enough of the effect of N to be a circuit"
    limits = {"low": "faithfulness_low", "high": "faithfulness_high"}
    kept = cases_of(own.rename(columns=limits), "faithfulness", cast)
    random = cases_of(own, "random", cast)
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
    if not np.isfinite(part["faithfulness"].to_numpy(dtype=float)).any():
        no_data(axes, "N has no effect to explain")
        return
    zero_line(axes)
    axes.axhline(1, color=HAIR, linewidth=0.8, zorder=1)
    for name, colour, hatch in ((RANDOM, HAIR, None), (_permuted(part), "none", "////")):
        band = rows_of(part, method=name).sort_values("k")
        x = band["k"] / band["n_components"]
        axes.fill_between(
            x, band["low"], band["high"], facecolor=colour, edgecolor=MUTED, hatch=hatch,
            linewidth=0.4, zorder=1.5,
        )  # fmt: skip
    for name in methods:
        curve = rows_of(part, method=name).sort_values("k")
        x = (curve["k"] / curve["n_components"]).to_numpy()
        axes.vlines(x, curve["low"], curve["high"], color=METHOD_COLOURS[name], linewidth=0.8)
        axes.plot(
            x, curve["faithfulness"], color=METHOD_COLOURS[name], marker=METHOD_MARKERS[name],
            markeredgecolor=PAPER, markeredgewidth=0.4, zorder=3,
        )  # fmt: skip


def _permuted(part: pd.DataFrame) -> str:
    """The random orders that keep the MLPs of the first score: those of the most sizes."""
    names = part["method"][part["method"].str.startswith(f"{RANDOM}_")]
    return names.value_counts().index[0] if len(names) else ""


def _legend(methods: list[str]) -> list:
    lines = [
        legend_entry(
            METHOD_NAMES[name],
            color=METHOD_COLOURS[name],
            marker=METHOD_MARKERS[name],
            markeredgecolor=PAPER,
        )
        for name in methods
    ]
    bands = [
        Patch(facecolor=HAIR, edgecolor=MUTED, linewidth=0.4, label="random orders, 95 %"),
        Patch(
            facecolor="none", edgecolor=MUTED, hatch="////", linewidth=0.4,
            label="heads of each layer permuted",
        ),
    ]  # fmt: skip
    return lines + bands


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on."""
    if table.empty:
        return "no circuits were measured"
    orders = int(table["n_orders"].max())
    return f"{basis(table, 'evaluate answers')}; {orders} random orders of each kind"
