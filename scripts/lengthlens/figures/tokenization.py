"""Free answers and answers with one whole word per token; errors by tokens per word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.parts import level_of
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import case_of, language_name, stated, told_models, told_rows
from lengthlens.statistics import Estimate

POOR = 0.5  # with fewer words whole, or more answers degenerate, a language is not the same
_APART, _PAIR = 0.12, 0.09  # between models; from free to aligned


@style.styled()
def draw_tokenization(tokenization: pd.DataFrame, slopes: pd.DataFrame, cast: Cast) -> Figure:
    """Draw one panel each of exact answers, |error| and its slope on tokens per word, by language.

    Tuned models only, where there are any: untuned models do not count, and are mostly cut.

    Args:
        tokenization: tables/tokenization.csv.
        slopes: tables/tokens_per_word.csv.
        cast: models and all probed languages, in order.
    """
    names = [language_name(code, cast) for code in cast.languages]
    figure = Figure(figsize=(style.PAGE, 2.55))
    exact, error, slope = figure.subplots(1, 3)
    told = cast.only(told_models(cast))
    _draw_levels(exact, rows_of(tokenization, measure="exact"), told, scale=100)
    _draw_levels(error, rows_of(tokenization, measure="absolute_error"), told)
    slopes = rows_of(slopes, measure="absolute_error")
    style.zero_line(slope)
    _draw(slope, [(slopes, 0, False)], told, "slope")
    if slopes.loc[slopes["model"].isin(told.tunings), "slope"].isna().all():
        style.no_data(slope, "nothing to compare")
    exact.set_ylim(-4, 104)
    labels = ("exactly N words, %", "mean |error|, words", "|error| per extra token per word")
    for axes, label in zip((exact, error, slope), labels, strict=True):
        axes.set_ylabel(label)
        axes.set_xticks(range(len(names)), names, rotation=20)
        axes.set_xlim(-0.5, len(names) - 0.5)
    style.add_legend(figure, _legend(level_of(tokenization), told), columns=3)
    figure.set_label(title(tokenization, cast))
    return figure


def title(tokenization: pd.DataFrame, cast: Cast) -> str:
    """Whether answers are exact more often where every token is one word.

    If too few words of a language are one token, or its answers break down, aligned decoding leaves
    a different, poorer language. The title does not mention such languages.
    """
    table = tokenization[~tokenization["language"].isin(tokenization["reference"])]
    own = rows_of(table, reference="", quantity="change", measure="exact")
    cases = []
    for row in told_rows(own, cast).to_dict("records"):
        if is_poor(rows_of(table, model=row["model"], language=row["language"])):
            row |= {"value_low": np.nan, "value_high": np.nan}
        cases.append(case_of(row, "value", cast))
    return stated(
        cases,
        "answers are exact more often when every token is one word",
        "answers are exact less often when every token is one word",
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


def _draw_levels(axes: Axes, table: pd.DataFrame, cast: Cast, scale: float = 1) -> None:
    """A filled marker for free answers, a hollow one beside it for aligned ones."""
    free, aligned = (rows_of(table, quantity=quantity) for quantity in ("free", "aligned"))
    _draw(axes, [(free, -_PAIR, False), (aligned, _PAIR, True)], cast, "value", scale)
    if not table["model"].isin(cast.tunings).any():
        style.no_data(axes, "no answers")


def _draw(
    axes: Axes,
    parts: Sequence[tuple[pd.DataFrame, float, bool]],
    cast: Cast,
    name: str,
    scale: float = 1,
) -> None:
    """Markers with their intervals; no line joins them, for languages have no order.

    Args:
        axes: of the panel; cast: models and languages.
        parts: tables, how far their markers stand aside, and whether these are hollow.
        name: of the number; scale: its factor.
    """
    for index, (model, look) in enumerate(cast.looks.items()):
        place = np.arange(len(cast.languages)) + style.beside(index, len(cast.tunings), _APART)
        for table, aside, hollow in parts:
            rows = rows_of(table, model=model).set_index("language").reindex(list(cast.languages))
            means = Estimate.read(rows, name).times(scale)
            axes.errorbar(
                place + aside, means.estimate, yerr=means.reach, color=look.color,
                marker=look.marker, markerfacecolor=style.PAPER if hollow else look.color,
                linestyle="", elinewidth=1.0, zorder=3,
            )  # fmt: skip


def _legend(level: str, cast: Cast) -> list[Line2D]:
    handles = []
    for model, look in cast.looks.items():
        plain = {"color": look.color, "marker": look.marker, "linestyle": ""}
        for text, face in (("free", look.color), ("one whole word per token", style.PAPER)):
            handles.append(style.legend_entry(f"{model}, {text}", markerfacecolor=face, **plain))
    bar = style.legend_entry(f"{level} interval", color=style.MUTED, marker="|", linestyle="")
    return [*handles, bar]
