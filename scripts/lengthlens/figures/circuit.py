"""A drawing of the circuit: components by layer and by the part of the text where they matter."""

from __future__ import annotations

import textwrap
from collections import Counter

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from lengthlens.analysis.tables import rows_of
from lengthlens.circuits.orders import EMBEDDING, LOGITS
from lengthlens.figures import style
from lengthlens.figures.parts import basis, drawn_models
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import case_of, told_rows, where
from lengthlens.figures.tracing import ROLE_NAMES, ROLES, UNKNOWN

ALL = "all"
_SWAP = 1
_NAMED = 0.1  # a component is named in the title from this share on
_SHOWN = 0.03  # components and paths are drawn whose share lies above this, with the interval
_LABELLED = 0.15  # share from which on a path has its number
_INPUTS = {
    "v": (style.PART_COLOURS[0], "what a head copies (value)"),
    "k": (style.PART_COLOURS[1], "where a head looks (key)"),
    "q": (style.PART_COLOURS[2], "what a head looks for (query)"),
    "mlp": (style.PART_COLOURS[3], "what an MLP reads"),
    LOGITS: (style.MUTED, "directly to the decision"),
}
_AREA = 260.0  # points², of a component that carries all of the effect
_ROW = 0.45  # inches, of a layer where there is room
_SIDE = 1.15  # between neighbours in a layer, in widths of an empty column
_NOTHING, _NO_EFFECT = "no paths were measured", "N has no effect to explain"

Node = tuple[float, float]


@style.styled()
def draw_circuit(paths: pd.DataFrame, places: pd.DataFrame, cast: Cast) -> Figure:
    """Draw one row a tuned model and one panel a language.

    Args:
        paths: tables/paths.csv.
        places: tables/places.csv.
        cast: models and languages, in order.
    """
    paths, places = (rows_of(table, swap=_SWAP) for table in (paths, places))
    models = drawn_models(places, cast)
    layers = int(places["layer"].max()) + 1 if len(places) else 1
    height = float(np.clip(_ROW * layers, 2.0, 5.5)) + 1.4
    width = style.page_width(len(cast.languages) + 1)  # one panel, too, has names beside each other
    figure = Figure(figsize=(width, height * len(models) + 0.5))
    panels = figure.subplots(len(models), len(cast.languages), squeeze=False, sharey=True)
    for row, model in zip(panels, models, strict=True):
        for axes, (language, name) in zip(row, cast.languages.items(), strict=True):
            own = [rows_of(part, model=model, language=language) for part in (paths, places)]
            _draw_panel(axes, *own, layers)
            told = f"{model}, {name}: {sentence(*own)}"
            told = textwrap.fill(told, int(16 * width / len(row)))
            axes.set_title(told, fontsize=6.5, fontweight="normal")
        row[0].set_ylabel("layer")
    style.add_legend(figure, _legend())
    figure.set_label(title(places, cast))
    return figure


def title(places: pd.DataFrame, cast: Cast) -> str:
    """Through which parts of the text the effect of N passes, where the languages agree on it."""
    chains = {
        case_of(rows.iloc[0], "share", cast): _chain(rows)
        for _, rows in told_rows(places, cast).groupby(["model", "language"], sort=False)
    }
    told = [chain for chain in chains.values() if chain]
    if not told:
        return "Which components carry the number is undecided"
    [(chain, _)] = Counter(told).most_common(1)
    way = [role for role in chain if role != "numeral"] or chain  # where it stands is no way
    route = ", then ".join(ROLE_NAMES[role] for role in way)
    some = [case for case, own in chains.items() if own == chain]
    told = f"Components that carry more than a tenth act at {route}, {where(some, list(chains))}"
    return told + "; elsewhere by another route or undecided" * (len(some) < len(chains))


def _chain(places: pd.DataFrame) -> tuple[str, ...]:
    """The parts of the text at which any component carries more than `_NAMED`, from the left."""
    strong = set(places.loc[places["share_low"] > _NAMED, "place"])
    return tuple(role for role in ROLES if role in strong)


def sentence(paths: pd.DataFrame, places: pd.DataFrame) -> str:
    """Where the effect of N passes and by which components, of one model and language."""
    home = _home(places)
    if nothing := _nothing(paths, home):
        return nothing
    named = home[home["share_low"] > _NAMED].sort_values("share", ascending=False, kind="stable")
    parts = []
    for role in (*ROLES, UNKNOWN):
        own = [
            f"{row.component}\u00a0{100 * row.share:.0f}\u00a0%"
            for row in rows_of(named, role=role).head(3).itertuples()
        ]
        if own:
            parts.append(f"{ROLE_NAMES[role]} ({', '.join(own)})")
    if not parts:
        least = f"{100 * _NAMED:.0f} % of the effect of N"
        return f"no single component is shown to carry more than {least}"
    return "the effect of N passes through " + ", then ".join(parts)


