"""Transfer between languages: a matrix of sources and targets for each model and method."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.parts import largest_sets
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import told_models, told_rows
from lengthlens.statistics import side_of

MEASURE = "end_margin"
_PANEL = 2.0  # inches
_COLUMNS = 2  # panels beside each other, so that a cell holds its interval


@style.styled()
def draw_transfer(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw the effect on the end margin of the heads found in each language on each language.

    A cell holds the effect against random heads of the same layers and its interval; it is in bold
    where the interval excludes 0. Colour says the same: blue lowers the margin more than random
    heads do, red less.

    Args:
        table: tables/transfer.csv; of several k the largest is drawn.
        cast: models and languages, in order.
    """
    rows = table[(table["measure"] == MEASURE) & table["model"].isin(list(cast.tunings))]
    methods = list(dict.fromkeys(rows["method"])) or [""]
    languages = list(cast.languages)
    largest = rows["effect"].abs().max()
    reach = largest if largest > 0 else 1.0
    shown = list(itertools.product(told_models(cast), methods))
    columns = min(len(methods), _COLUMNS)
    n_rows = math.ceil(len(shown) / columns)
    width = max(style.page_width(columns), 0.9 * columns * len(languages))
    figure = Figure(figsize=(width, _PANEL * n_rows + 0.2))
    panels = figure.subplots(n_rows, columns, squeeze=False).ravel()
    for axes, (model, method) in zip(panels, shown, strict=False):
        part = largest_sets(rows_of(rows, model=model, method=method))
        _draw_panel(axes, part, cast, languages, float(reach))
        if len(part):
            name = style.METHOD_NAMES.get(method, method.replace("_", " "))
            axes.set_title(f"{model}: top {part['k'].iloc[0]} by {name}", fontsize=7)
    for axes in panels[len(shown) :]:
        axes.remove()
    figure.set_label(title(rows, cast))
    return figure


def title(rows: pd.DataFrame, cast: Cast) -> str:
    """How often heads of one language lower the end margin in another more than random heads do."""
    others = rows[rows["source_language"] != rows["target_language"]]
    own = told_rows(others, cast, language="target_language")
    if own.empty:
        return "No heads were ablated in another language than their own"
    parts = []
    for method in dict.fromkeys(own["method"]):
        part = largest_sets(rows_of(own, method=method))
        sides = [side_of(row.effect_low, row.effect_high) for row in part.itertuples()]
        told = (
            f"{style.METHOD_NAMES.get(method, method)} in {sides.count(-1)} of {len(sides)} cases"
        )
        parts.append(told + f" (less far in {sides.count(1)})" * (1 in sides))
    return (
        "Ablating heads found in one language lowers the end margin in another further than "
        f"ablating random heads: by {', '.join(parts)}"
    )


def _draw_panel(
    axes: Axes, part: pd.DataFrame, cast: Cast, languages: list[str], reach: float
) -> None:
    axes.grid(False)
    if part.empty:
        style.no_data(axes, "no transfer measured")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    untuned = set(part.loc[part["untuned"].astype(bool), "target_language"])
    sides = ("source_language", "target_language")
    part = part[part[list(sides)].isin(languages).all(axis=1)]
    values = np.full((len(languages), len(languages)), np.nan)
    for row in part.itertuples():
        y, x = (languages.index(getattr(row, side)) for side in sides)
        values[y, x] = row.effect
        low, high = row.effect_low, row.effect_high
        sure = low > 0 or high < 0
        limits = f"[{low:+.2f}, {high:+.2f}]" if np.isfinite([low, high]).all() else "no interval"
        dark = abs(row.effect) > 0.6 * reach
        axes.text(
            x, y, f"{row.effect:+.2f}\n{limits}".replace("-", "−"), ha="center", va="center",
            fontsize=5.5, fontweight="bold" if sure else "normal",
            color=style.ON_DARK if dark else style.ON_LIGHT,
        )  # fmt: skip
    axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    names = list(cast.languages.values())
    labels = [name + "\n(untuned)" * (code in untuned) for code, name in cast.languages.items()]
    axes.set_xticks(range(len(names)), labels, fontsize=5.5)
    axes.set_yticks(range(len(names)), names, fontsize=5.5)
    axes.set_xlabel("answers in", color=style.MUTED)
    axes.set_ylabel("heads found in", color=style.MUTED)


def counts(table: pd.DataFrame) -> str:
    """Answers and control draws, for the caption."""
    rows = rows_of(table, measure=MEASURE)
    if rows.empty:
        return "Only one language: no transfer was measured."
    n, draws = rows["n_samples"], rows["n_controls"]
    return (
        f"n = {n.min()} to {n.max()} answers with a decision step per cell; {draws.min()} to "
        f"{draws.max()} random sets."
    )
