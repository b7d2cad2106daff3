"""Where tuning put control: tuned weights of more and more layers, from the bottom and the top."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import cases_of, stated
from lengthlens.models.depth import LATE, layers_between

DIRECTIONS = {"untuned": "recovered in\nthe untuned model", "tuned": "lost from\nthe tuned model"}
SIDES = {
    "bottom": (style.PART_COLOURS[2], "all layers below"),
    "top": (style.PART_COLOURS[1], "all layers from there on"),
}
MEASURES = {"exact": ("-", "o", "exact answers"), "n_effect": ("--", "s", "effect of N")}
_ROW = 1.6  # inches


def curves(table: pd.DataFrame) -> pd.DataFrame:
    """The cumulative hybrids, with `side` and `boundary`: the layer from which, or below which."""
    own = table[(table["what"] == "all") & (table["layers"] != "") & (table["scale"] == 1)]
    ends = own["layers"].astype(str).str.extract(r"^(\d+)-(\d+)$").astype(int)
    own = own.assign(first=ends[0], last=ends[1])
    final = own["last"].max() if len(own) else 0
    bottom = own[own["first"] == 0].assign(side="bottom", boundary=lambda rows: rows["last"] + 1)
    top = own[own["last"] == final].assign(side="top", boundary=lambda rows: rows["first"])
    return pd.concat([bottom, top])


@style.styled()
def draw_transplants(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw a row for each pair and direction, a column for each language.

    Args:
        table: tables/transplants.csv.
        cast: models and languages, in order.
    """
    pairs = list(table[["untuned", "tuned"]].drop_duplicates().itertuples(index=False, name=None))
    rows = [(pair, into) for pair in pairs or [("", "")] for into in DIRECTIONS]
    figure, panels = style.panel_grid([_ROW] * len(rows), cast, 0.7, sharex="row", sharey=True)
    for axes, ((untuned, tuned), into), language in style.cells(panels, rows, cast):
        part = rows_of(table, untuned=untuned, tuned=tuned, language=language, into=into)
        _draw_panel(axes, curves(part))
        name = cast.languages[language]
        axes.set_title(f"{tuned}, {name}" if tuned else name, fontsize=7)
    style.label_grid(panels, "layer", [f"share of gain\n{DIRECTIONS[into]}" for _, into in rows])
    style.add_legend(figure, _legend())
    figure.set_label(title(table, cast))
    return figure


def title(table: pd.DataFrame, cast: Cast) -> str:
    """Whether the tuned weights of the last quarter of layers bring most of the exact answers.

    If they take neutral text outside the range of both models, counting is not mentioned.
    """
    own = curves(rows_of(table, into="untuned", measure="exact"))
    if own["share"].isna().all():
        return "No exchange of weights shows where tuning put control"
    first = layers_between(int(own["last"].max()) + 1, *LATE)[:1]
    late = own[(own["side"] == "top") & own["boundary"].isin(first) & own["share"].notna()]
    judged = late["neutral_within"].astype(bool)
    late = late.assign(
        share_low=late["share_low"].where(judged), share_high=late["share_high"].where(judged)
    )
    part = "half of the gain in exact answers"
    late_weights = "tuned weights of the last quarter of layers alone"
    if len(late) and not judged.any():
        return (
            f"Whether {late_weights} recover more than {part} is not judged: they take neutral "
            "text outside the range of both models"
        )
    return stated(
        cases_of(late, "share", cast, "tuned"),
        f"{late_weights} recover more than {part}",
        f"{late_weights} recover less than {part}",
        null=0.5,
    )


def _draw_panel(axes: Axes, part: pd.DataFrame) -> None:
    axes.set_ylim(-0.5, 1.5)
    empty = "not measured" if part.empty else "no gain to explain"
    if style.lacks_data(axes, part["share"], empty):
        return
    style.zero_line(axes)
    axes.axhline(1, color=style.HAIR, linewidth=0.8, zorder=1)
    for (side, measure), curve in part.groupby(["side", "measure"], sort=False):
        if measure not in MEASURES:
            continue
        curve = curve.dropna(subset="share").sort_values("boundary")
        colour, (line, marker, _) = SIDES[side][0], MEASURES[measure]
        x = curve["boundary"].to_numpy(dtype=float)
        axes.vlines(x, curve["share_low"], curve["share_high"], color=colour, linewidth=0.8)
        axes.plot(x, curve["share"], color=colour, linestyle=line, zorder=2)
        for within, face in ((True, colour), (False, style.PAPER)):
            own = curve[curve["neutral_within"].astype(bool) == within]
            axes.plot(
                own["boundary"], own["share"], linestyle="none", marker=marker, color=colour,
                markerfacecolor=face, zorder=3,
            )  # fmt: skip


def _legend() -> list[Line2D]:
    sides = [style.legend_entry(label, color=colour) for colour, label in SIDES.values()]
    measures = [
        style.legend_entry(label, color=style.MUTED, linestyle=line, marker=marker)
        for line, marker, label in MEASURES.values()
    ]
    outside = "neutral text outside the parents' range"
    hollow = {"marker": "o", "markerfacecolor": style.PAPER, "linestyle": "none"}
    return [*sides, *measures, style.legend_entry(outside, color=style.MUTED, **hollow)]