def _nothing(paths: pd.DataFrame, home: pd.DataFrame) -> str:
    """Why there is nothing to draw; empty where there is something."""
    if home.empty:
        return next(filter(None, paths["absent"]), _NOTHING)
    return _NO_EFFECT if home["share"].isna().all() else ""


def _home(places: pd.DataFrame) -> pd.DataFrame:
    """A row a component: its share at all positions, and the role at which it carries most."""
    whole = places[places["place"] == ALL]
    by_role = places[places["place"] != ALL].dropna(subset="share")
    best = by_role.sort_values("share", ascending=False, kind="stable")
    best = best.drop_duplicates("component").set_index("component")["place"].to_dict()
    return whole.assign(role=[best.get(name, UNKNOWN) for name in whole["component"]])


def _draw_panel(axes: Axes, paths: pd.DataFrame, places: pd.DataFrame, layers: int) -> None:
    home = _home(places)
    shown = home[home["share_low"] > _SHOWN]
    columns = _columns(shown)
    axes.set_xlim(columns["numeral"] - 0.7, max(columns.values()) + _SIDE * 2.2)
    axes.set_ylim(-1.5, layers + 1.1)
    names = [ROLES.get(role, role) for role in columns]
    axes.set_xticks(list(columns.values()), names, rotation=35, ha="right", fontsize=6)
    axes.set_yticks(style.sparse(layers))
    axes.grid(False)
    for x in columns.values():
        axes.axvline(x, color=style.HAIR, linewidth=0.5, zorder=0)
    if nothing := _nothing(paths, home):
        style.no_data(axes, textwrap.fill(nothing, 40))
        return
    nodes = _nodes(shown, columns) | {
        EMBEDDING: (columns["numeral"], -1.0),
        LOGITS: (columns["last"], layers + 0.6),
    }
    reach = {row.component: _reach(row.share) for row in shown.itertuples()}
    _draw_edges(axes, paths, nodes, reach)
    level = dict.fromkeys(range(layers), 0)  # heads named in a layer so far
    for row in shown.sort_values("component").itertuples():
        _draw_node(axes, row, nodes[row.component], level[row.layer] % 2)
        level[row.layer] += "H" in row.component
    box = {"boxstyle": "round", "facecolor": style.PAPER, "edgecolor": style.INK, "linewidth": 0.6}
    decision = "decision: end or go on" + _last_steps(paths, shown)
    if left_out := sorted(set(home["component"]) - set(shown["component"])):
        told = f"measured, not shown to carry more than {100 * _SHOWN:.0f} % in these "
        told += f"{int(home['n_samples'].max())} answers: {', '.join(left_out)}"
        told = textwrap.fill(told, 22)
        axes.text(0.02, 0.9, told, transform=axes.transAxes, fontsize=5.2, va="top")
    for name, text in ((EMBEDDING, "number in the prompt"), (LOGITS, decision)):
        x, y = nodes[name]
        align = {"va": "center", "ha": "left" if name == EMBEDDING else "center"}
        axes.text(x - (name == EMBEDDING) * 0.5, y, text, fontsize=6, bbox=box, zorder=4, **align)


def _last_steps(paths: pd.DataFrame, shown: pd.DataFrame) -> str:
    """Where no arrow ends at the decision: how what the components carry gets there."""
    if (_drawn(paths)["component"] == LOGITS).any():
        return ""
    direct = paths[paths["component"] == LOGITS].set_index("sender")["share_high"]
    if (shown["share_low"] > shown["component"].map(direct).astype(float)).any():
        return "\n(reached through components that are not drawn)"
    return f"\n(no direct path above {100 * _SHOWN:.0f} % is shown)"


def _columns(home: pd.DataFrame) -> dict[str, float]:
    """Where each role stands: as wide as its fullest layer, narrow where there is nothing."""
    heads = home[home["component"].str.contains("H")]
    fullest = heads.groupby(["role", "layer"]).size().groupby("role").max().to_dict()
    roles = [*ROLES, UNKNOWN] if (home["role"] == UNKNOWN).any() else list(ROLES)
    columns, right = {}, 0.0
    for role in roles:
        used = bool((home["role"] == role).any())
        half = max(0.6 if used else 0.4, _SIDE * fullest.get(role, 0) / 2)
        columns[role] = right + half
        right += 2 * half
    return columns


