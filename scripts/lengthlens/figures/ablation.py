"""Dose and response of ablation: the heads that a score ranks highest, compared with random heads.

The main figure has one panel for each combination of a score that is tested in the run and one of
two measures. Its supplement (`ablation_all`) has all scores, measures and models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lengthlens.ablation.hypotheses import CONFIRMATORY
from lengthlens.analysis.effects import Dose, chosen_sets, dose_response, interval_of, own_language
from lengthlens.analysis.outcomes import measure_values
from lengthlens.analysis.tables import first_of, in_own_language, rows_of
from lengthlens.figures import style
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import cases_of, sizes, span, told_rows, tuned_first, where
from lengthlens.statistics import DEFAULT, Bootstrap, Estimate

MEASURES = {
    "exact": "exactly N words, %",
    "error": "error, words − N",
    "end_margin": "end margin, logits",
}
_MAIN = ("exact", "end_margin")
_MOST = 2  # scores in the main figure
FEWEST_DRAWS = 39  # so many that 2 / (draws + 1), the smallest p-value, is 5 %
_ROW = 1.3  # inches
_APART = 0.17
_NONE = {
    "color": style.INK,
    "linestyle": (0, (4, 2)),
    "linewidth": 0.8,
}  # the line of nothing removed
End = tuple[float, str, str]  # where a line ends, its name and its colour


@dataclass(frozen=True)
class Panels:
    """A row of panels, one a language.

    Attributes:
        model: whose; measure: of MEASURES; scores: those that chose the heads.
        label: of the y axis.
    """

    model: str
    measure: str
    scores: tuple[str, ...]
    label: str


def draw_ablation(
    ablations: Mapping[tuple[str, str], xr.Dataset],
    effects: pd.DataFrame,
    tests: pd.DataFrame,
    control: pd.DataFrame,
    cast: Cast,
    bootstrap: Bootstrap = DEFAULT,
) -> Figure:
    """Draw what removing the heads of the tested scores does, in models that have control.

    One row per model, score and measure; lines are named at their right ends. All models are
    drawn if none has control. Markers and bars are as in `draw_rows`.

    Args:
        ablations: ablation file of each (model, language).
        effects: tables/ablation.csv.
        tests: tables/confirmatory.csv; control: tables/control.csv.
        cast: models and languages, in order.
        bootstrap: of the intervals.
    """
    scores, k = sets_under_test(ablations, tests)
    few = _with_control(control, cast)
    rows = [
        Panels(model, measure, (score,), f"by {style.METHOD_NAMES[score]}:\n{MEASURES[measure]}")
        for model in tuned_first(few)
        for score in scores
        for measure in _MAIN
    ] or [Panels(model, "end_margin", (), MEASURES["end_margin"]) for model in few.tunings]
    figure = draw_rows(ablations, rows, few, bootstrap, legend=False)
    left_out = [model for model in cast.tunings if model not in few.tunings]
    if left_out:
        text = f"Omitted, because no control is shown: {', '.join(left_out)}"
        figure.supxlabel(text, fontsize=6, x=0.01, ha="left", color=style.MUTED)
    figure.set_label(title(effects, scores, k, few))
    return figure


def sets_under_test(
    ablations: Mapping[tuple[str, str], xr.Dataset], tests: pd.DataFrame
) -> tuple[list[str], int | None]:
    """The scores that a run's tests are about, two at most, and the size of the tested sets.

    Tests of sets come before tests of rankings, and confirmatory ones before others; without tests
    of scores that were ablated the first ablated scores are taken. Sets that are ablated for a test
    alone have no doses to draw. The size is None without a test of a set.

    Args:
        ablations: ablation files.
        tests: tables/confirmatory.csv.
    """
    ablated = {
        chosen.labels["method"]
        for data in ablations.values()
        for chosen in chosen_sets(data)
        if chosen.labels["chosen_by"] == "top"
    }
    own = tests[tests["method"].isin(ablated)]
    own = own.assign(late=2 * (own["test"] != "set") + (own["status"] != CONFIRMATORY))
    own = own.sort_values("late", kind="stable")
    named = list(dict.fromkeys(own["method"])) or [m for m in style.METHOD_COLOURS if m in ablated]
    sets = rows_of(own, test="set")["k"].dropna()
    return named[:_MOST], int(sets.iloc[0]) if len(sets) else None


def title(effects: pd.DataFrame, scores: Sequence[str], k: int | None, cast: Cast) -> str:
    """How far exact answers fall without the heads of each score, and whether random heads do as
    much.

    Args:
        effects: tables/ablation.csv.
        scores: those to tell of.
        k: size of the sets; the largest without it.
        cast: models and languages, in order.
    """
    own = exact_effects(effects, cast)
    own = own[own["method"].isin(list(scores))]
    if own.empty:
        return "No heads were removed"
    k = k if (own["k"] == k).any() else int(own["k"].max())
    by_score = {score: rows_of(own, method=score, k=k) for score in scores}
    falls = [_fall(rows, score, cast) for score, rows in by_score.items() if len(rows)]
    heads = "the head" if k == 1 else f"the {k} heads"
    text = f"Without {heads} ranked highest, exact answers {', and '.join(t for t, _ in falls)}"
    if further := [beyond for _, beyond in falls if beyond]:
        text += f"; further than without random heads of the same layers in {' and '.join(further)}"
    return text


def exact_effects(effects: pd.DataFrame, cast: Cast) -> pd.DataFrame:
    """What removing heads that rank highest in a language does to its exact answers.

    Args:
        effects: tables/ablation.csv; of several modes the first counts.
        cast: models and languages.
    """
    own = rows_of(effects, measure="exact", chosen_by="top", kind="head")
    return first_of(told_rows(in_own_language(own), cast), "mode")


def _fall(rows: pd.DataFrame, score: str, cast: Cast) -> tuple[str, str]:
    """How exact answers change without one score's heads, and where they fall beyond controls.

    The first is such as "fall by 22 to 67 points in all 3 languages (CWA)", the second "2 of 3".
    """
    changes, effects = (cases_of(rows, name, cast) for name in ("change", "effect"))
    pairs = list(zip(changes, effects, strict=True))
    fallen = [effect for change, effect in pairs if change.side() < 0]
    told = [
        f"{word} by {sizes(found, 'percent')} {where(found, changes)} ({style.METHOD_NAMES[score]})"
        for word, side in (("fall", -1), ("rise", 1))
        if (found := [change for change in changes if change.side() == side])
    ]
    if not told:
        return f"are not shown to change ({style.METHOD_NAMES[score]})", ""
    further = sum(effect.side() < 0 for effect in fallen)
    return ", ".join(told), f"{further} of {len(fallen)}" if fallen else ""


@style.styled()
def draw_rows(
    ablations: Mapping[tuple[str, str], xr.Dataset],
    rows: Sequence[Panels],
    cast: Cast,
    bootstrap: Bootstrap,
    legend: bool,
) -> Figure:
    """Draw what removing heads does, with one column per language.

    A marker is the chosen set, with the interval for its mean clustered by topic. The distribution
    beside it is of control sets (dots: draws; bar: their central 95 %; line: their mean). A marker
    is filled where it lies outside that bar, with at least FEWEST_DRAWS draws.

    Args:
        ablations: ablation file of each (model, language).
        rows: what each row of panels shows.
        cast: models and languages, in order.
        bootstrap: of the intervals.
        legend: whether a legend names the lines; else they are named at their ends.
    """
    above = [None, *(row.model for row in rows)]
    several = len(cast.tunings) > 1
    figure, panels = style.panel_grid([_ROW] * len(rows), cast, 0.7, sharey="row")
    for place, (line, row) in enumerate(zip(panels, rows, strict=True)):
        for axes, (language, name) in zip(line, cast.languages.items(), strict=True):
            labels: list[End] = []
            if (row.model, language) in ablations:
                labels = _draw_panel(axes, ablations[row.model, language], row, bootstrap)
            else:
                style.no_data(axes, "not ablated")
                axes.set_xticks([])
            if above[place] != row.model:
                axes.set_title(f"{row.model}, {name}" if several else name)
            if place + 1 == len(rows) or rows[place + 1].model != row.model:
                axes.set_xlabel("k, heads removed")
        line[0].set_ylabel(row.label)
        if not legend:
            style.label_lines(line[-1], labels)
    if legend:
        scores = dict.fromkeys(score for row in rows for score in row.scores)
        style.add_legend(figure, _legend(ablations, bootstrap.level, list(scores)), columns=2)
    return figure


def _with_control(control: pd.DataFrame, cast: Cast) -> Cast:
    """The models that have control in any language; all where none has."""
    open_ = set(control.loc[control["open"].astype(bool), "model"])
    return cast.only([model for model in cast.tunings if model in open_] or cast.tunings)


def _ends(series: Mapping[str, list[Dose]], none: float) -> list[End]:
    """Where the lines of one score end, with their names: chosen heads, random ones, none removed.

    Args:
        series: the doses of the score; none: the mean with nothing removed.
    """
    [(score, doses)] = series.items()
    chosen = [float(dose.chosen.estimate) for dose in doses]
    random = [float(np.mean(known)) for dose in doses if len(known := _known(dose.draws))]
    lines = (
        (chosen, "highest ranked", style.METHOD_COLOURS[score]),
        (random, "random heads", style.MUTED),
        ([none], "nothing removed", style.INK),
    )
    return [(means[-1], text, color) for means, text, color in lines if means]


def _known(draws: Float[np.ndarray, " draw"]) -> Float[np.ndarray, " known"]:
    return np.sort(draws[np.isfinite(draws)])


def _main_mode(data: xr.Dataset) -> str:
    """The mode in which every k was tried; the others have a few sizes and are in the table."""
    top = (data["chosen_by"] == "top").to_numpy()
    return str(data["mode"].to_numpy()[np.flatnonzero(top)[0]]) if top.any() else "none"


def _legend(
    ablations: Mapping[tuple[str, str], xr.Dataset], level: float, scores: Sequence[str]
) -> list:
    methods = {str(method) for data in ablations.values() for method in np.unique(data["method"])}
    handles: list = [
        style.legend_entry(
            f"top k by {style.METHOD_NAMES[method]}, {style.percent(level)} interval",
            color=style.METHOD_COLOURS[method],
            marker=style.METHOD_MARKERS[method],
        )
        for method in scores
        if method in methods
    ]
    controls = Patch(color=style.MUTED, alpha=0.45, label="random heads of the same layers, 95 %")
    return [*handles, controls, style.legend_entry("nothing removed", **_NONE)]


def _draw_panel(axes: Axes, data: xr.Dataset, row: Panels, bootstrap: Bootstrap) -> list[End]:
    """Draw one panel; where each of its lines ends, with name and colour, if it has one score."""
    measure = row.measure
    scale = 100 if measure == "exact" else 1
    values, topics = measure_values(data, measure), data["topic"].to_numpy()
    none = interval_of(values[0], topics, measure, bootstrap)
    if not np.isfinite(none.estimate):
        style.no_data(axes, "no decision step")
        return []
    axes.axhline(scale * none.estimate, zorder=1, **_NONE)
    axes.axhspan(
        scale * none.low, scale * none.high, color=style.INK, alpha=0.07, linewidth=0, zorder=0
    )
    methods = [name for name in row.scores if (data["method"] == name).any()]
    mode = _main_mode(data)
    series = {method: dose_response(data, measure, method, mode, bootstrap) for method in methods}
    sizes = sorted({dose.k for doses in series.values() for dose in doses})
    for index, (method, doses) in enumerate(series.items()):
        places = [sizes.index(dose.k) + style.beside(index, len(series), _APART) for dose in doses]
        for x, dose in zip(places, doses, strict=True):
            _draw_controls(axes, x, scale * dose.draws, style.METHOD_COLOURS[method])
        _draw_chosen(axes, places, doses, scale, method)
    axes.set_xticks(range(len(sizes)), [str(k) for k in sizes])
    axes.set_xlim(-0.6, len(sizes) - 0.4)
    if measure == "exact":
        axes.set_ylim(-4, 104)
    ends = _ends(series, float(none.estimate)) if len(series) == 1 else []
    return [(scale * y, text, color) for y, text, color in ends]


def _draw_chosen(
    axes: Axes, places: Sequence[float], doses: list[Dose], scale: float, method: str
) -> None:
    color = style.METHOD_COLOURS[method]
    means = Estimate.stacked([dose.chosen for dose in doses]).times(scale)
    axes.errorbar(
        places, means.estimate, yerr=means.reach, color=color, elinewidth=1.0, linewidth=1.0,
        zorder=4,
    )  # fmt: skip
    for x, mean, dose in zip(places, means.estimate, doses, strict=True):
        axes.plot(
            x, mean, marker=style.METHOD_MARKERS[method], color=color, zorder=5, markersize=4,
            markerfacecolor=color if _outside(dose) else style.PAPER, markeredgewidth=0.9,
        )  # fmt: skip


def _outside(dose: Dose) -> bool:
    """Whether the chosen set lies outside of the central 95 % of enough controls to say so."""
    known = _known(dose.draws)
    if len(known) < FEWEST_DRAWS or not np.isfinite(dose.chosen.estimate):
        return False
    low, high = np.quantile(known, [0.025, 0.975])
    return not low <= float(dose.chosen.estimate) <= high


def _draw_controls(axes: Axes, x: float, draws: Float[np.ndarray, " draw"], color: str) -> None:
    known = _known(draws)
    if not len(known):
        return
    low, high = np.quantile(known, [0.025, 0.975])
    axes.plot(
        [x, x], [low, high], color=color, alpha=0.3, linewidth=5, solid_capstyle="butt", zorder=2
    )
    spread = 0.06 * np.cos(np.arange(len(known)) * 2.399963)  # golden angle: even, without chance
    axes.scatter(x + spread, known, s=1.5, color=style.MUTED, alpha=0.5, linewidths=0, zorder=2)
    axes.plot([x - 0.11, x + 0.11], [known.mean()] * 2, color=style.MUTED, linewidth=1.0, zorder=3)


def counts(ablations: Mapping[tuple[str, str], xr.Dataset]) -> str:
    """Answers, topics and numbers of control draws, for the caption."""
    samples = [data.sizes["sample"] for data in ablations.values()]
    topics = [len(np.unique(data["topic"])) for data in ablations.values()]
    draws: dict[int, set[int]] = {}
    for data in ablations.values():
        main = (own_language(data), "top", _main_mode(data))
        for found in chosen_sets(data):
            labels = found.labels
            if (labels["source_language"], labels["chosen_by"], labels["mode"]) == main:
                draws.setdefault(int(labels["k"]), set()).add(len(found.controls))
    text = ", ".join(f"k = {k}: {span(found, 'count')}" for k, found in sorted(draws.items()))
    return (
        f"n = {span(samples, 'count')} answers about {span(topics, 'count')} evaluate topics under "
        "every condition. Control draws of the end margin, fewer where fewer distinct sets exist: "
        f"{text or 'none'}."
    )
