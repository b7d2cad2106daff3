"""Free answers and answers with one whole word per token; errors by tokens per word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lengthlens.figures.style import (
    MUTED,
    PAPER,
    Cast,
    ModelLook,
    add_legend,
    no_data,
    panel_grid,
    percent,
    styled,
    zero_line,
)
from lengthlens.figures.titles import case_of, language_name, stated, told_models, tuned_models
from lengthlens.statistics import Estimate

POOR = 0.5  # with fewer words whole, or more answers degenerate, a language is not the same
_APART, _PAIR = 0.24, 0.09  # between models; from free to aligned


def draw_tokenization(tokenization: pd.DataFrame, slopes: pd.DataFrame, cast: Cast) -> Figure:
    """Draw one panel each of exact answers, |error| and its slope on tokens per word, by language.

    Tuned models only, where there are any: untuned models do not count, and are mostly cut.

    Args:
        tokenization: tables/tokenization.csv.
        slopes: tables/tokens_per_word.csv.
        cast: models and all probed languages, in order.
    """
    tuned = tuned_models(cast)
    models = tuned or list(cast.tunings)
    languages = list(cast.languages)
    with styled():
        figure, panels = panel_grid(1, 3, [2.1])
        for axes, measure, scale in zip(
            panels[0, :2], ("exact", "absolute_error"), (100, 1), strict=True
        ):
            own = tokenization[tokenization["measure"] == measure]
            _draw_levels(axes, own, models, languages, cast.looks, scale=scale)
        _draw_slopes(panels[0, 2], slopes, models, languages, cast)
        panels[0, 0].set_ylim(-4, 104)
        labels = ("exactly N words, %", "mean |error|, words", "|error| per extra token per word")
        for axes, label in zip(panels[0], labels, strict=True):
            axes.set_ylabel(label)
            axes.set_xticks(range(len(languages)), _labels(cast), rotation=20)
            axes.set_xlim(-0.5, len(languages) - 0.5)
        add_legend(figure, _legend(tokenization, models, cast), columns=3)
    figure.set_label(title(tokenization, cast))
    return figure


def title(tokenization: pd.DataFrame, cast: Cast) -> str:
    """Whether answers are exact more often where every token is one word.

    If too few words of a language are one token, or its answers break down, aligned decoding leaves
    a different, poorer language. The title does not mention such languages.
    """
    table = tokenization[~tokenization["language"].isin(tokenization["reference"])]
    own = table[table["reference"].eq("") & (table["quantity"] == "change")]
    cases = []
    for row in own[own["measure"] == "exact"].to_dict("records"):
        if row["model"] not in told_models(cast) or row["language"] not in cast.languages:
            continue
        both = (table["model"] == row["model"]) & (table["language"] == row["language"])
        if is_poor(table[both]):
            row |= {"value_low": np.nan, "value_high": np.nan}
        cases.append(case_of(row, "value", cast))
    return stated(
        cases,
        "answers are exact more often when every token is one word",
        "answers are exact less often when every token is one word",
        "answers are exact more often when every token is one word",
    )


def is_poor(rows: pd.DataFrame) -> bool:
    """Whether aligned decoding leaves a poorer language: few whole words, or broken answers.

    Args:
        rows: those of tables/tokenization.csv about one model and language.
    """
    shares = rows[rows["measure"].isin(("coverage", "degenerate"))].set_index("measure")["value"]
    if not {"coverage", "degenerate"} <= set(shares.index):
        return True
    return bool(max(1 - shares["coverage"], shares["degenerate"]) > POOR)


def _labels(cast: Cast) -> list[str]:
    return [language_name(code, cast) for code in cast.languages]


def _place(index: int, count: int) -> float:
    return _APART * (index - (count - 1) / 2)


def _draw_levels(
    axes: Axes,
    table: pd.DataFrame,
    models: Sequence[str],
    languages: Sequence[str],
    looks: Mapping[str, ModelLook],
    scale: float,
) -> None:
    """A filled marker for free answers, a hollow one beside it for aligned ones."""
    own = table[table["model"].isin(models)]
    for index, model in enumerate(models):
        for quantity, side in (("free", -1), ("aligned", 1)):
            chosen = own[(own["model"] == model) & (own["quantity"] == quantity)]
            rows = chosen.set_index("language").reindex(languages)
            x = np.arange(len(languages)) + _place(index, len(models)) + side * _PAIR
            means = Estimate.read(rows, "value").times(scale)
            _bars(axes, x, means, looks[model], hollow=quantity == "aligned")
    if own.empty:
        no_data(axes, "no answers")


def _draw_slopes(
    axes: Axes, slopes: pd.DataFrame, models: Sequence[str], languages: Sequence[str], cast: Cast
) -> None:
    zero_line(axes)
    own = slopes[(slopes["measure"] == "absolute_error") & slopes["model"].isin(models)]
    for index, model in enumerate(models):
        rows = own[own["model"] == model].set_index("language").reindex(languages)
        x = np.arange(len(languages)) + _place(index, len(models))
        _bars(axes, x, Estimate.read(rows, "slope"), cast.looks[model], hollow=False)
    if own["slope"].isna().all():
        no_data(axes, "nothing to compare")


def _bars(axes: Axes, x, means: Estimate, look: ModelLook, hollow: bool) -> None:
    """Markers with their intervals; no line joins them, for languages have no order."""
    axes.errorbar(
        x,
        means.estimate,
        yerr=means.reach,
        color=look.color,
        marker=look.marker,
        linestyle="",
        markerfacecolor=PAPER if hollow else look.color,
        elinewidth=1.0,
        zorder=3,
    )


def _legend(table: pd.DataFrame, models: Sequence[str], cast: Cast) -> list[Line2D]:
    level = percent(table["level"].iloc[0]) if len(table) else "95 %"
    handles = []
    for model in models:
        look = cast.looks[model]
        for text, face in (("free", look.color), ("one whole word per token", PAPER)):
            handles.append(
                Line2D(
                    [],
                    [],
                    color=look.color,
                    marker=look.marker,
                    linestyle="",
                    markerfacecolor=face,
                    label=f"{model}, {text}",
                )
            )
    bar = Line2D([], [], color=MUTED, marker="|", linestyle="", label=f"{level} interval")
    return [*handles, bar]
