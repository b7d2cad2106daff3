"""Rank correlation of attribution scores with the measured effects of single heads."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lengthlens.analysis.tables import first_of, rows_of
from lengthlens.figures import style
from lengthlens.figures.parts import level_of
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import cases_of, span, tallied, told_models
from lengthlens.settings.claims import AnyScore
from lengthlens.statistics import Estimate

SCORE_NAMES = style.METHOD_NAMES | {
    "cwa_logit": "CWA, logit",
    "cwa_end": "CWA, margin",
    "dla": "DLA, no signs",
    "layer_mean": "layer mean",
    "depth": "depth",
}
ORDER = get_args(AnyScore)
# What scores are compared with: the measured effect on the end margin, at or up to the decision.
OUTCOME_NAMES = {
    "decision": "at the decision step",
    "contrast": "at the decision minus earlier boundaries",
}
_OVERS = {"all": ("all heads", -0.16, True), "within": ("within layers", 0.16, False)}
_TOLD = ("cwa", "end_contrast", "nswap")  # scores whose claim to find causes is tested
_ROW = 1.45  # inches


@style.styled()
def draw_scores(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw a row for each tuned model and outcome, and a column a language: effects of heads.

    Args:
        table: tables/scores.csv.
        cast: models and languages, in order.
    """
    heads = rows_of(table, kind="head")
    heads = first_of(heads, "mode")
    rows = list(itertools.product(told_models(cast), OUTCOME_NAMES))
    figure, panels = style.panel_grid([_ROW] * len(rows), cast, 1.1, sharex=True, sharey=True)
    for axes, (model, outcome), language in style.cells(panels, rows, cast):
        own = rows_of(heads, model=model, language=language, outcome=outcome)
        _draw_panel(axes, own, cast.looks[model])
        name = f"{model}, {cast.languages[language]}"
        axes.set_title(f"{name}:\n{OUTCOME_NAMES[outcome]}", fontsize=6.5)
    style.label_grid(panels, "", "rank correlation")
    style.add_legend(figure, _legend(level_of(table)))
    figure.set_label(title(heads, cast))
    return figure


def title(heads: pd.DataFrame, cast: Cast) -> str:
    """Which scores rank the heads of a layer by their effects better than the heads' size does."""
    own = rows_of(heads, over="within", outcome="decision")
    named = {
        SCORE_NAMES[score]: cases_of(rows_of(own, score=score), "over_norm", cast)
        for score in _TOLD
    }
    named = {name: cases for name, cases in named.items() if cases}
    if not named:
        return "No effects of single heads were measured"
    return (
        "Within layers, scores predict the effects of heads better than their output norm does: "
        f"{tallied(named)}"
    )


def _draw_panel(axes: Axes, own: pd.DataFrame, look: style.ModelLook) -> None:
    axes.set_xlim(-0.6, len(ORDER) - 0.4)
    axes.set_ylim(-1.05, 1.05)
    names = [SCORE_NAMES[score] for score in ORDER]
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    if style.lacks_data(axes, own["correlation"], "no measured effects"):
        return
    style.zero_line(axes)
    for over, (_, shift, filled) in _OVERS.items():
        part = rows_of(own, over=over).set_index("score").reindex(ORDER)
        x = np.arange(len(ORDER)) + shift
        found = Estimate.read(part, "correlation")
        axes.vlines(x, found.low, found.high, color=look.color, linewidth=1.0, zorder=2)
        axes.plot(
            x, found.estimate, linestyle="", marker=look.marker, markeredgecolor=look.color,
            markerfacecolor=look.color if filled else style.PAPER, markeredgewidth=0.8, zorder=3,
        )  # fmt: skip


def _legend(level: str) -> list[Line2D]:
    return [
        style.legend_entry(
            f"{name}, {level} interval",
            color=style.INK,
            marker="o",
            linewidth=1.0,
            markerfacecolor=style.INK if filled else style.PAPER,
        )
        for name, _, filled in _OVERS.values()
    ]


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on."""
    heads = rows_of(table, kind="head", outcome="decision")
    if heads.empty:
        return "no effects were measured"
    names = ("n_components", "n_select", "n_evaluate")
    components, select, evaluate = (span(heads[name], "count") for name in names)
    return (
        f"{components} heads; {select} select and {evaluate} evaluate answers; at least "
        f"{int(heads['n_topics'].min())} topics on either side"
    )
