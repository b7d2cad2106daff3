"""Rank correlation of attribution scores with the measured effects of single heads."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lengthlens.figures.style import (
    INK,
    METHOD_NAMES,
    PAPER,
    Cast,
    ModelLook,
    add_legend,
    no_data,
    page_width,
    percent,
    styled,
    zero_line,
)
from lengthlens.figures.titles import cases_of, tallied, told_models

SCORE_NAMES = METHOD_NAMES | {
    "cwa_logit": "CWA, logit",
    "cwa_end": "CWA, margin",
    "dla": "DLA, no signs",
    "layer_mean": "layer mean",
    "depth": "depth",
}
ORDER = (
    "cwa",
    "cwa_logit",
    "cwa_end",
    "dla",
    "end_contrast",
    "nswap",
    "norm",
    "layer_mean",
    "depth",
    "effect",
)
# What scores are compared with: the measured effect on the end margin, at or up to the decision.
OUTCOME_NAMES = {
    "decision": "at the decision step",
    "contrast": "at the decision minus earlier boundaries",
}
_OVERS = {"all": ("all heads", -0.16, True), "within": ("within layers", 0.16, False)}
_TOLD = ("cwa", "end_contrast", "nswap")  # scores whose claim to find causes is tested
_ROW = 1.45  # inches


def draw_scores(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw a row for each tuned model and outcome, and a column a language: effects of heads.

    Args:
        table: tables/scores.csv.
        cast: models and languages, in order.
    """
    heads = table[table["kind"] == "head"]
    modes = list(dict.fromkeys(heads["mode"]))
    heads = heads[heads["mode"].isin(modes[:1])]
    looks = cast.looks
    rows = list(itertools.product(told_models(cast), OUTCOME_NAMES))
    with styled():
        size = (page_width(len(cast.languages)), _ROW * len(rows) + 1.1)
        figure = Figure(figsize=size)
        panels = figure.subplots(
            len(rows), len(cast.languages), squeeze=False, sharex=True, sharey=True
        )
        for row, (model, outcome) in zip(panels, rows, strict=True):
            for axes, (language, name) in zip(row, cast.languages.items(), strict=True):
                own = heads[(heads["model"] == model) & (heads["language"] == language)]
                _draw_panel(axes, own[own["outcome"] == outcome], looks[model])
                axes.set_title(f"{model}, {name}:\n{OUTCOME_NAMES[outcome]}", fontsize=6.5)
            row[0].set_ylabel("rank correlation")
        level = float(table["level"].iloc[0]) if len(table) else 0.95
        add_legend(figure, _legend(level))
    figure.set_label(title(heads, cast))
    return figure


def title(heads: pd.DataFrame, cast: Cast) -> str:
    """Which scores rank the heads of a layer by their effects better than the heads' size does."""
    own = heads[(heads["over"] == "within") & (heads["outcome"] == "decision")]
    named = {
        SCORE_NAMES[score]: cases_of(own[own["score"] == score], "over_norm", cast)
        for score in _TOLD
    }
    named = {name: cases for name, cases in named.items() if cases}
    if not named:
        return "No effects of single heads were measured"
    return (
        "Within layers, scores predict the effects of heads better than their output norm does: "
        f"{tallied(named)}"
    )


def _draw_panel(axes: Axes, own: pd.DataFrame, look: ModelLook) -> None:
    axes.set_xlim(-0.6, len(ORDER) - 0.4)
    axes.set_ylim(-1.05, 1.05)
    axes.set_xticks(range(len(ORDER)))
    names = [SCORE_NAMES[score] for score in ORDER]
    axes.set_xticklabels(names, rotation=45, ha="right", rotation_mode="anchor")
    if not np.isfinite(own["correlation"].to_numpy(dtype=float)).any():
        no_data(axes, "no measured effects")
        return
    zero_line(axes)
    for over, (_, shift, filled) in _OVERS.items():
        part = own[own["over"] == over].set_index("score").reindex(ORDER)
        x = np.arange(len(ORDER)) + shift
        value = part["correlation"].to_numpy(dtype=float)
        ends = [part[f"correlation_{end}"].to_numpy(dtype=float) for end in ("low", "high")]
        axes.vlines(x, *ends, color=look.color, linewidth=1.0, zorder=2)
        axes.plot(
            x,
            value,
            linestyle="",
            marker=look.marker,
            markerfacecolor=look.color if filled else PAPER,
            markeredgecolor=look.color,
            markeredgewidth=0.8,
            zorder=3,
        )


def _legend(level: float) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            color=INK,
            marker="o",
            linewidth=1.0,
            markerfacecolor=INK if filled else PAPER,
            label=f"{name}, {percent(level)} interval",
        )
        for name, _, filled in _OVERS.values()
    ]


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on."""
    heads = table[(table["kind"] == "head") & (table["outcome"] == "decision")]
    if heads.empty:
        return "no effects were measured"

    def span(name: str) -> str:
        low, high = int(heads[name].min()), int(heads[name].max())
        return f"{low}" if low == high else f"{low} to {high}"

    return (
        f"{span('n_components')} heads; {span('n_select')} select and {span('n_evaluate')} "
        f"evaluate answers; at least {int(heads['n_topics'].min())} topics on either side"
    )
