"""Dose-response of ablation: chosen heads against random heads of the same layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lengthlens.analysis.effects import Dose, chosen_sets, dose_response, interval_of, own_language
from lengthlens.analysis.outcomes import measure_values
from lengthlens.figures.style import (
    INK,
    METHOD_COLOURS,
    METHOD_NAMES,
    MUTED,
    PAPER,
    Cast,
    add_legend,
    no_data,
    page_width,
    percent,
    styled,
)
from lengthlens.statistics import DEFAULT, Bootstrap, Estimate

TITLE = "Ablation of chosen heads"
_ROWS = (
    ("exact", "exactly N words, %"),
    ("error", "error, words − N"),
    ("end_margin", "end margin, logits"),
)
MAIN = ("cwa", "end_contrast")  # whose chosen sets the tests of heads are about
_MARKERS = {"cwa": "o", "end_contrast": "s", "nswap": "D", "effect": "^", "atp": "v"}
FEWEST_DRAWS = 39  # so many that 2 / (draws + 1), the smallest p-value, is 5 %
_ROW = 1.3  # inches
_APART = 0.17


def draw_ablation(
    ablations: Mapping[tuple[str, str], xr.Dataset],
    cast: Cast,
    bootstrap: Bootstrap = DEFAULT,
) -> Figure:
    """Draw what removing the heads of the tested scores does, in models that are ever exact.

    All models are drawn where none is ever exact. The rest is as in `draw_scores_removed`.

    Args:
        ablations: ablation file of each (model, language).
        cast: models and languages, in order.
        bootstrap: of the intervals.
    """
    exact = {model: v for model, v in cast.tunings.items() if _ever_exact(ablations, model)}
    few = Cast(exact or cast.tunings, cast.languages)
    return draw_scores_removed(ablations, few, bootstrap, MAIN)


def draw_scores_removed(
    ablations: Mapping[tuple[str, str], xr.Dataset],
    cast: Cast,
    bootstrap: Bootstrap = DEFAULT,
    scores: Sequence[str] = tuple(METHOD_COLOURS),
) -> Figure:
    """Draw what removing heads does: rows of measures for each model, a column a language.

    A filled marker is the chosen set, with the interval for its mean clustered by topic. The
    distribution beside it is of control sets (dots: draws; bar: their central 95 %; line: their
    mean). A marker is filled where it lies outside that bar, with at least FEWEST_DRAWS draws.

    Args:
        ablations: ablation file of each (model, language).
        cast: models and languages, in order.
        bootstrap: of the intervals.
        scores: that chose the heads.
    """
    models = sorted(cast.tunings, key=lambda model: cast.tunings[model] != "tuned")
    rows = [
        (model, *measure)
        for model in models
        for measure in _ROWS
        if measure[0] != "exact" or _ever_exact(ablations, model)
    ]
    above = [None, *(model for model, _, _ in rows)]
    below = [*(model for model, _, _ in rows[1:]), None]
    with styled():
        figure = Figure(figsize=(page_width(len(cast.languages)), _ROW * len(rows) + 0.7))
        panels = figure.subplots(len(rows), len(cast.languages), squeeze=False, sharey="row")
        for place, (model, measure, label) in enumerate(rows):
            row = panels[place]
            for axes, (language, name) in zip(row, cast.languages.items(), strict=True):
                if (model, language) in ablations:
                    _draw_panel(axes, ablations[model, language], measure, bootstrap, scores)
                else:
                    no_data(axes, "not ablated")
                    axes.set_xticks([])
                if above[place] != model:
                    axes.set_title(f"{model}, {name}", fontsize=7)
                if below[place] != model:
                    axes.set_xlabel("k, heads removed")
            row[0].set_ylabel(label)
        add_legend(figure, _legend(ablations, bootstrap.level, scores), columns=2)
    return figure


def _ever_exact(ablations: Mapping[tuple[str, str], xr.Dataset], model: str) -> bool:
    """Whether any answer of a model is exact; a row of zeros would tell nothing."""
    own = [data for (name, _), data in ablations.items() if name == model]
    return any(np.nansum(measure_values(data, "exact")) > 0 for data in own)


def _main_mode(data: xr.Dataset) -> str:
    """The mode in which every k was tried; the others have a few sizes and are in the table."""
    top = (data["chosen_by"] == "top").to_numpy()
    return str(data["mode"].to_numpy()[np.flatnonzero(top)[0]]) if top.any() else "none"


def _legend(
    ablations: Mapping[tuple[str, str], xr.Dataset], level: float, scores: Sequence[str]
) -> list:
    methods = dict.fromkeys(
        str(method) for data in ablations.values() for method in np.unique(data["method"])
    )
    handles: list = [
        Line2D(
            [],
            [],
            color=METHOD_COLOURS[method],
            marker=_MARKERS[method],
            label=f"top k by {METHOD_NAMES[method]}, {percent(level)} interval",
        )
        for method in scores
        if method in methods
    ]
    controls = Patch(color=MUTED, alpha=0.45, label="random heads of the same layers, 95 %")
    none = Line2D([], [], color=INK, linestyle=(0, (4, 2)), linewidth=0.8, label="nothing removed")
    return [*handles, controls, none]


def _draw_panel(
    axes: Axes, data: xr.Dataset, measure: str, bootstrap: Bootstrap, scores: Sequence[str]
) -> None:
    scale = 100 if measure == "exact" else 1
    values, topics = measure_values(data, measure), data["topic"].to_numpy()
    none = interval_of(values[0], topics, measure, bootstrap)
    if not np.isfinite(none.estimate):
        no_data(axes, "no decision step")
        return
    axes.axhline(scale * none.estimate, color=INK, linestyle=(0, (4, 2)), linewidth=0.8, zorder=1)
    axes.axhspan(scale * none.low, scale * none.high, color=INK, alpha=0.07, linewidth=0, zorder=0)
    methods = [name for name in scores if (data["method"] == name).any()]
    mode = _main_mode(data)
    series = {method: dose_response(data, measure, method, mode, bootstrap) for method in methods}
    sizes = sorted({dose.k for doses in series.values() for dose in doses})
    for index, (method, doses) in enumerate(series.items()):
        places = [sizes.index(dose.k) + _APART * (2 * index - len(series) + 1) for dose in doses]
        for x, dose in zip(places, doses, strict=True):
            _draw_controls(axes, x, scale * dose.draws, METHOD_COLOURS[method])
        _draw_chosen(axes, places, doses, scale, method)
    axes.set_xticks(range(len(sizes)), [str(k) for k in sizes])
    axes.set_xlim(-0.6, len(sizes) - 0.4)
    if measure == "exact":
        axes.set_ylim(-4, 104)


def _draw_chosen(axes: Axes, places, doses: list[Dose], scale: float, method: str):
    color = METHOD_COLOURS[method]
    means = Estimate.stacked([dose.chosen for dose in doses]).times(scale)
    axes.errorbar(
        places,
        means.estimate,
        yerr=means.reach,
        color=color,
        elinewidth=1.0,
        linewidth=1.0,
        zorder=4,
    )
    for x, mean, dose in zip(places, means.estimate, doses, strict=True):
        axes.plot(
            x,
            mean,
            marker=_MARKERS[method],
            color=color,
            zorder=5,
            markersize=4,
            markerfacecolor=color if _outside(dose) else PAPER,
            markeredgewidth=0.9,
        )


def _outside(dose: Dose) -> bool:
    """Whether the chosen set lies outside of the central 95 % of enough controls to say so."""
    known = dose.draws[np.isfinite(dose.draws)]
    if len(known) < FEWEST_DRAWS or not np.isfinite(dose.chosen.estimate):
        return False
    low, high = np.quantile(known, [0.025, 0.975])
    return not low <= float(dose.chosen.estimate) <= high


def _draw_controls(axes: Axes, x: float, draws: Float[np.ndarray, " draw"], color: str) -> None:
    known = np.sort(draws[np.isfinite(draws)])
    if not len(known):
        return
    low, high = np.quantile(known, [0.025, 0.975])
    axes.plot(
        [x, x], [low, high], color=color, alpha=0.3, linewidth=5, solid_capstyle="butt", zorder=2
    )
    spread = 0.06 * np.cos(np.arange(len(known)) * 2.399963)  # golden angle: even, without chance
    axes.scatter(x + spread, known, s=1.5, color=MUTED, alpha=0.5, linewidths=0, zorder=2)
    axes.plot([x - 0.11, x + 0.11], [known.mean()] * 2, color=MUTED, linewidth=1.0, zorder=3)


def counts(ablations: Mapping[tuple[str, str], xr.Dataset]) -> str:
    """Answers, topics and numbers of control draws, for the caption."""
    samples = sorted({data.sizes["sample"] for data in ablations.values()})
    topics = sorted({len(np.unique(data["topic"])) for data in ablations.values()})
    draws: dict[int, set[int]] = {}
    for data in ablations.values():
        main = (own_language(data), "top", _main_mode(data))
        for found in chosen_sets(data):
            labels = found.labels
            if (labels["source_language"], labels["chosen_by"], labels["mode"]) == main:
                draws.setdefault(int(labels["k"]), set()).add(len(found.controls))
    text = ", ".join(f"k = {k}: {_range(found)}" for k, found in sorted(draws.items()))
    return (
        f"n = {_range(samples)} answers about {_range(topics)} evaluate topics under every "
        f"condition. Control draws of the end margin, fewer where fewer distinct sets exist: "
        f"{text or 'none'}."
    )


def _range(numbers) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
