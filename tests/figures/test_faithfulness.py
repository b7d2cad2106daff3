"""The figure of faithfulness shows what the table holds, and says where there is nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lengthlens.analysis.circuits import CIRCUITS, FAITHFULNESS
from lengthlens.figures.faithfulness import counts, draw_faithfulness
from lengthlens.figures.style import METHOD_NAMES, Cast

CAST = Cast({"untuned": "untuned", "tuned": "tuned"}, {"en": "English", "it": "Italian"})

NONE = pd.DataFrame(columns=list(CIRCUITS))


def curve(method: str, language: str, values: list[float], orders: int = 0) -> pd.DataFrame:
    rows = [
        {
            "model": "tuned", "language": language, "source_language": language, "method": method,
            "positions": "all", "k": 5 * place, "n_components": 20, "faithfulness": value,
            "low": value - 0.1, "high": value + 0.1, "completeness": 0.1, "n_orders": orders,
            "n_samples": 12, "n_topics": 9,
        }
        for place, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(FAITHFULNESS))


def table() -> pd.DataFrame:
    nothing = [np.nan] * 5
    parts = [
        curve("atp", "en", [0, 0.8, 0.9, 0.95, 1]),
        curve("cwa", "en", [0, 0.1, 0.2, 0.6, 1]),
        curve("random", "en", [0, 0.01, 0.1, 0.3, 1], 20),
        curve("random_atp", "en", [0, 0.2, 0.3, 0.5, 1], 20),
        curve("atp", "it", nothing),
    ]
    return pd.concat(parts, ignore_index=True)


def test_curves_and_bands_are_drawn_where_there_are_any() -> None:
    """One row, that of the tuned model; both languages, of which Italian has nothing."""
    figure = draw_faithfulness(table(), NONE, CAST)
    english, italian = figure.axes
    drawn = [line for line in english.lines if len(line.get_xdata()) == 5]
    assert [line.get_ydata().tolist() for line in drawn] == [
        [0, 0.1, 0.2, 0.6, 1], [0, 0.8, 0.9, 0.95, 1],
    ]  # fmt: skip
    assert drawn[0].get_xdata().tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert [text.get_text() for text in italian.texts] == ["N has no effect to explain"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert METHOD_NAMES["atp"] in labels and "random orders, 95 %" in labels


def test_an_empty_table_gives_an_empty_figure() -> None:
    empty = table().iloc[:0]
    figure = draw_faithfulness(empty, NONE, CAST)
    assert all(axes.texts for axes in figure.axes)
    assert counts(empty) == "no circuits were measured"
    assert counts(table()) == (
        "12 evaluate answers of at least 9 topics; 20 random orders of each kind"
    )
