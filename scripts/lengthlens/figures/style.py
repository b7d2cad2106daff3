"""A common look for all figures: sizes that fit a column, colours, and byte-identical saving.

Colours come from Okabe and Ito (tunings and scores: the same in every figure) and from Tol's muted
scheme (parts of a single figure). They can be told apart with any colour vision and are never the
only sign of a difference: models also differ in marker, methods in line style. Texts of a figure
use `INK` and grids use `HAIR`, so that the report can replace both in dark mode.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from lengthlens.errors import LengthlensError
from lengthlens.figures.fonts import OWN, choose_fonts
from lengthlens.files.integrity import digest
from lengthlens.files.whole import written_whole
from lengthlens.statistics import Estimate

Row = TypeVar("Row")

COLUMN, PAGE = 3.4, 7.0  # inches: one column of a journal, and its whole width
INK, HAIR, PAPER, MUTED = "#1b1f24", "#d9dde2", "#ffffff", "#6e7781"
# NOTE not INK and PAPER, which the report exchanges in dark mode: coloured cells stay as they are.
ON_LIGHT, ON_DARK = "#15181c", "#fdfdfd"
TUNING_COLOURS = {"untuned": "#d55e00", "tuned": "#0072b2"}
METHOD_COLOURS = {
    "cwa": "#cc79a7",
    "end_contrast": "#009e73",
    "nswap": "#e69f00",
    "effect": "#56b4e9",
    "atp": "#6a3d9a",
}
# For parts that belong to one figure alone; none is the colour of a tuning or of a score.
PART_COLOURS = (
    "#44aa99",
    "#882255",
    "#999933",
    "#cc6677",
    "#117733",
    "#332288",
    "#88ccee",
    "#b8860b",
)
METHOD_NAMES = {
    "cwa": "CWA",
    "end_contrast": "end contrast",
    "nswap": "N-swap contrast",
    "effect": "measured effect",
    "norm": "output norm",
    "atp": "AtP",
}
METHOD_MARKERS = {"cwa": "o", "end_contrast": "s", "nswap": "D", "effect": "^", "atp": "v"}
_MARKERS = {"untuned": "sDv", "tuned": "oP^"}
_LINES = ("-", "--", ":")
# By ending: metadata, and the field of the provenance. NOTE without a date, or equal figures would
# differ.
_WRITTEN = {
    "png": ({"Software": "lengthlens"}, "Source"),
    "svg": ({"Date": None, "Creator": "lengthlens"}, "Source"),
    "pdf": ({"CreationDate": None, "Creator": "lengthlens"}, "Keywords"),
}
_SETTINGS = {
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "font.family": OWN,
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 7,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": HAIR,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.6,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "svg.fonttype": "path",
    "svg.hashsalt": "lengthlens",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class ModelLook:
    """How one model is drawn everywhere."""

    color: str
    marker: str
    line: str

    def handle(self, label: str) -> Line2D:
        """The model's entry in a legend."""
        return legend_entry(label, color=self.color, marker=self.marker, linestyle=self.line)


@dataclass(frozen=True)
class Cast:
    """The models and languages of a figure, in the order of the configuration.

    Attributes:
        tunings: model -> untuned or tuned.
        languages: code -> name in English.
    """

    tunings: Mapping[str, str]
    languages: Mapping[str, str]

    @property
    def looks(self) -> dict[str, ModelLook]:
        """The look of every model: colour by tuning, line and marker by place."""
        looks: dict[str, ModelLook] = {}
        signs = {
            tuning: itertools.cycle(zip(markers, _LINES, strict=True))
            for tuning, markers in _MARKERS.items()
        }
        for model, tuning in self.tunings.items():
            if tuning not in TUNING_COLOURS:
                raise LengthlensError(f"{model} is {tuning!r}; known: {', '.join(TUNING_COLOURS)}")
            looks[model] = ModelLook(TUNING_COLOURS[tuning], *next(signs[tuning]))
        return looks

    def only(self, models: Iterable[str]) -> Cast:
        """Some of the models alone; of all that have a tuning, so that looks stay as they are."""
        return Cast({model: self.tunings[model] for model in models}, self.languages)

    def handles(self, level: float) -> list[Line2D]:
        """The models' entries in the legend of a figure with intervals of a level."""
        return [
            look.handle(f"{model}, {percent(level)} interval") for model, look in self.looks.items()
        ]

    def part_of(self, dataset: xr.Dataset) -> xr.Dataset:
        """These models and languages of a dataset that has both; NaN for what it lacks."""
        return dataset.reindex(model=list(self.tunings), language=list(self.languages))


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """The look of the project, whatever the user's matplotlib configuration says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def page_width(n_columns: int) -> float:
    """Width in inches: a column for one panel, the page for more, wider only beyond six panels."""
    return COLUMN if n_columns == 1 else max(PAGE, 1.1 * n_columns + 0.4)


def panel_grid(
    heights: Sequence[float], cast: Cast, room: float = 0.45, **sharing: bool | str
) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of panels [row, column], a column a language.

    Args:
        heights: of the rows; room: for what stands above and below them. [inches]
        cast: whose languages.
        sharing: `sharex` and `sharey` as `Figure.subplots` takes them.
    """
    n_columns = len(cast.languages)
    figure = Figure(figsize=(page_width(n_columns), sum(heights) + room))
    panels = figure.subplots(
        len(heights), n_columns, squeeze=False, height_ratios=heights, **sharing
    )
    return figure, panels