def _nodes(home: pd.DataFrame, columns: dict[str, float]) -> dict[str, Node]:
    """Where each component stands: heads of one role and layer side by side, MLPs above them."""
    nodes = {
        row.component: (columns[row.role], row.layer + 0.5)
        for row in home.itertuples()
        if "H" not in row.component
    }
    heads = home[home["component"].str.contains("H")]
    for (role, layer), own in heads.groupby(["role", "layer"], sort=False):
        for place, name in enumerate(sorted(own["component"])):
            offset = (place - (len(own) - 1) / 2) * _SIDE
            nodes[name] = (columns[role] + offset, float(layer))
    return nodes


def _draw_node(axes: Axes, row, place: Node, lower: int) -> None:
    """A disc as large as the share, its lower limit filled; MLPs are squares, named beside them.

    The name of a head stands below it, of every second one in a layer one line lower.
    """
    head = "H" in row.component
    for value, face in ((row.share, style.PAPER), (row.share_low, style.HAIR)):
        axes.scatter(
            *place, s=_AREA * max(float(value), 0.0) + 4.0, marker="o" if head else "s",
            facecolor=face, edgecolor=style.INK, linewidth=0.6, zorder=3,
        )  # fmt: skip
    label = f"{row.component} {100 * row.share:.0f} %\n"
    label += f"[{100 * row.share_low:.0f}, {100 * row.share_high:.0f}]"
    reach = _reach(row.share)
    below = (0, -reach - 12 * lower)
    offset, align = (below, ("center", "top")) if head else ((reach, 0), ("left", "center"))
    axes.annotate(
        label, place, xytext=offset, textcoords="offset points", ha=align[0], va=align[1],
        fontsize=5.2, linespacing=0.95, zorder=5,
        bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.3, "alpha": 0.75},
    )  # fmt: skip


def _draw_edges(
    axes: Axes, paths: pd.DataFrame, nodes: dict[str, Node], reach: dict[str, float]
) -> None:
    """The strongest path between two components, as wide as its share.

    Args:
        axes: of the panel.
        paths: of its model and language.
        nodes: where components stand.
        reach: how far they reach from there. [points]
    """
    bow, scale = 0.15, _scale(axes)
    for row in _drawn(paths).itertuples():
        if row.sender not in nodes or row.component not in nodes:
            continue
        ends = np.array([nodes[row.sender], nodes[row.component]])
        part = LOGITS if row.receiver == LOGITS else row.receiver.partition(".")[2]
        colour = _INPUTS[part][0]
        arrow = FancyArrowPatch(
            *ends, arrowstyle="-|>", mutation_scale=5, shrinkA=reach.get(row.sender, 6),
            shrinkB=reach.get(row.component, 7), connectionstyle=f"arc3,rad={bow}", color=colour,
            linewidth=0.4 + 3.0 * min(row.share, 1.2), alpha=0.75, zorder=2,
        )  # fmt: skip
        axes.add_patch(arrow)
        if row.share >= _LABELLED:
            across, up = (ends[1] - ends[0]) * scale
            middle = ends.mean(0) + bow / 2 * np.array([up, -across]) / scale
            axes.text(
                *middle, f"{100 * row.share:.0f}", fontsize=5, color=colour, zorder=6,
                ha="center", va="center",
                bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.3, "alpha": 0.85},
            )  # fmt: skip


def _drawn(paths: pd.DataFrame) -> pd.DataFrame:
    """The paths that have an arrow: of several between two components the strongest."""
    shown = paths[paths["share_low"] > _SHOWN].sort_values("share", ascending=False, kind="stable")
    return shown.drop_duplicates(["sender", "component"])


def _scale(axes: Axes) -> np.ndarray:
    """About how many inches a unit of either axis takes."""
    grid = axes.get_gridspec()
    width, height = axes.figure.get_size_inches() / (grid.ncols, grid.nrows)
    spans = np.diff(axes.get_xlim())[0], np.diff(axes.get_ylim())[0]
    return np.array([0.87 * width, 0.75 * height]) / spans


def _reach(share: float) -> float:
    """How far a component reaches from where it stands. [points]"""
    return float(np.sqrt(_AREA * max(share, 0.0) + 4.0) / 2 + 1.5)


def _legend() -> list[Line2D]:
    shapes = [
        style.legend_entry(
            name, color=style.INK, marker=marker, linestyle="", markerfacecolor=style.PAPER
        )
        for name, marker in (("head", "o"), ("MLP", "s"))
    ]
    lines = [
        style.legend_entry(name, color=colour, linewidth=1.6) for colour, name in _INPUTS.values()
    ]
    return shapes + lines


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on; `table` is tables/places.csv."""
    return _NOTHING if table.empty else f"n = {basis(table)}"
