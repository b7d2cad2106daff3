"""Word-count error by N: all answers, their mean with its interval, and the share that is exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import cases_of, span, stated, subject, tuned_models
from lengthlens.statistics import DEFAULT, Bootstrap, Estimate, mean_interval, share_interval

_APART = 0.13  # models stand this far to either side of N
_SPREAD = 0.09  # answers with the same error are spread over twice this width


@style.styled()
def draw_error_by_n(
    answers: pd.DataFrame, control: pd.DataFrame, cast: Cast, bootstrap: Bootstrap = DEFAULT
) -> Figure:
    """Draw the mean word-count error by N, with one column of panels per language.

    Rows: all models on one scale; the tuned models magnified (where there are any); the share of
    answers with exactly N words.

    Args:
        answers: one row an answer: model, language, n, topic, error [words], truncated.
        control: tables/control.csv.
        cast: models and languages, in order.
        bootstrap: of the intervals, which are clustered by topic.
    """
    tuned = tuned_models(cast)
    magnified = bool(tuned) and len(tuned) < len(cast.tunings)
    cut = answers[answers["truncated"]].groupby("language")["model"].nunique()
    lines = int(cut.max()) if len(cut) else 0  # of percentages above the panels

    def error(part: pd.DataFrame) -> Estimate:
        return mean_interval(part["error"].to_numpy(float), part["topic"].to_numpy(), bootstrap)

    def exact(part: pd.DataFrame) -> Estimate:
        hits = (part["error"] == 0) & ~part["truncated"]
        return share_interval(hits.to_numpy(), part["topic"], bootstrap.level).times(100)

    heights = [1.5, 0.95, 0.95] if magnified else [1.6, 1.1]
    figure, panels = style.panel_grid(heights, cast, sharex=True, sharey="row")
    for column, (language, name) in zip(panels.T, cast.languages.items(), strict=True):
        own = rows_of(answers, language=language)
        _draw_answers(column[0], own, cast)
        for axes, shown in zip(column, (cast, cast.only(tuned))[: 1 + magnified], strict=False):
            style.zero_line(axes)
            _draw_means(axes, own, shown, error)
            if not own["model"].isin(shown.tunings).any():
                style.no_data(axes, "no answers")
        _mark_cut(column[0], own, cast)
        _draw_means(column[-1], own, cast, exact)
        column[0].set_title(name, pad=4 + 10 * lines)
    labels = ["error, words − N", *["error,\ntuned only"] * magnified, "exactly N, %"]
    style.label_grid(panels, "N, words asked for", labels)
    panels[-1, 0].set_ylim(-4, 104)
    panels[-1, 0].set_xticks(sorted(answers["n"].unique()))
    style.add_legend(figure, _legend(answers, cast, bootstrap.level))
    figure.set_label(title(control, cast))
    return figure


def title(control: pd.DataFrame, cast: Cast) -> str:
    """Whether answers are exact more often than by chance."""
    who = subject(cast)
    shares = [case.estimate for case in cases_of(control, "exact", cast)]
    share = f"{span(shares, 'percent')} %" if shares else "none"
    return stated(
        cases_of(control, "over_chance", cast),
        f"{share} of the answers of {who} have exactly N words, more than by chance,",
        f"{share} of the answers of {who} have exactly N words, fewer than by chance,",
        f"answers of {who} have exactly N words more often than by chance",
    )


def _legend(answers: pd.DataFrame, cast: Cast, level: float) -> list[Line2D]:
    handles = []
    for model, look in cast.looks.items():
        own = rows_of(answers, model=model)
        text = f"{model}: {len(own)} answers, {own['topic'].nunique()} topics"
        handles.append(look.handle(text))
    bar = f"{style.percent(level)} interval; dots: answers"
    return [*handles, style.legend_entry(bar, color=style.MUTED, marker="|", linestyle="")]


def _draw_means(
    axes: Axes, answers: pd.DataFrame, cast: Cast, measured: Callable[[pd.DataFrame], Estimate]
) -> None:
    """What is measured of the answers with each N, with its interval."""
    for index, (model, look) in enumerate(cast.looks.items()):
        own = rows_of(answers, model=model).groupby("n")
        if len(own):
            x = np.array(list(own.groups)) + style.beside(index, len(cast.tunings), _APART)
            found = Estimate.stacked([measured(part) for _, part in own])
            style.interval_bars(axes, x, found, look)


def _draw_answers(axes: Axes, answers: pd.DataFrame, cast: Cast) -> None:
    """Every answer as a dot; those with the same N and error side by side."""
    for index, (model, look) in enumerate(cast.looks.items()):
        own = rows_of(answers, model=model)
        if own.empty:
            continue
        same = own.groupby(["n", "error"])
        rank = same.cumcount().to_numpy() + 0.5
        size = same["error"].transform("size").to_numpy()
        shift = _SPREAD * np.minimum(size / 6, 1) * (2 * rank / size - 1)
        axes.scatter(
            own["n"].to_numpy() + style.beside(index, len(cast.tunings), _APART) + shift,
            own["error"],
            s=3, color=look.color, alpha=0.22, linewidths=0, zorder=2,
        )  # fmt: skip


def _mark_cut(axes: Axes, answers: pd.DataFrame, cast: Cast) -> None:
    """Percent of answers cut at the token limit, above the panel, where there are any.

    Their errors, and with them the mean, are lower bounds: an arrow points up.
    """
    cut = answers.groupby(["model", "n"])["truncated"].mean()
    models = [model for model in cast.tunings if cut.get(model, pd.Series([0])).max() > 0]
    for line, model in enumerate(models):
        look, row = cast.looks[model], 1.02 + 0.075 * (len(models) - 1 - line)
        for n, share in cut[model].items():
            if share > 0:
                axes.text(
                    n, row, f"↑{100 * share:.0f}", transform=axes.get_xaxis_transform(),
                    ha="center", fontsize=5.5, color=look.color,
                )  # fmt: skip
    if models:
        axes.annotate(
            "% cut", (0, 1.02), xycoords="axes fraction", xytext=(-2, 0),
            textcoords="offset points", ha="right", fontsize=5.5, color=style.INK,
        )  # fmt: skip


def counts(answers: pd.DataFrame) -> str:
    """How many answers and topics the figure rests on, for its caption."""
    per_cell = answers.groupby(["model", "language", "n"]).size()
    return (
        f"n = {len(answers)} answers, {span(per_cell, 'count')} for each model, language and N, "
        f"about {answers['topic'].nunique()} topics."
    )
