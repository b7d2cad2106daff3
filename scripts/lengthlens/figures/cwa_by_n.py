"""CWA by N of the late heads and of the final MLP, per step and as the paper's sum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lengthlens.analysis.groups import FINAL_MLP, LATE_HEADS, Group
from lengthlens.figures.long_bars import Bars, cut_long_bars
from lengthlens.figures.style import (
    Cast,
    add_legend,
    interval_bars,
    no_data,
    panel_grid,
    percent,
    styled,
    zero_line,
)
from lengthlens.statistics import DEFAULT, Bootstrap, Estimate, ratio_interval

TITLE = "CWA by N"
ROWS = (
    (LATE_HEADS, "step", "late heads,\nlogits per step"),
    (FINAL_MLP, "step", "final MLP,\nlogits per step"),
    (LATE_HEADS, "sum", "late heads,\nsum (paper), logits"),
    (FINAL_MLP, "sum", "final MLP,\nsum (paper), logits"),
)
_APART = 0.1


def draw_cwa_by_n(
    attributions: Mapping[tuple[str, str], xr.Dataset],
    cast: Cast,
    bootstrap: Bootstrap = DEFAULT,
) -> Figure:
    """Draw CWA by N, a row a component and form, a column a language.

    Args:
        attributions: attribution file of each (model, language).
        cast: models and languages, in order.
        bootstrap: of the intervals, which are clustered by topic.
    """
    with styled():
        figure, panels = panel_grid(
            len(ROWS), len(cast.languages), [1.35] * len(ROWS), sharex=True, sharey="row"
        )
        for row, (group, form, label) in zip(panels, ROWS, strict=True):
            drawn: list[Bars] = []
            for axes, language in zip(row, cast.languages, strict=True):
                zero_line(axes)
                own = {
                    model: attributions[model, language]
                    for model in cast.looks
                    if (model, language) in attributions
                }
                drawn += _draw_panel(axes, own, cast, (group, form), bootstrap)
            if drawn:
                cut_long_bars(drawn)
            row[0].set_ylabel(label)
        for axes, name in zip(panels[0], cast.languages.values(), strict=True):
            axes.set_title(name)
        for axes in panels[-1]:
            axes.set_xlabel("N, words asked for")
        numbers = np.unique(np.concatenate([a["n"].to_numpy() for a in attributions.values()]))
        panels[-1, 0].set_xticks(numbers)
        handles = [
            look.handle(f"{model}, {percent(bootstrap.level)} interval")
            for model, look in cast.looks.items()
        ]
        null = Line2D(
            [],
            [],
            color="#57606a",
            marker="_",
            markersize=6,
            linestyle="",
            label="mean of shifted signs (null)",
        )
        add_legend(figure, [*handles, null], columns=3)
    return figure


def _draw_panel(
    axes: Axes,
    attributions: Mapping[str, xr.Dataset],
    cast: Cast,
    row: tuple[Group, str],
    bootstrap: Bootstrap,
) -> list[Bars]:
    drawn, (group, form) = [], row
    for index, (model, look) in enumerate(cast.looks.items()):
        if model not in attributions:
            continue
        attribution = attributions[model]
        sums = group.sums(attribution)
        total, null = sums.total, sums.shifted
        bottom = sums.steps if form == "step" else np.ones_like(sums.steps)
        n, topics = attribution["n"].to_numpy(), attribution["topic"].to_numpy()
        numbers = np.unique(n)
        found = [
            ratio_interval(total[n == k], bottom[n == k], topics[n == k], bootstrap)
            for k in numbers
        ]
        x = numbers + _APART * (2 * index - len(cast.looks) + 1)
        nulls = [null[n == k].sum() / max(bottom[n == k].sum(), 1) for k in numbers]
        axes.scatter(
            x, nulls, marker="_", s=45, color=look.color, linewidths=1.2, alpha=0.55, zorder=2
        )
        means = Estimate.stacked(found)
        interval_bars(axes, x, means, look)
        drawn.append(Bars(axes, x, means, look.color))
    if not drawn:
        no_data(axes, "no samples")
    return drawn


def counts(attributions: Mapping[tuple[str, str], xr.Dataset]) -> str:
    """How many answers and topics the figure rests on, for its caption."""
    sizes = [
        int(count)
        for attribution in attributions.values()
        for count in np.unique(attribution["n"].to_numpy(), return_counts=True)[1]
    ]
    text = str(min(sizes)) if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    depth = {attribution.sizes["layer"] for attribution in attributions.values()}
    late = "; ".join(f"the last {len(LATE_HEADS.layers(d))} of {d} layers" for d in sorted(depth))
    return f"n = {text} answers for each model, language and N. Late: {late}."
