"""Very long intervals, which would flatten the rest of a figure: they are cut and labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from lengthlens.statistics import Estimate

_LONG = 5.0  # times the median length of a row's bars
_BEYOND = 0.5  # how far beyond all others a long bar may reach, as a share of their extent
_MARGIN = 0.06  # of the extent that is shown, on either side


@dataclass(frozen=True)
class Bars:
    """The intervals of one model in one panel; limits may be NaN."""

    axes: Axes
    x: Float[np.ndarray, " bar"]
    means: Estimate
    color: str


def cut_long_bars(row: Sequence[Bars]) -> None:
    """Let panels that share their y axis show all means and all bars of ordinary length.

    If a long bar reaches far beyond these, the axis is cut, and an arrow gives the bar's end. Rows
    without such a bar stay as they are.

    Args:
        row: everything that is drawn in these panels, the line at zero aside.
    """
    mean, low, high = (
        np.concatenate([getattr(bars.means, end) for bars in row])
        for end in ("estimate", "low", "high")
    )
    length = high - low
    if not np.isfinite(length).any():
        return
    ordinary = length <= _LONG * np.nanmedian(length)
    shown = np.concatenate([[0.0], mean, low[ordinary], high[ordinary]])
    bottom, top = np.nanmin(shown), np.nanmax(shown)
    beyond = _BEYOND * (top - bottom)
    cut_below, cut_above = np.nanmin(low) < bottom - beyond, np.nanmax(high) > top + beyond
    if not (cut_below or cut_above):
        return
    if not cut_below:
        bottom = min(bottom, np.nanmin(low))
    if not cut_above:
        top = max(top, np.nanmax(high))
    margin = _MARGIN * (top - bottom)
    bottom, top = bottom - margin, top + margin
    row[0].axes.set_ylim(bottom, top)
    for bars in row:
        for x, lower, upper in zip(bars.x, bars.means.low, bars.means.high, strict=True):
            if upper > top:
                _write(bars, x, f"↑ {upper:.3g}", at=1.0)
            if lower < bottom:
                _write(bars, x, f"↓ {lower:.3g}", at=0.0)


def _write(bars: Bars, x: float, text: str, at: float) -> None:
    """A number beside the end of a bar that the panel's upper (1) or lower (0) edge cuts."""
    bars.axes.annotate(
        text,
        (x, at),
        xycoords=bars.axes.get_xaxis_transform(),
        xytext=(3, -1 if at else 1),
        textcoords="offset points",
        va="top" if at else "bottom",
        fontsize=5.5,
        color=bars.color,
    )
