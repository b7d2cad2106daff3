"""CWA by layer: all heads of a layer together, and its MLP; per step and as the paper's sum."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lengthlens.figures import style
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import Case, language_name, span, stated, told_models
from lengthlens.statistics import Estimate

ROWS = {
    "cwa_head_layer_step_all": "heads of a layer,\nlogits per step",
    "cwa_mlp_step_all": "MLP,\nlogits per step",
    "cwa_head_layer_all": "heads of a layer,\nsum (paper), logits",
    "cwa_mlp_all": "MLP,\nsum (paper), logits",
}
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
    depths = {model: _layers(chosen, model) for model in cast.tunings}
    same = len(set(depths.values())) == 1
    figure, panels = style.panel_grid([1.5] * len(ROWS), cast, sharex=True, sharey="row")
    for axes, name, language in style.cells(panels, ROWS, cast):
        style.zero_line(axes)
        _draw_panel(axes, chosen.sel(language=language), name, cast, depths)
        if same:
            axes.set_xticks(style.sparse(max(depths.values())))
    for row, name in zip(panels, ROWS, strict=True):
        _compress(row, chosen[name])
    style.label_grid(panels, "layer" if same else "depth, % of layers", ROWS.values())
    style.name_columns(panels, cast)
    null = Patch(color=style.MUTED, alpha=0.35, label="signs shifted (null): mean and central 95 %")
    style.add_legend(figure, [*cast.handles(cwa.attrs.get("level", 0.95)), null], columns=3)
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


def _layers(chosen: xr.Dataset, model: str) -> int:
    """Layers a model has; those beyond are NaN."""
    both = ["cwa_head_layer_all", "cwa_mlp_all"]  # either may be lacking in a layer
    values = chosen[both].sel(model=model).to_array()
    known = np.isfinite(values).any(set(values.dims) - {"layer"})
    return int(np.flatnonzero(known).max(initial=-1)) + 1


def _draw_panel(
    axes: Axes, chosen: xr.Dataset, name: str, cast: Cast, depths: Mapping[str, int]
) -> None:
    """Means with their intervals, over bands of the models' colours: what shifted signs give.

    Args:
        chosen: `cwa.nc` of one target and language.
        name: of the variable; depths: layers of each model.
    """
    if style.lacks_data(axes, chosen[name], "no samples"):
        return
    for index, (model, look) in enumerate(cast.looks.items()):
        depth = depths[model]
        own = chosen.sel(model=model).isel(layer=slice(depth))
        means = Estimate.read(own, name)
        if not np.isfinite(means.estimate).any():
            continue
        shift = _DODGE * (2 * index - len(depths) + 1) / 2
        x = np.arange(depth) + (shift if depth <= 16 else 0)
        if len(set(depths.values())) > 1:
            x = 100 * (x + 0.5) / depth
        null, reach = own[f"{name}_null"].to_numpy(), _CENTRAL * own[f"{name}_null_sd"].to_numpy()
        axes.fill_between(x, null - reach, null + reach, color=look.color, alpha=0.16, linewidth=0)
        axes.plot(x, null, color=look.color, linewidth=0.8, alpha=0.45, linestyle=(0, (1, 1)))
        style.interval_bars(axes, x, means, look)


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