def cells(panels: np.ndarray, rows: Iterable[Row], cast: Cast) -> Iterator[tuple[Axes, Row, str]]:
    """Every panel of a grid, with what its row shows and the language of its column."""
    for line, row in zip(panels, rows, strict=True):
        for axes, language in zip(line, cast.languages, strict=True):
            yield axes, row, language


def label_grid(panels: np.ndarray, xlabel: str, ylabels: str | Iterable[str]) -> None:
    """Label the axes of a grid: x below its lowest row, y beside each row, alike or one by one."""
    for axes in panels[-1]:
        axes.set_xlabel(xlabel)
    labels = itertools.repeat(ylabels) if isinstance(ylabels, str) else ylabels
    for axes, label in zip(panels[:, 0], labels, strict=False):
        axes.set_ylabel(label)


def name_columns(panels: np.ndarray, cast: Cast, **font: float) -> None:
    """Write the languages above the columns of a grid."""
    for axes, name in zip(panels[0], cast.languages.values(), strict=True):
        axes.set_title(name, **font)


def add_legend(figure: Figure, handles: Sequence, columns: int = 4) -> None:
    """One legend for all panels, above them."""
    columns = min(len(handles), columns if figure.get_figwidth() > COLUMN else 1)
    figure.legend(handles=list(handles), loc="outside upper left", ncols=columns, borderaxespad=0.2)


def legend_entry(label: str, **look: Any) -> Line2D:
    """A line or marker of a legend, with properties as `Line2D` takes them."""
    return Line2D([], [], label=label, **look)


def percent(level: float) -> str:
    """0.95 -> "95 %"."""
    return f"{100 * level:g} %"


def beside(index: int, count: int, apart: float) -> float:
    """How far from its place on the axis the one of several stands, never beyond half the way.

    Args:
        index: its number; count: of them all.
        apart: half the distance between two of them, if there are few. [units of the axis]
    """
    return min(apart, 0.5 / count) * (2 * index - count + 1)


def zero_line(axes: Axes) -> None:
    """A line at zero, above the grid and below the data."""
    axes.axhline(0, color=INK, linewidth=0.6, zorder=1)


def interval_bars(
    axes: Axes, x: ArrayLike, means: Estimate, look: ModelLook, label: str = ""
) -> None:
    """Means joined by a line, with bars to their limits; a limit that is NaN has no bar."""
    axes.errorbar(
        x, means.estimate, yerr=means.reach, color=look.color, marker=look.marker,
        linestyle=look.line, markeredgecolor=PAPER, markeredgewidth=0.4, elinewidth=1.0, zorder=3,
        label=label or None,
    )  # fmt: skip


