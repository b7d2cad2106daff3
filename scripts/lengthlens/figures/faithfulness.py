"""How much of the effect of N circuits keep, by their size and the score that ranks components."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lengthlens.figures.style import (
    HAIR,
    METHOD_COLOURS,
    METHOD_NAMES,
    MUTED,
    PAPER,
    Cast,
    add_legend,
    no_data,
    page_width,
    styled,
    zero_line,
)
from lengthlens.figures.titles import all_apart, cases_of, span, stated

RANDOM = "random"
_MARKERS = {"atp": "v", "cwa": "o", "end_contrast": "s", "nswap": "D", "effect": "^"}
_ROW = 2.0  # inches
_EMPTY = "N has no effect to explain"


def draw_faithfulness(table: pd.DataFrame, circuits: pd.DataFrame, cast: Cast) -> Figure:
    """Draw one row a tuned model and one column a language.

    Args:
        table: tables/faithfulness.csv.
        circuits: tables/circuits.csv.
        cast: models and languages, in order.
    """
    own = table[table["source_language"] == table["language"]]
    models = [model for model in cast.tunings if (own["model"] == model).any()]
    models = models or list(cast.tunings)[-1:]
    methods = [name for name in METHOD_NAMES if (own["method"] == name).any()]
    with styled():
        size = (page_width(len(cast.languages)), _ROW * len(models) + 0.9)
        figure = Figure(figsize=size)
        panels = figure.subplots(
            len(models), len(cast.languages), squeeze=False, sharex=True, sharey=True
        )
        for row, model in zip(panels, models, strict=True):
            for axes, (language, name) in zip(row, cast.languages.items(), strict=True):
                part = own[(own["model"] == model) & (own["language"] == language)]
                _draw_panel(axes, part, methods)
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
        no_data(axes, _EMPTY)
        return
    zero_line(axes)
    axes.axhline(1, color=HAIR, linewidth=0.8, zorder=1)
    for name, colour, hatch in ((RANDOM, HAIR, None), (_permuted(part), "none", "////")):
        band = part[part["method"] == name].sort_values("k")
        x = band["k"] / band["n_components"]
        axes.fill_between(
            x, band["low"], band["high"], facecolor=colour, edgecolor=MUTED, hatch=hatch,
            linewidth=0.4, zorder=1.5,
        )  # fmt: skip
    for name in methods:
        curve = part[part["method"] == name].sort_values("k")
        x = (curve["k"] / curve["n_components"]).to_numpy()
        axes.vlines(x, curve["low"], curve["high"], color=METHOD_COLOURS[name], linewidth=0.8)
        axes.plot(
            x, curve["faithfulness"], color=METHOD_COLOURS[name], marker=_MARKERS[name],
            markeredgecolor=PAPER, markeredgewidth=0.4, zorder=3,
        )  # fmt: skip


def _permuted(part: pd.DataFrame) -> str:
    """The random orders that keep the MLPs of the first score: those of the most sizes."""
    names = part["method"][part["method"].str.startswith(f"{RANDOM}_")]
    return names.value_counts().index[0] if len(names) else ""


def _legend(methods: list[str]) -> list:
    lines = [
        Line2D(
            [], [], color=METHOD_COLOURS[name], marker=_MARKERS[name], markeredgecolor=PAPER,
            label=METHOD_NAMES[name],
        )
        for name in methods
    ]  # fmt: skip
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
    low, high = int(table["n_samples"].min()), int(table["n_samples"].max())
    answers = f"{low}" if low == high else f"{low} to {high}"
    orders = int(table["n_orders"].max())
    return (
        f"{answers} evaluate answers of at least {int(table['n_topics'].min())} topics; "
        f"{orders} random orders of each kind"
    )
