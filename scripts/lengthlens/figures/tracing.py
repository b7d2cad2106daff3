"""Where N is: how much of its effect passes through each layer and each part of the text."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lengthlens.figures.style import INK, ON_DARK, ON_LIGHT, Cast, no_data, page_width, styled
from lengthlens.figures.titles import cases_of, stated
from lengthlens.models.depth import nearest_layer

UNKNOWN = "unknown"  # of components whose role could not be told
ROLES = {
    "numeral": "the number",
    "between": "words after it",
    "mark": "final mark",
    "closing": "end of the prompt",
    "answer": "answer so far",
    "last": "last token",
}
ROLE_NAMES = {
    "before": "what comes before the number",
    "numeral": "the number",
    "between": "the words after it",
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


def draw_tracing(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw maps of layers and roles: a row a tuned model and direction, a column a language.

    Args:
        table: tables/tracing.csv.
        cast: models and languages, in order.
    """
    own = table[(table["swap"] == _SWAP) & table["role"].isin(list(ROLES))]
    models = [model for model in cast.tunings if (own["model"] == model).any()]
    models = models or list(cast.tunings)[-1:]
    layers = sorted(own["layer"].unique().tolist()) or [0]
    rows = [(model, direction) for model in models for direction in DIRECTIONS]
    with styled():
        height = float(np.clip(0.26 * len(layers), 0.9, 3.4)) + 0.35
        figure = Figure(figsize=(page_width(len(cast.languages)), height * len(rows) + 0.7))
        panels = figure.subplots(
            len(rows), len(cast.languages), squeeze=False, sharex=True, sharey=True
        )
        for row, (model, direction) in zip(panels, rows, strict=True):
            for axes, (language, name) in zip(row, cast.languages.items(), strict=True):
                part = own[(own["model"] == model) & (own["language"] == language)]
                part = part[part["direction"] == direction]
                mesh = _draw_map(axes, _map(part, layers), layers)
                axes.set_title(f"{model}, {name}", fontsize=7)
            row[0].set_ylabel(f"{direction}\nstream entering layer")
        for axes in panels[-1]:
            names = list(ROLES.values())
            axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=6)
        bar = figure.colorbar(mesh, ax=panels.ravel().tolist(), aspect=30, pad=0.01, shrink=0.6)
        bar.outline.set_visible(False)
        bar.set_label("share of the effect of N", fontsize=6)
        bar.ax.tick_params(labelsize=6)
    figure.set_label(title(own, cast))
    return figure


def title(table: pd.DataFrame, cast: Cast) -> str:
    """Which part of the text holds most of the effect of N half way through the layers."""
    own = table[table["direction"] == "noising"]
    layers = own["layer"].unique().tolist()
    middle = own[own["layer"] == nearest_layer(layers, 0.5, max(layers))] if layers else own
    shares = middle["share"].astype(float).groupby(middle["role"]).mean().dropna()
    if shares.empty:
        return "Where the number is held is undecided"
    role = str(shares.idxmax())
    half = "half of the effect of N"
    return stated(
        cases_of(middle[middle["role"] == role], "share", cast),
        f"half way through the layers, {ROLE_NAMES[role]} carries more than {half}",
        f"half way through the layers, even {ROLE_NAMES[role]} carries less than {half}",
        f"{ROLE_NAMES[role]} carries more than {half} half way through the layers",
        null=0.5,
    )


def _map(part: pd.DataFrame, layers: list[int]) -> Float[np.ndarray, "layer role"]:
    values = part.pivot_table(index="layer", columns="role", values="share", dropna=False)
    return values.reindex(index=layers, columns=list(ROLES)).to_numpy(dtype=float)


def _draw_map(axes: Axes, values: Float[np.ndarray, "layer role"], layers: list[int]):
    depth, roles = values.shape
    edges = np.arange(roles + 1) - 0.5, np.arange(depth + 1) - 0.5
    shown = np.ma.masked_invalid(values)
    mesh = axes.pcolormesh(*edges, shown, cmap="RdBu_r", norm=Normalize(-1, 1), rasterized=False)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    every = max(1, int(np.ceil(depth / 8)))
    axes.set_yticks(range(0, depth, every), [str(layer) for layer in layers[::every]])
    if not np.isfinite(values).any():
        no_data(axes, _EMPTY)
    elif depth <= _MOST_WRITTEN:
        for layer, role in np.argwhere(np.abs(np.nan_to_num(values)) >= _WRITTEN).tolist():
            value = values[layer, role]
            axes.text(
                role, layer, f"{100 * value:.0f}", ha="center", va="center", fontsize=5.5,
                color=ON_DARK if abs(value) > _DARK else ON_LIGHT,
            )  # fmt: skip
    for layer, role in np.argwhere(~np.isfinite(values)).tolist():
        if np.isfinite(values).any():
            axes.text(role, layer, "–", ha="center", va="center", fontsize=5.5, color=INK)
    return mesh


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on."""
    own = table[(table["swap"] == _SWAP) & table["role"].isin(list(ROLES))]
    if own.empty:
        return "no answer was traced"
    low, high = int(own["n_samples"].min()), int(own["n_samples"].max())
    answers = f"{low}" if low == high else f"{low} to {high}"
    return f"n = {answers} answers of at least {int(own['n_topics'].min())} topics"
