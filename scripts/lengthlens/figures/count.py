"""Words left in the stream: how well each layer encodes them, and the effect of changing them."""

from __future__ import annotations

import itertools

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.parts import basis, drawn_models
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import all_apart, cases_of, stated
from lengthlens.statistics import Estimate

_ROW = 1.9  # inches
_KINDS = {  # the x axis, the true values and their null, the label, what is told without any
    "probes": ("layer", ("beyond", "control"), "explained of words left", "not probed"),
    "steering": ("delta", ("change", "null"), "words written, change", "not steered"),
}


@style.styled()
def draw_count(probes: pd.DataFrame, steering: pd.DataFrame, cast: Cast) -> Figure:
    """Draw two rows a tuned model (probes, steering) and one column a language.

    Args:
        probes: tables/count_probes.csv; steering: tables/steering.csv.
        cast: models and languages, in order.
    """
    models = drawn_models(probes, cast)
    tables = {"probes": probes, "steering": steering}
    rows = list(itertools.product(models, _KINDS))
    figure, panels = style.panel_grid([_ROW] * len(rows), cast, 0.6, sharey="row")
    for axes, (_, kind) in zip(panels[:, 0], rows, strict=True):
        axes.set_ylabel(_KINDS[kind][2])
    for axes, (model, kind), language in style.cells(panels, rows, cast):
        part = rows_of(tables[kind], model=model, language=language)
        _draw_panel(axes, part, kind, cast.looks[model])
        if kind == "probes":
            axes.set_title(f"{model}, {cast.languages[language]}", fontsize=7)
    band = Patch(
        facecolor=style.HAIR, edgecolor=style.MUTED, linewidth=0.4, label="N permuted, all draws"
    )
    style.add_legend(figure, [cast.looks[models[-1]].handle("true N"), band])
    figure.set_label(title(probes, cast))
    return figure


def title(probes: pd.DataFrame, cast: Cast) -> str:
    """Whether words left can be read from the finished stream beyond what the text tells."""
    last = probes[probes["depth"] == 1]
    if last.empty:
        return "No stream was probed for words left"
    own, permuted = (cases_of(last, name, cast) for name in ("beyond", "control"))
    reading = "the number of words left can be decoded from the final stream"
    return stated(
        all_apart(own, permuted),
        f"{reading} beyond text, position and template",
        f"{reading} worse than with N permuted",
        f"{reading} beyond text, position and template",
    )


def _draw_panel(axes: Axes, part: pd.DataFrame, kind: str, look: style.ModelLook) -> None:
    """The true values with their intervals over the band of the permuted ones."""
    x, names, _, empty = _KINDS[kind]
    part = part.dropna(subset=x).sort_values(x)
    if style.lacks_data(axes, part[x], empty):
        return
    if kind == "probes":
        axes.set_xlabel("stream entering layer (last: final norm)")
    else:
        axes.set_xlabel(f"words added to the stream entering layer {int(part['layer'].iloc[0])}")
    own, permuted = (Estimate.read(part, name) for name in names)
    place = part[x].to_numpy(dtype=float)
    style.zero_line(axes)
    axes.fill_between(
        place, permuted.low, permuted.high, facecolor=style.HAIR, edgecolor=style.MUTED,
        linewidth=0.4, zorder=1.5,
    )  # fmt: skip
    style.interval_bars(axes, place, own, look)
    ticks = place[style.sparse(len(place), 10)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def counts(table: pd.DataFrame) -> str:
    """What the figure rests on.

    Args:
        table: tables/count_probes.csv.
    """
    own = table.dropna(subset=["layer"])
    if own.empty:
        return "no answer was probed"
    return (
        f"{basis(own, 'evaluate answers')}, each under every N that it has not exceeded; "
        f"{int(own['n_draws'].max())} permutations"
    )