def label_lines(axes: Axes, labels: Sequence[tuple[float, str, str]], apart: float = 0.12) -> None:
    """Write names of lines at their right ends, where the panel ends.

    Args:
        axes: whose limits are final.
        labels: where a line ends [units of y; NaN: it has no end, and no label], its name and its
            colour.
        apart: the smallest distance between texts, as a share of the panel's height.
    """
    bottom, top = axes.get_ylim()
    ends = sorted(
        (min(max((y - bottom) / (top - bottom), 0.0), 1.0), text, color)
        for y, text, color in labels
        if np.isfinite(y)
    )
    places: list[float] = []
    for place, _, _ in ends:
        places.append(max(place, places[-1] + apart) if places else place)
    limit = 1.0
    for index in reversed(range(len(places))):  # those pushed beyond the top push the others down
        places[index] = min(places[index], limit)
        limit = places[index] - apart
    for place, (_, text, color) in zip(places, ends, strict=True):
        axes.annotate(
            text, (1, place), xycoords="axes fraction", xytext=(4, 0), textcoords="offset points",
            va="center", color=color, fontsize=6.5, annotation_clip=False,
        )  # fmt: skip


def heat_map(axes: Axes, values: Float[np.ndarray, "row column"], scale: Normalize) -> QuadMesh:
    """Draw a cell for each value, the first row at the bottom; none where it is NaN."""
    edges = (np.arange(count + 1) - 0.5 for count in values.shape[::-1])
    shown = np.ma.masked_invalid(values)
    mesh = axes.pcolormesh(*edges, shown, cmap="RdBu_r", norm=scale, rasterized=False)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    return mesh


def colour_bar(
    mesh: QuadMesh, panels: Iterable[Axes], label: str, aspect: float, shrink: float
) -> Colorbar:
    """The scale of heat maps, beside their panels."""
    figure = mesh.get_figure()
    bar = figure.colorbar(mesh, ax=list(panels), aspect=aspect, pad=0.01, shrink=shrink)
    bar.outline.set_visible(False)
    bar.set_label(label, fontsize=6)
    bar.ax.tick_params(labelsize=6)
    return bar


def sparse(count: int, most: int = 8) -> range:
    """Ticks at evenly spaced ones of the places 0, 1, … `count` - 1, about `most` of them."""
    return range(0, count, max(1, math.ceil(count / most)))


def no_data(axes: Axes, text: str) -> None:
    """Say why a panel is empty, instead of leaving it blank."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)


def lacks_data(axes: Axes, values: ArrayLike, text: str) -> bool:
    """Whether no number is known; the panel then says why it is empty."""
    lacking = not np.isfinite(np.asarray(values, dtype=float)).any()
    if lacking:
        no_data(axes, text)
    return lacking


def digest_comment(text: str) -> str:
    """The end of an SVG file: a comment with the SHA-256 of the text before it."""
    return f"<!-- sha256 {digest(text.encode())} -->\n"


def _steady_clips(svg: str) -> str:
    """The same picture with its clips named after what is written of them.

    Matplotlib names them after all digits of their corners; the last one depends on the order in
    which its layout engine sums, which differs from run to run.
    """
    names: dict[str, str] = {}

    def renamed(clip: re.Match) -> str:
        name = f"p{digest(clip['content'].encode())[:10]}"
        again = name in names.values()
        names[clip["name"]] = name
        return "" if again else f'  <clipPath id="{name}">{clip["content"]}</clipPath>\n'

    svg = re.sub(
        r' *<clipPath id="(?P<name>\w+)">(?P<content>.*?)</clipPath>\n',
        renamed,
        svg,
        flags=re.DOTALL,
    )
    return re.sub(r"url\(#(\w+)\)", lambda use: f"url(#{names.get(use[1], use[1])})", svg)


def save_figure(
    figure: Figure, path: str | Path, made: Mapping, title: str, dpi: int = 160
) -> None:
    """Write PNG, SVG or PDF (by the ending) with its provenance inside; equal figures, equal bytes.

    Raises:
        LengthlensError: another ending.
    """
    ending = Path(path).suffix.lstrip(".")
    if ending not in _WRITTEN:
        raise LengthlensError(f"{path}: figures are written as png, svg or pdf, not {ending!r}")
    fixed, source = _WRITTEN[ending]
    metadata = fixed | {"Title": title, source: json.dumps(made, sort_keys=True)}
    choose_fonts(figure)
    with styled(), written_whole(path) as temporary:
        figure.savefig(temporary, format=ending, dpi=dpi, metadata=metadata)
        if ending == "svg":
            text = temporary.read_text(encoding="utf-8")
            # NOTE lines end in blanks where paths do, which git and reviewers trip over
            text = _steady_clips(re.sub(r"[ \t]+\n", "\n", text))
            temporary.write_text(text + digest_comment(text), encoding="utf-8", newline="\n")
