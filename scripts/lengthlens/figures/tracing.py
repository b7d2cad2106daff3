"""Where N is: how much of its effect passes through each layer and each part of the text."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.parts import basis, drawn_models
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import cases_of, stated
from lengthlens.models.depth import nearest_layer

UNKNOWN = "unknown"  # of components whose role could not be told
ROLES = {
    "numeral": "the number",
    "between": "text after it",
    "mark": "final mark",
    "closing": "end of the prompt",
    "answer": "answer so far",
    "last": "last token",
}
ROLE_NAMES = {
    "before": "what comes before the number",
    "numeral": "the number",
    "between": "the text after the number",
    "mark": "the final mark",
    "closing": "the end of the prompt",
    "answer": "the answer so far",
    "last": "the last token",
    UNKNOWN: "an unknown place",
}  # within a sentence
DIRECTIONS = ("noising", "denoising")
_SWAP = 1
_WRITTEN = 0.05  # shares from here on stand in their cells
_DARK = 0.6  # share beyond which they are written in white
_MOST_WRITTEN = 16  # layers whose cells have room for numbers
_EMPTY = "N has no effect to explain"


@style.styled()
def draw_tracing(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw maps of layers and roles: a row a tuned model and direction, a column a language.

    Args:
        table: tables/tracing.csv.
        cast: models and languages, in order.
    """
    own = _drawn(table)
    layers = sorted(own["layer"].unique().tolist()) or [0]
    rows = list(itertools.product(drawn_models(own, cast), DIRECTIONS))
    height = float(np.clip(0.26 * len(layers), 0.9, 3.4)) + 0.35
    figure, panels = style.panel_grid([height] * len(rows), cast, 0.7, sharex=True, sharey=True)
    for axes, (model, direction), language in style.cells(panels, rows, cast):
        part = rows_of(own, model=model, language=language, direction=direction)
        mesh = _draw_map(axes, part, layers)
        axes.set_title(f"{model}, {cast.languages[language]}", fontsize=7)
    style.label_grid(panels, "", [f"{direction}\nstream entering layer" for _, direction in rows])
    for axes in panels[-1]:
        names = list(ROLES.values())
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=6)
    style.colour_bar(mesh, panels.ravel(), "share of the effect of N", aspect=30, shrink=0.6)
    figure.set_label(title(own, cast))
    return figure


def title(table: pd.DataFrame, cast: Cast) -> str:
    """Which part of the text holds most of the effect of N half way through the layers."""
    own = table[table["direction"] == "noising"]
    layers = own["layer"].unique().tolist()
    place = nearest_layer(layers, 0.5, max(layers)) if layers else 0
    middle = own[own["layer"] == place]
    shares = middle["share"].astype(float).groupby(middle["role"]).mean().dropna()
    if shares.empty:
        return "Where the number is held is undecided"
    role = str(shares.idxmax())
    half = "half of the effect of N"
    return stated(
        cases_of(middle[middle["role"] == role], "share", cast),
        f"where the stream enters layer {place}, {ROLE_NAMES[role]} carries more than {half}",
        f"where the stream enters layer {place}, even {ROLE_NAMES[role]} carries less than {half}",
        f"{ROLE_NAMES[role]} carries more than {half} where the stream enters layer {place}",
        null=0.5,
    )


def _drawn(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["swap"] == _SWAP) & table["role"].isin(list(ROLES))]


def _draw_map(axes: Axes, part: pd.DataFrame, layers: list[int]) -> QuadMesh:
    table = part.pivot_table(index="layer", columns="role", values="share", dropna=False)
    values = table.reindex(index=layers, columns=list(ROLES)).to_numpy(dtype=float)
    mesh = style.heat_map(axes, values, Normalize(-1, 1))
    ticks = style.sparse(len(layers))
    axes.set_yticks(ticks, [str(layers[tick]) for tick in ticks])
    if style.lacks_data(axes, values, _EMPTY):
        return mesh
    cell = {"ha": "center", "va": "center", "fontsize": 5.5}
    if len(layers) <= _MOST_WRITTEN:
        for layer, role in np.argwhere(np.abs(values) >= _WRITTEN).tolist():
            value = values[layer, role]
            color = style.ON_DARK if abs(value) > _DARK else style.ON_LIGHT
            axes.text(role, layer, f"{100 * value:.0f}", color=color, **cell)
    for layer, role in np.argwhere(np.isnan(values)).tolist():
        axes.text(role, layer, "–", color=style.INK, **cell)
    return mesh


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on."""
    own = _drawn(table)
    return "no answer was traced" if own.empty else f"n = {basis(own)}"
