"""The drop of the end margin by origin (direct, through others, scale), for each chosen set."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lengthlens.analysis.tables import first_of, rows_of
from lengthlens.figures import style
from lengthlens.figures.parts import largest_sets, level_of
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import cases_of, stated, told_models
from lengthlens.statistics import Estimate

_TERMS = {
    "direct": ("direct", style.MUTED),
    "heads": ("other heads", style.PART_COLOURS[0]),
    "mlps": ("other MLPs", style.PART_COLOURS[3]),
    "scale": ("scale of the final norm", style.PART_COLOURS[2]),
    "drop": ("all together: the drop", style.INK),
}
_SETS = {"late_heads": "late heads", "early_heads": "early heads", "final_mlp": "final MLP"}
_ROW = 2.1  # inches


@style.styled()
def draw_repair(table: pd.DataFrame, cast: Cast) -> Figure:
    """Draw bars with intervals for every term, in one panel per tuned model and language.

    Args:
        table: tables/repair.csv; of each method the largest k is drawn.
        cast: models and languages, in order.
    """
    models = told_models(cast)
    own = rows_of(table, minus="")
    figure, panels = style.panel_grid([_ROW] * len(models), cast, 0.6, sharey="row")
    for axes, model, language in style.cells(panels, models, cast):
        axes.set_title(f"{model}, {cast.languages[language]}", fontsize=7)
        _draw_panel(axes, rows_of(own, model=model, language=language))
    style.label_grid(panels, "", "part of the drop, logits")
    handles = [Patch(color=color, label=name) for name, color in _TERMS.values()]
    handles.append(Patch(color="none", label=f"bars: {level_of(table)} intervals"))
    style.add_legend(figure, handles, columns=3)
    figure.set_label(title(own, cast))
    return figure


def title(own: pd.DataFrame, cast: Cast) -> str:
    """Whether the remaining MLPs contribute less when heads are removed.

    The heads are those of the last quarter of layers, otherwise the largest set of the first score.
    """
    rows = own[(own["term"] == "mlps") & own["contribution"].notna()]
    rows = first_of(rows, "mode")
    late = rows_of(rows, method="late_heads")
    heads = "the late heads"
    if late.empty and len(rows):
        method = str(rows["method"].iloc[0])
        late = largest_sets(rows_of(rows, method=method))
        heads = f"the top {late['k'].iloc[0]} heads by {style.METHOD_NAMES.get(method, method)}"
    if late.empty:
        return "The drop of the end margin was not decomposed"
    return stated(
        cases_of(late, "contribution", cast),
        f"without {heads}, the MLPs also contribute less to ending",
        f"without {heads}, the MLPs contribute more to ending",
        f"the MLPs contribute less to ending without {heads}",
    )


def _draw_panel(axes: Axes, part: pd.DataFrame) -> None:
    sets = _chosen(part)
    if not sets or not part["contribution"].notna().any():
        style.no_data(axes, "no decision step")
        axes.set_xticks([])
        return
    style.zero_line(axes)
    width = 0.8 / len(_TERMS)
    for place, rows in enumerate(sets.values()):
        for index, (term, (_, color)) in enumerate(_TERMS.items()):
            bar = Estimate.read(rows_of(rows, term=term), "contribution")
            x = place + width * (index - (len(_TERMS) - 1) / 2)
            axes.bar(x, bar.estimate, width, color=color, zorder=2)
            axes.errorbar(
                x, bar.estimate, yerr=bar.reach, color=style.INK, elinewidth=0.7,
                linestyle="none", zorder=3,
            )  # fmt: skip
    axes.set_xticks(range(len(sets)), list(sets), rotation=40, ha="right", fontsize=6)


def _chosen(part: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The largest top set of every method, and the sets by position, by their labels."""
    found = {}
    for (chosen_by, method), rows in part.groupby(["chosen_by", "method"], sort=False):
        if chosen_by == "top":
            name = style.METHOD_NAMES.get(method, method.replace("_", " "))
            found[f"top {rows['k'].max()}, {name}"] = largest_sets(rows)
        elif method in _SETS:
            found[_SETS[method]] = rows
    return found


def counts(table: pd.DataFrame) -> str:
    """Answers and topics, for the caption."""
    own = rows_of(table, minus="", term="drop")
    if own.empty or not own["n_samples"].max():
        return "No answer had a decision step."
    n, topics = own["n_samples"], own["n_topics"]
    return (
        f"n = {n.min()} to {n.max()} answers with a decision step, about {topics.min()} to "
        f"{topics.max()} evaluate topics."
    )
