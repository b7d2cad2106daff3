"""CWA by layer: all heads of a layer together, and its MLP; per step and as the paper's sum."""

from __future__ import annotations

import itertools

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from lengthlens.figures import style
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import Case, language_name, span, stated, told_models
from lengthlens.statistics import Estimate

ROWS = (
    ("head_layer", "_step", "heads of a layer,\nlogits per step"),
    ("mlp", "_step", "MLP,\nlogits per step"),
    ("head_layer", "", "heads of a layer,\nsum (paper), logits"),
    ("mlp", "", "MLP,\nsum (paper), logits"),
)
_DODGE = 0.12  # share of a layer that models stand apart
_CENTRAL = 1.96  # standard deviations, to either end of the central 95 % of a normal
_WIDE = 20.0  # a row whose extremes differ by more than this factor is compressed (symmetric log)


@style.styled()
def draw_cwa_by_layer(cwa: xr.Dataset, cast: Cast, target: str = "token") -> Figure:
    """Draw CWA by layer, balanced over N: a row a component and form, a column a language.

    Args:
        cwa: means over samples (`cwa.aggregate_attribution`).
        cast: models and languages, in order.
        target: whose CWA: token, logit or end.
    """
    chosen = cast.part_of(cwa.sel(target=target))
    figure, panels = style.panel_grid(
        [1.5] * len(ROWS), len(cast.languages), sharex=True, sharey="row"
    )
    for row, (component, form, label) in zip(panels, ROWS, strict=True):
        values = chosen[f"cwa_{component}{form}_all"]
        for axes, language in zip(row, cast.languages, strict=True):
            style.zero_line(axes)
            _draw_panel(axes, chosen, (component, form), language, cast)
        row[0].set_ylabel(label)
        _compress(row, values)
    for axes, name in zip(panels[0], cast.languages.values(), strict=True):
        axes.set_title(name)
    for axes in panels[-1]:
        axes.set_xlabel("layer" if _same_depth(chosen, cast) else "depth, % of layers")
    style.add_legend(figure, _legend(cast, cwa.attrs.get("level", 0.95)), columns=3)
    figure.set_label(title(chosen, cast))
    return figure


def title(chosen: xr.Dataset, cast: Cast) -> str:
    """Whether the final MLP's CWA leaves what shifted signs give.

    Args:
        chosen: `cwa.nc` of one target.
        cast: models and languages, in order.
    """
    name, cases = "cwa_mlp_step_all", []
    for model, language in itertools.product(told_models(cast), cast.languages):
        if final := _layers(chosen, model):
            here = chosen.sel(model=model, language=language).isel(layer=final - 1)
            value, low, high, null, spread = (
                float(here[f"{name}{end}"]) for end in ("", "_low", "_high", "_null", "_null_sd")
            )
            reach = _CENTRAL * spread
            limits = (low - null - reach, high - null + reach)
            cases.append(Case(model, language_name(language, cast), value - null, *limits))
    return stated(
        cases,
        "the final MLP's CWA is above the shifted-sign null",
        "the final MLP's CWA is below the shifted-sign null",
        "the final MLP's CWA differs from the shifted-sign null",
    )


def _legend(cast: Cast, level: float) -> list:
    handles: list = [
        look.handle(f"{model}, {style.percent(level)} interval")
        for model, look in cast.looks.items()
    ]
    null = Patch(color=style.MUTED, alpha=0.35, label="signs shifted (null): mean and central 95 %")
    return [*handles, null]


def _layers(chosen: xr.Dataset, model: str) -> int:
    """Layers a model has; those beyond are NaN."""
    known = np.zeros(chosen.sizes["layer"], dtype=bool)
    for name in ("cwa_head_layer_all", "cwa_mlp_all"):  # either may be lacking in a layer
        values = chosen[name].sel(model=model).transpose("layer", ...).to_numpy()
        known |= np.isfinite(values.reshape(len(values), -1)).any(axis=1)
    return int(np.flatnonzero(known).max(initial=-1)) + 1


def _same_depth(chosen: xr.Dataset, cast: Cast) -> bool:
    return len({_layers(chosen, model) for model in cast.tunings}) == 1


def _draw_panel(
    axes: Axes, chosen: xr.Dataset, row: tuple[str, str], language: str, cast: Cast
) -> None:
    looks, empty = cast.looks, True
    component, form = row
    same = _same_depth(chosen, cast)
    for index, (model, look) in enumerate(looks.items()):
        depth = _layers(chosen, model)

        def read(end: str, model=model, depth=depth) -> np.ndarray:
            name = f"cwa_{component}{form}_all{end}"
            here = chosen[name].sel(model=model, language=language).isel(layer=slice(depth))
            return here.to_numpy()

        if not np.isfinite(read("")).any():
            continue
        empty = False
        shift = _DODGE * (2 * index - len(looks) + 1) / 2
        layers = np.arange(depth) + (shift if depth <= 16 else 0)
        x = layers if same else 100 * (layers + 0.5) / depth
        _draw_null(axes, x, read("_null"), read("_null_sd"), look)
        means = Estimate(*(read(end) for end in ("", "_low", "_high")))
        style.interval_bars(axes, x, means, look)
        if same:
            axes.set_xticks(style.sparse(depth))
    if empty:
        style.no_data(axes, "no samples")


def _draw_null(axes: Axes, x: ArrayLike, mean, spread, look: style.ModelLook) -> None:
    """A band of the model's own colour: what shifted signs give, the central 95 % of a normal."""
    reach = _CENTRAL * spread
    axes.fill_between(x, mean - reach, mean + reach, color=look.color, alpha=0.16, linewidth=0)
    axes.plot(x, mean, color=look.color, linewidth=0.8, alpha=0.45, linestyle=(0, (1, 1)))


def _compress(row: np.ndarray, values: xr.DataArray) -> None:
    """A symmetric logarithmic scale where one layer dwarfs the others, so that all can be read."""
    sizes = np.abs(values.to_numpy())
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    if len(sizes) and sizes.max() > _WIDE * np.median(sizes):
        for axes in row:
            axes.set_yscale("symlog", linthresh=float(np.median(sizes)), linscale=1.0)


def counts(cwa: xr.Dataset) -> str:
    """How many answers and topics the figure rests on, for its caption."""
    each = span(cwa["n_samples"].sum("n").to_numpy().ravel(), "count")
    topics = int(cwa["n_topics"].max())
    return f"n = {each} answers for each model and language, up to {topics} topics for each N."
