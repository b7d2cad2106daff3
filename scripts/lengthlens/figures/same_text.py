"""Attribution of the tuned minus the untuned model, on their own and on the same answers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import cases_of, stated

QUANTITIES = {
    "observed": ("own text", style.INK, "o"),
    "on_tuned": ("tuned's text", style.TUNING_COLOURS["tuned"], "o"),
    "on_untuned": ("untuned's text", style.TUNING_COLOURS["untuned"], "s"),
    "interaction": ("interaction", style.INK, "D"),
    "shifted": ("shifted signs", style.MUTED, "x"),
}
SHARES = {"on_tuned": "share_on_tuned", "on_untuned": "share_on_untuned"}
_ROW = 1.25  # inches


@style.styled()
def draw_same_text(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw a row for every pair of models and group of components, a column a language.

    Args:
        table: tables/same_text.csv.
        cast: models and languages, in order.
    """
    pairs = table[["tuned", "untuned"]].drop_duplicates().to_dict("records")
    groups = list(dict.fromkeys(table["group"]))
    rows = list(itertools.product(pairs, groups)) or [({}, "")]
    figure, panels = style.panel_grid([_ROW] * len(rows), cast, 0.9, sharex=True, sharey="row")
    for axes, (pair, group), language in style.cells(panels, rows, cast):
        _draw_panel(axes, rows_of(table, group=group, language=language, **pair))
        if group == rows[0][1]:
            several = f"{pair['tuned']} − {pair['untuned']}, " if len(pairs) > 1 else ""
            axes.set_title(f"{several}{cast.languages[language]}", fontsize=7)
    style.label_grid(panels, "", [f"{group}\nlogits per step" for _, group in rows])
    figure.set_label(title(table, cast))
    return figure


def title(table: pd.DataFrame, cast: Cast) -> str:
    """Whether late heads differ in CWA between the models where both read the same answers."""
    on_tuned, on_untuned = (
        cases_of(rows_of(table, group="late heads", quantity=text), "value", cast, "tuned")
        for text in ("on_tuned", "on_untuned")
    )
    if not on_tuned:
        return "No texts were exchanged between two models"
    both = [
        replace(
            one,
            estimate=(one.estimate + other.estimate) / 2,
            low=min(one.low, other.low),
            high=max(one.high, other.high),
        )
        for one, other in zip(on_tuned, on_untuned, strict=True)
    ]
    return stated(
        both,
        "on the same answers, of either model, late heads have more CWA in the tuned model",
        "on the same answers, of either model, late heads have less CWA in the tuned model",
        "late heads have more CWA in the tuned model on the same answers, of either model,",
    )


def _draw_panel(axes: Axes, own: pd.DataFrame) -> None:
    axes.set_xlim(-0.6, len(QUANTITIES) - 0.4)
    names = [name for name, _, _ in QUANTITIES.values()]
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    part = own.set_index("quantity").reindex(QUANTITIES)
    if style.lacks_data(axes, part["value"], "texts not exchanged"):
        return
    style.zero_line(axes)
    for x, (row, (_, color, marker)) in enumerate(
        zip(part.itertuples(), QUANTITIES.values(), strict=True)
    ):
        axes.vlines(x, row.value_low, row.value_high, color=color, linewidth=1.2, zorder=2)
        axes.plot(x, row.value, linestyle="", marker=marker, color=color, zorder=3)
    shares = own.set_index("quantity")["value"].reindex(SHARES.values())
    for (quantity, _), share in zip(SHARES.items(), shares, strict=True):
        if np.isfinite(share):
            x = list(QUANTITIES).index(quantity)
            axes.annotate(
                f"{100 * share:.0f} %", (x, part.loc[quantity, "value_high"]), xytext=(0, 2),
                textcoords="offset points", ha="center", fontsize=5.5, annotation_clip=False,
            )  # fmt: skip


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on."""
    if table.empty:
        return "no texts were exchanged: that needs an untuned and a tuned model of one tokenizer"
    samples, topics = int(table["n_samples"].min()), int(table["n_topics"].min())
    return f"{samples} answers of both models in every language, about {topics} topics"
