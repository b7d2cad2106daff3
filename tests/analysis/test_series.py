"""Tuning as a series: read from the tables of its models, members of the last circuit followed."""

from __future__ import annotations

import pandas as pd
import pytest

from lengthlens.analysis.series import COLUMNS, summarise_series
from lengthlens.figures.series import draw_series
from lengthlens.figures.style import Cast
from lengthlens.reporting.tuning import say_series

MODELS = ("start", "middle", "end")
STEPS = {"end": ("s", 100), "start": ("s", 0), "middle": ("s", 10)}
SHARED = {"language": "en", "n_samples": 20, "n_topics": 10, "level": 0.95}


def value(name: str, number: float) -> dict[str, float]:
    return {name: number, f"{name}_low": number - 0.1, f"{name}_high": number + 0.1}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    behaviour, patches, attention = [], [], []
    for place, model in enumerate((*MODELS, "alone")):
        own = SHARED | {"model": model}
        answers = own | value("exact", 0.4 * place) | value("absolute_error", 2.0 - place)
        behaviour += [answers | {"n": n, "split": s} for n in ("all", "3") for s in ("all", "x")]
        if model == "start":
            continue
        for component, share in (("L0H1", 0.3 * place), ("L1M", 0.5), ("L1H0", 0.9)):
            for direction in ("noising", "denoising"):
                row = own | value("n_effect", 1.0 + place) | value("share", share)
                row |= {"component": component, "direction": direction, "swap": 1}
                patches.append(row | {"positions": "all"})
        for role in ("numeral", "mark"):
            row = own | {"component": "L0H1", "role": role, "attention": 0.2, "low": 0.1}
            attention.append(row | {"high": 0.3})
    members = [SHARED | {"model": m, "component": c}
               for m, c in (("middle", "L1H0"), ("end", "L0H1"), ("end", "L1M"))]  # fmt: skip
    rows = {"behaviour": behaviour, "patches": patches, "attention": attention}
    made = {name: pd.DataFrame(own) for name, own in rows.items()}
    return made | {"circuit_members": pd.DataFrame(members)}


def test_steps_follow_each_other_with_the_last_circuit(tables) -> None:
    found = summarise_series(STEPS, tables)
    exact = found[found["quantity"] == "exact"]
    assert exact["step"].tolist() == [0, 10, 100]
    assert exact["value"].tolist() == pytest.approx([0, 0.4, 0.8])
    effect = found[found["quantity"] == "n_effect"]
    assert effect[["step", "value"]].to_numpy().tolist() == [[10, 2.0], [100, 3.0]]
    members = found[found["quantity"] == "member"]
    assert set(members["component"]) == {"L0H1", "L1M"}  # L1H0 is in an earlier circuit only
    own = members[members["component"] == "L0H1"]
    assert own["value"].tolist() == pytest.approx([0.3, 0.6])
    looks = found[found["quantity"] == "attention"]
    assert looks["role"].tolist() == ["numeral", "mark"] * 2 and (looks["value_low"] == 0.1).all()
    assert "alone" not in set(found["model"])
    assert "s (en), exact answers: step 0 0.0" in say_series(found)[0]
    figure = draw_series(found, Cast({}, {"en": "English"}))
    assert len(figure.axes) == 3


def test_without_a_series_there_are_no_rows(tables) -> None:
    found = summarise_series({}, tables)
    assert found.empty and tuple(found.columns) == COLUMNS and say_series(found) == []
    figure = draw_series(found, Cast({}, {"en": "English"}))
    assert "no model belongs" in figure.axes[0].texts[0].get_text()
