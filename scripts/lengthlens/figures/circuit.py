"""The circuit drawn: components by layer and by the part of the text where they matter."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from lengthlens.figures.style import (
    HAIR,
    INK,
    MUTED,
    PAPER,
    Cast,
    add_legend,
    no_data,
    page_width,
    styled,
)
from lengthlens.figures.tracing import ROLES

TITLE = "The circuit that counts, as measured"
UNKNOWN, ALL, LOGITS, EMBEDDING = "unknown", "all", "logits", "embedding"
_SWAP = 1
_NAMED = 0.1  # a component is named in the title from this share on
_EDGE = 0.03  # a path is drawn if its share lies above this with its whole interval
_LABELLED = 0.15  # share from which on a path has its number
_ROLES = {
    "numeral": "the number",
    "between": "the words after it",
    "mark": "the final mark",
    "closing": "the end of the prompt",
    "answer": "the answer so far",
    "last": "the last token",
    UNKNOWN: "an unknown place",
}
_INPUTS = {
    "v": ("#0072b2", "what a head copies (value)"),
    "k": ("#cc79a7", "what makes a head look there (key)"),
    "q": ("#e69f00", "what makes a head look (query)"),
    "mlp": ("#009e73", "what an MLP reads"),
    LOGITS: (MUTED, "straight to the decision"),
}
_AREA = 260.0  # points², of a component that carries all of the effect
_EMPTY = {True: "no circuit is faithful", False: "N has no effect to explain"}

Node = tuple[float, float]


def draw_circuit(paths: pd.DataFrame, places: pd.DataFrame, cast: Cast) -> Figure:
    """Draw one row a tuned model and one panel a language.

    Args:
        paths: tables/paths.csv.
        places: tables/places.csv.
        cast: models and languages, in order.
    """
    paths, places = (table[table["swap"] == _SWAP] for table in (paths, places))
    models = [model for model in cast.variants if (places["model"] == model).any()]
    models = models or list(cast.variants)[-1:]
    layers = int(places["layer"].max()) + 1 if len(places) else 1
    with styled():
        height = float(np.clip(0.55 * layers, 2.6, 7.0)) + 0.9
        size = (page_width(len(cast.languages)), height * len(models) + 0.5)
        figure = Figure(figsize=size)
        panels = figure.subplots(
            len(models), len(cast.languages), squeeze=False, sharex=True, sharey=True
        )
        for row, model in zip(panels, models, strict=True):
            for axes, (language, name) in zip(row, cast.languages.items(), strict=True):
                own = [
                    table[(table["model"] == model) & (table["language"] == language)]
                    for table in (paths, places)
                ]
                _draw_panel(axes, *own, layers)
                told = textwrap.fill(f"{model}, {name}: {sentence(own[1])}", 62)
                axes.set_title(told, fontsize=6.5, fontweight="normal")
            row[0].set_ylabel("layer")
        add_legend(figure, _legend())
    return figure


def sentence(places: pd.DataFrame) -> str:
    """Where the effect of N passes and by which components, of one model and language."""
    where = _home(places)
    if where.empty or where["share"].isna().all():
        return _EMPTY[where.empty]
    named = where[where["share_low"] > _NAMED].sort_values("share", ascending=False, kind="stable")
    parts = []
    for role, name in _ROLES.items():
        own = [
            f"{row.component} {100 * row.share:.0f} %"
            for row in named[named["role"] == role].head(3).itertuples()
        ]
        if own:
            parts.append(f"{name} ({', '.join(own)})")
    if not parts:
        return f"no single component carries more than {100 * _NAMED:.0f} % of the effect of N"
    return "the effect of N passes through " + ", then ".join(parts)


def _home(places: pd.DataFrame) -> pd.DataFrame:
    """A row a component: its share at all positions, and the role at which it carries most."""
    whole = places[places["place"] == ALL].copy()
    by_role = places[places["place"] != ALL]
    best = by_role.sort_values("share", ascending=False, kind="stable")
    best = best.drop_duplicates("component").set_index("component")["place"]
    whole["role"] = whole["component"].map(best).fillna(UNKNOWN)
    return whole


def _draw_panel(axes: Axes, paths: pd.DataFrame, places: pd.DataFrame, layers: int) -> None:
    columns = [*ROLES, UNKNOWN] if (_home(places)["role"] == UNKNOWN).any() else list(ROLES)
    axes.set_xlim(-0.6, len(columns) - 0.2)
    axes.set_ylim(-1.3, layers + 0.9)
    names = [ROLES.get(column, column) for column in columns]
    axes.set_xticks(range(len(columns)), names, rotation=35, ha="right", fontsize=6)
    every = max(1, int(np.ceil(layers / 8)))
    axes.set_yticks(range(0, layers, every))
    axes.grid(False)
    for column in range(len(columns)):
        axes.axvline(column, color=HAIR, linewidth=0.5, zorder=0)
    home = _home(places)
    if home.empty or home["share"].isna().all():
        no_data(axes, _EMPTY[home.empty])
        return
    nodes = _nodes(home, columns) | {
        EMBEDDING: (columns.index("numeral"), -0.85),
        LOGITS: (columns.index("last"), layers + 0.5),
    }
    _draw_edges(axes, paths, nodes)
    for row in home.itertuples():
        _draw_node(axes, row, nodes[row.component])
    for name, text in ((EMBEDDING, "the number as written"), (LOGITS, "decision: end or go on")):
        box = {"boxstyle": "round", "facecolor": PAPER, "edgecolor": INK, "linewidth": 0.6}
        align = "left" if name == EMBEDDING else "right"
        x, y = nodes[name]
        shift = -0.3 if name == EMBEDDING else 0.4
        axes.text(x + shift, y, text, fontsize=6, va="center", ha=align, bbox=box, zorder=4)


def _nodes(home: pd.DataFrame, columns: list[str]) -> dict[str, Node]:
    """Where each component stands: those of one role and layer side by side, MLPs above heads."""
    nodes = {}
    for (role, layer), own in home.groupby(["role", "layer"], sort=False):
        heads = [name for name in own["component"] if "H" in name]
        for place, name in enumerate(sorted(heads)):
            offset = (place - (len(heads) - 1) / 2) * 0.5
            nodes[name] = (columns.index(role) + offset, float(layer))
        for name in own["component"]:
            if "H" not in name:
                nodes[name] = (float(columns.index(role)), layer + 0.5)
    return nodes


def _draw_node(axes: Axes, row, place: Node) -> None:
    """A disc as large as the share, its lower limit filled; MLPs are squares."""
    marker = "o" if "H" in row.component else "s"
    for value, face in ((row.share, PAPER), (row.share_low, HAIR)):
        area = _AREA * max(float(value), 0.0) + 4.0
        axes.scatter(
            *place, s=area, marker=marker, facecolor=face, edgecolor=INK, linewidth=0.6, zorder=3
        )
    label = f"{row.component} {100 * row.share:.0f} %"
    limits = f" [{100 * row.share_low:.0f}, {100 * row.share_high:.0f}]"
    reach = np.sqrt(_AREA * max(float(row.share), 0.0) + 4.0) / 2
    axes.annotate(
        label + limits, place, xytext=(0, -reach - 1), textcoords="offset points", ha="center",
        va="top", fontsize=4.8, zorder=5,
    )  # fmt: skip


def _draw_edges(axes: Axes, paths: pd.DataFrame, nodes: dict[str, Node]) -> None:
    """The strongest path between two components, as wide as its share."""
    shown = paths[paths["share_low"] > _EDGE].sort_values("share", ascending=False, kind="stable")
    for row in shown.drop_duplicates(["sender", "component"]).itertuples():
        if row.sender not in nodes or row.component not in nodes:
            continue
        start, end = nodes[row.sender], nodes[row.component]
        part = LOGITS if row.receiver == LOGITS else row.receiver.partition(".")[2]
        colour = _INPUTS[part][0]
        arrow = FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=5, shrinkA=5, shrinkB=5, color=colour,
            connectionstyle="arc3,rad=0.15", linewidth=0.4 + 3.0 * min(row.share, 1.2), alpha=0.75,
            zorder=2,
        )  # fmt: skip
        axes.add_patch(arrow)
        if row.share >= _LABELLED:
            middle = [(one + two) / 2 for one, two in zip(start, end, strict=True)]
            axes.text(
                *middle, f"{100 * row.share:.0f}", fontsize=5, color=colour, zorder=4, ha="center"
            )


def _legend() -> list[Line2D]:
    lines = [
        Line2D([], [], color=colour, linewidth=1.6, label=name) for colour, name in _INPUTS.values()
    ]
    shapes = (("o", "head"), ("s", "MLP"))
    return [
        Line2D([], [], color=INK, marker=marker, linestyle="", markerfacecolor=PAPER, label=name)
        for marker, name in shapes
    ] + lines


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on; `table` is tables/places.csv."""
    if table.empty:
        return "no paths were measured"
    low, high = int(table["n_samples"].min()), int(table["n_samples"].max())
    answers = f"{low}" if low == high else f"{low} to {high}"
    return f"n = {answers} answers of at least {int(table['n_topics'].min())} topics"
