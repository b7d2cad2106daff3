"""CWA by N of the late heads and of the final MLP, per step and as the paper's sum."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lengthlens.analysis.groups import FINAL_MLP, LATE_HEADS, Group
from lengthlens.figures import style
from lengthlens.figures.long_bars import Bars, cut_long_bars
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import Case, apart, language_name, span, stated, told_models
from lengthlens.statistics import DEFAULT, Bootstrap, Estimate, Interval, ratio_interval

ROWS = (
    (LATE_HEADS, "step", "late heads,\nlogits per step"),
    (FINAL_MLP, "step", "final MLP,\nlogits per step"),
    (LATE_HEADS, "sum", "late heads,\nsum (paper), logits"),
    (FINAL_MLP, "sum", "final MLP,\nsum (paper), logits"),
)
_APART = 0.1


@style.styled()
def draw_cwa_by_n(
    attributions: Mapping[tuple[str, str], xr.Dataset], cast: Cast, bootstrap: Bootstrap = DEFAULT
) -> Figure:
    """Draw CWA by N, a row a component and form, a column a language.

    Args:
        attributions: attribution file of each (model, language).
        cast: models and languages, in order.
        bootstrap: of the intervals, which are clustered by topic.
    """
    figure, panels = style.panel_grid([1.35] * len(ROWS), cast, sharex=True, sharey="row")
    drawn: dict[tuple, list[Bars]] = {row: [] for row in ROWS}
    for axes, row, language in style.cells(panels, ROWS, cast):
        style.zero_line(axes)
        own = {model: data for (model, code), data in attributions.items() if code == language}
        drawn[row] += _draw_panel(axes, own, cast, row, bootstrap)
    for bars in filter(None, drawn.values()):
        cut_long_bars(bars)
    style.label_grid(panels, "N, words asked for", [label for *_, label in ROWS])
    style.name_columns(panels, cast)
    numbers = np.unique(np.concatenate([a["n"].to_numpy() for a in attributions.values()]))
    panels[-1, 0].set_xticks(numbers)
    look = {"color": style.MUTED, "marker": "_", "markersize": 6, "linestyle": ""}
    null = style.legend_entry("mean of shifted signs (null)", **look)
    style.add_legend(figure, [*cast.handles(bootstrap.level), null], columns=3)
    figure.set_label(title(attributions, cast, bootstrap))
    return figure


def title(
    attributions: Mapping[tuple[str, str], xr.Dataset], cast: Cast, bootstrap: Bootstrap
) -> str:
    """Whether late heads have more CWA per step at the largest N than at the smallest."""
    ends = [int(end(a["n"].to_numpy())) for a in attributions.values() for end in (min, max)]
    few, many = min(ends), max(ends)
    cases = []
    for (model, language), data in attributions.items():
        if model not in told_models(cast) or language not in cast.languages:
            continue
        by_n = {k: found for k, found, _ in _by_n(data, LATE_HEADS, "step", bootstrap)}
        if few in by_n and many in by_n and few < many:
            name = language_name(language, cast)
            first, last = (
                Case(model, name, *x.columns("").values()) for x in (by_n[few], by_n[many])
            )
            cases.append(apart(last, first))
    return stated(
        cases,
        f"late heads' CWA per step is larger at N = {many} than at N = {few}",
        f"late heads' CWA per step is smaller at N = {many} than at N = {few}",
        f"late heads' CWA per step differs between N = {few} and N = {many}",
    )


def _by_n(
    attribution: xr.Dataset, group: Group, form: str, bootstrap: Bootstrap
) -> list[tuple[int, Interval, float]]:
    """CWA of a group at every N, per step or as a sum, and its mean under shifted signs."""
    sums = group.sums(attribution)
    bottom = sums.steps if form == "step" else np.ones_like(sums.steps)
    n, topics = attribution["n"].to_numpy(), attribution["topic"].to_numpy()
    return [
        (
            int(k),
            ratio_interval(sums.total[n == k], bottom[n == k], topics[n == k], bootstrap),
            sums.shifted[n == k].sum() / max(bottom[n == k].sum(), 1),
        )
        for k in np.unique(n)
    ]


def _draw_panel(
    axes: Axes,
    attributions: Mapping[str, xr.Dataset],
    cast: Cast,
    row: tuple[Group, str, str],
    bootstrap: Bootstrap,
) -> list[Bars]:
    drawn = []
    for index, (model, look) in enumerate(cast.looks.items()):
        if model not in attributions:
            continue
        numbers, found, nulls = zip(*_by_n(attributions[model], *row[:2], bootstrap), strict=True)
        x = np.array(numbers) + style.beside(index, len(cast.looks), _APART)
        axes.scatter(
            x, nulls, marker="_", s=45, color=look.color, linewidths=1.2, alpha=0.55, zorder=2
        )
        means = Estimate.stacked(found)
        style.interval_bars(axes, x, means, look)
        drawn.append(Bars(axes, x, means, look.color))
    if not drawn:
        style.no_data(axes, "no samples")
    return drawn


def counts(attributions: Mapping[tuple[str, str], xr.Dataset]) -> str:
    """How many answers and topics the figure rests on, for its caption."""
    sizes = [
        int(count)
        for attribution in attributions.values()
        for count in np.unique(attribution["n"].to_numpy(), return_counts=True)[1]
    ]
    depth = {attribution.sizes["layer"] for attribution in attributions.values()}
    late = "; ".join(f"the last {len(LATE_HEADS.layers(d))} of {d} layers" for d in sorted(depth))
    return f"n = {span(sizes, 'count')} answers for each model, language and N. Late: {late}."
