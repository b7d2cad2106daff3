"""Layer x head maps of CWA per step and of the end contrast, with the heads that were chosen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lengthlens.analysis.tables import rows_of
from lengthlens.figures import style
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import span, told_models

# The scores that are drawn, and what is told where they have no value.
_SCORES = {"cwa": "no samples", "end_contrast": "no decision step"}
_DARK = 0.6  # share of the scale beyond which marks are drawn in white
_UNITS = {"cwa": "CWA, logits per step", "end_contrast": "end contrast, logits"}


@style.styled()
def draw_cwa_heatmaps(
    cwa: xr.Dataset,
    rankings: Mapping[tuple[str, str], pd.DataFrame],
    cast: Cast,
    k: Sequence[int] = (8,),
) -> Figure:
    """Draw a map of all heads: a row a model and score, a column a language.

    CWA is the mean per step of target `token` over all samples, balanced over N; the end contrast
    is the score by which heads were ranked, a mean over the `select` samples. Colours are
    symmetric around 0, with one scale for each row.

    Args:
        cwa: means over samples (`cwa.aggregate_attribution`).
        rankings: selection table of each (model, language).
        cast: models and languages, in order.
        k: set sizes; each method's marks show as many heads as the largest.
    """
    top = max(k)
    cwa = cast.part_of(cwa)
    rows = list(itertools.product(cast.tunings, _SCORES))
    depth, heads = cwa.sizes["layer"], cwa.sizes["head"]
    width = style.page_width(len(cast.languages))
    height = np.clip(width / (len(cast.languages) + 0.6) * depth / heads, 0.9, 2.2)
    heights = [height + 0.32] * len(rows)
    figure, panels = style.panel_grid(heights, cast, 0.6, sharex=True, sharey=True)
    for row, (model, method) in zip(panels, rows, strict=True):
        maps = {
            language: _values(cwa, rankings, model, language, method) for language in cast.languages
        }
        known = np.concatenate([values[np.isfinite(values)] for values in maps.values()])
        limit = np.abs(known).max(initial=0) or 1.0
        scale = Normalize(-limit, limit)
        for axes, language in zip(row, cast.languages, strict=True):
            mesh = _draw_map(axes, maps[language], scale, _SCORES[method])
            if (model, language) in rankings:
                _mark_heads(axes, maps[language], scale, rankings[model, language], top)
        bar = style.colour_bar(mesh, row, _UNITS[method], aspect=12, shrink=0.95)
        bar.ax.set_visible(len(known) > 0)
    style.label_grid(panels, "head", [f"{model}\nlayer" for model, _ in rows])
    style.name_columns(panels, cast)
    style.add_legend(figure, _legend(top))
    figure.set_label(title(rankings, cast, top))
    return figure


def title(rankings: Mapping[tuple[str, str], pd.DataFrame], cast: Cast, top: int) -> str:
    """How many of the heads that rank highest both scores name, beside what chance would give."""
    shared, by_chance = [], []
    for pair, ranking in rankings.items():
        heads = ranking[(ranking["kind"] == "head") & ranking["rank"].notna()]
        firsts = [
            set(rows_of(heads, method=method).nsmallest(top, "rank")["component"])
            for method in _SCORES
        ]
        if pair[0] in told_models(cast) and pair[1] in cast.languages and all(firsts):
            shared.append(len(set.intersection(*firsts)))
            by_chance.append(top**2 / heads["component"].nunique())
    if not shared:
        return "No heads could be ranked by both scores"
    return (
        f"CWA and the end contrast share {span(shared, 'count')} of the {top} heads that they rank "
        f"highest; {span(by_chance, 'words')} expected by chance"
    )


def _legend(top: int) -> list[Line2D]:
    return [
        style.legend_entry(
            f"top {top} by {style.METHOD_NAMES[method]}", marker=style.METHOD_MARKERS[method],
            linestyle="", markerfacecolor="none", markeredgecolor=style.INK, markeredgewidth=0.8,
        )
        for method in _SCORES
    ]  # fmt: skip


def _values(
    cwa: xr.Dataset, rankings: Mapping, model: str, language: str, method: str
) -> Float[np.ndarray, "layer head"]:
    if method == "cwa":
        values = cwa["cwa_head_step_all"].sel(target="token", model=model, language=language)
        return values.transpose("layer", "head").to_numpy()
    values = np.full((cwa.sizes["layer"], cwa.sizes["head"]), np.nan)
    if (model, language) in rankings:
        table = rows_of(rankings[model, language], method=method, kind="head")
        values[table["layer"].to_numpy(int), table["head"].to_numpy(int)] = table["score"]
    return values


def _draw_map(
    axes: Axes, values: Float[np.ndarray, "layer head"], scale: Normalize, missing: str
) -> QuadMesh:
    depth, heads = values.shape
    mesh = style.heat_map(axes, values, scale)
    axes.set_xticks(style.sparse(heads))
    axes.set_yticks(style.sparse(depth))
    style.lacks_data(axes, values, missing)
    return mesh


def _mark_heads(
    axes: Axes,
    values: Float[np.ndarray, "layer head"],
    scale: Normalize,
    ranking: pd.DataFrame,
    top: int,
) -> None:
    """Mark the heads that each score ranks highest."""
    for method in _SCORES:
        chosen = rows_of(ranking, method=method, kind="head")
        chosen = chosen.dropna(subset="rank").nsmallest(top, "rank")
        place = chosen["layer"].to_numpy(int), chosen["head"].to_numpy(int)
        dark = np.abs(values[place]) > _DARK * scale.vmax
        mark = style.METHOD_MARKERS[method]
        axes.scatter(
            place[1], place[0], marker=mark, s=_mark_size(*values.shape, mark), facecolors="none",
            edgecolors=np.where(dark, style.ON_DARK, style.ON_LIGHT), linewidths=0.8,
        )  # fmt: skip


def _mark_size(depth: int, heads: int, mark: str) -> float:
    """Area of a mark that stays inside its cell; squares enclose circles."""
    side = min(8.0, 90.0 / max(depth, heads))
    return (side if mark == "s" else 0.62 * side) ** 2


def counts(cwa: xr.Dataset) -> str:
    """How many answers the maps rest on, for the caption."""
    each = cwa["n_samples"].sum("n").to_numpy().ravel()
    return (
        f"n = {span(each, 'count')} answers for each model and language (CWA); of these, the ones "
        "about select topics that have a decision step (end contrast)."
    )
