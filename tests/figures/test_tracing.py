"""The map of layers and roles shows what the table holds, and says where there is nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lengthlens.analysis.tracing import COLUMNS
from lengthlens.figures.style import Cast
from lengthlens.figures.tracing import ROLES, counts, draw_tracing

CAST = Cast({"untuned": "untuned", "tuned": "tuned"}, {"en": "English", "it": "Italian"})


def rows(language: str, shares: dict[tuple[int, str], float], direction: str) -> pd.DataFrame:
    made = [
        {
            "model": "tuned", "language": language, "swap": 1, "direction": direction,
            "layer": layer, "role": role, "share": shares.get((layer, role), 0.0),
            "n_samples": 9, "n_topics": 7,
        }
        for layer in (0, 3)
        for role in ROLES
        if role != "closing"
    ]  # fmt: skip
    return pd.DataFrame(made, columns=list(COLUMNS))


def table() -> pd.DataFrame:
    shares = {(0, "numeral"): 1.0, (3, "mark"): 0.62, (3, "last"): -0.2, (3, "answer"): 0.04}
    nothing = {(layer, role): np.nan for layer in (0, 3) for role in ROLES}
    parts = [rows("en", shares, "noising"), rows("en", {}, "denoising")]
    parts += [rows("it", nothing, direction) for direction in ("noising", "denoising")]
    return pd.concat(parts, ignore_index=True)


def maps(figure) -> list:
    return [axes for axes in figure.axes if axes.get_title(loc="left")]


def test_cells_hold_shares_with_layers_upwards() -> None:
    """Only the tuned model; in percent from 5 on; a dash where no prompt has the role."""
    english, italian, other, _ = maps(draw_tracing(table(), CAST))
    drawn = english.collections[0].get_array()
    assert drawn.shape == (2, len(ROLES)) and drawn[0, 0] == 1.0 and drawn[1, 2] == 0.62
    assert drawn.mask[:, 3].all() and drawn.mask.sum() == 2
    told = {tuple(map(int, text.get_position())): text.get_text() for text in english.texts}
    assert told == {(0, 0): "100", (2, 1): "62", (5, 1): "-20", (3, 0): "–", (3, 1): "–"}
    assert [label.get_text() for label in english.get_yticklabels()] == ["0", "3"]
    assert [text.get_text() for text in italian.texts] == ["N has no effect to explain"]
    assert english.get_ylabel().startswith("noising") and other.get_ylabel().startswith("denoising")
    assert [label.get_text() for label in other.get_xticklabels()] == list(ROLES.values())


def test_an_empty_table_gives_an_empty_figure() -> None:
    empty = table().iloc[:0]
    assert all(axes.texts for axes in maps(draw_tracing(empty, CAST)))
    assert counts(empty) == "no answer was traced"
    assert counts(table()) == "n = 9 answers of at least 7 topics"
