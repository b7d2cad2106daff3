"""Bars that would flatten all others are cut, and only those."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from lengthlens.figures.long_bars import Bars, cut_long_bars
from lengthlens.statistics import Estimate


def bars(axes, mean, low, high) -> Bars:
    places = np.arange(len(mean), dtype=float)
    return Bars(
        axes,
        places,
        Estimate(*(np.array(part, dtype=float) for part in (mean, low, high))),
        "black",
    )


def panels():
    return Figure().subplots(1, 2, sharey=True)


def beside(mean: list[float], low: float, high: float):
    """Short bars on the left; on the right the same, but for the means and the last bar's ends."""
    left, right = panels()
    short = bars(left, [1, 2, 3], [0.5, 1.5, 2.5], [1.5, 2.5, 3.5])
    cut_long_bars([short, bars(right, mean, [0.5, 1.5, low], [1.5, 2.5, high])])
    return left, right


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_bar_far_beyond_all_others_is_cut_and_its_end_is_written() -> None:
    left, right = beside([1, 2, 4], -40, 332.4)
    bottom, top = left.get_ylim()
    assert (bottom, top) == right.get_ylim()
    assert bottom == pytest.approx(-0.24) and top == pytest.approx(4.24)  # 0 and 4, and margins
    assert texts(left) == []
    assert texts(right) == ["↑ 332", "↓ -40"]


def test_only_the_side_that_is_cut_loses_anything() -> None:
    left, right = beside([1, 2, 3], -1.0, 50.0)
    assert left.get_ylim()[0] < -1.0
    assert texts(right) == ["↑ 50"]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ([0.5, 1.5, 2.5], [1.5, 2.5, 5.0]),  # longer, but not far beyond
        ([-9.0, -8.0, -7.0], [11.0, 12.0, 13.0]),  # all are long
        ([np.nan] * 3, [np.nan] * 3),
    ],
)
def test_other_rows_stay_as_they_are(low, high) -> None:
    axes, _ = panels()
    before = axes.get_ylim()
    cut_long_bars([bars(axes, [1, 2, 3], low, high)])
    assert axes.get_ylim() == before
    assert texts(axes) == []
