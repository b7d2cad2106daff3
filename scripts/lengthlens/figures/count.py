"""Words left in the stream: how well each layer encodes them, and the effect of changing them."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lengthlens.figures import style
from lengthlens.figures.parts import basis, drawn_models, rows_of
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import all_apart, cases_of, stated
from lengthlens.statistics import Estimate

_ROW = 1.9  # inches


@style.styled()
def draw_count(probes: pd.DataFrame, steering: pd.DataFrame, cast: Cast) -> Figure:
    """Draw two rows a tuned model (probes, steering) and one column a language.

    Args:
        probes: tables/count_probes.csv; steering: tables/steering.csv.
        cast: models and languages, in order.
    """
    models = drawn_models(probes, cast)
    heights = [_ROW] * (2 * len(models))
    figure, panels = style.panel_grid(heights, len(cast.languages), 0.6, sharey="row")
    for index, model in enumerate(models):
        look = cast.looks[model]
        for column, (language, name) in enumerate(cast.languages.items()):
            above, below = panels[2 * index : 2 * index + 2, column]
            _draw_probes(above, rows_of(probes, model=model, language=language), look)
            _draw_steering(below, rows_of(steering, model=model, language=language), look)
            above.set_title(f"{model}, {name}", fontsize=7)
        panels[2 * index, 0].set_ylabel("explained of words left")
        panels[2 * index + 1, 0].set_ylabel("words written, change")
    band = Patch(
        facecolor=style.HAIR, edgecolor=style.MUTED, linewidth=0.4, label="N permuted, all draws"
    )
    style.add_legend(figure, [look.handle("true N"), band])
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


def _draw_probes(axes: Axes, part: pd.DataFrame, look: style.ModelLook) -> None:
    part = part.dropna(subset=["layer"]).sort_values("layer")
    if part.empty:
        style.no_data(axes, "not probed")
        return
    _draw(axes, part, "layer", ("beyond", "control"), look)
    axes.set_xlabel("stream entering layer (last: final norm)")


def _draw_steering(axes: Axes, part: pd.DataFrame, look: style.ModelLook) -> None:
    part = part.dropna(subset=["delta"]).sort_values("delta")
    if part.empty:
        style.no_data(axes, "not steered")
        return
    _draw(axes, part, "delta", ("change", "null"), look)
    axes.set_xlabel(f"words added to the stream entering layer {int(part['layer'].iloc[0])}")


def _draw(
    axes: Axes, part: pd.DataFrame, x: str, names: tuple[str, str], look: style.ModelLook
) -> None:
    """The true values with their intervals over the band of the permuted ones."""
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
