"""Layer x head maps of CWA per step and of the end contrast, with the heads that were chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lengthlens.figures.style import (
    INK,
    METHOD_NAMES,
    ON_DARK,
    ON_LIGHT,
    Cast,
    add_legend,
    no_data,
    page_width,
    styled,
)
from lengthlens.figures.titles import span, told_models

_MARKS = {"cwa": "o", "end_contrast": "s"}
_MISSING = {"cwa": "no samples", "end_contrast": "no decision step"}
_DARK = 0.6  # share of the scale beyond which marks are drawn in white
_UNITS = {"cwa": "CWA, logits per step", "end_contrast": "end contrast, logits"}


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
    methods = list(_MARKS)
    rows = [(model, method) for model in cast.tunings for method in methods]
    depth, heads = cwa.sizes["layer"], cwa.sizes["head"]
    with styled():
        width = page_width(len(cast.languages))
        height = np.clip(width / (len(cast.languages) + 0.6) * depth / heads, 0.9, 2.2)
        figure = Figure(figsize=(width, (height + 0.32) * len(rows) + 0.6))
        panels = figure.subplots(
            len(rows), len(cast.languages), squeeze=False, sharex=True, sharey=True
        )
        for row, (model, method) in zip(panels, rows, strict=True):
            maps = {
                language: _values(cwa, rankings, model, language, method)
                for language in cast.languages
            }
            limit = max(
                (np.nanmax(np.abs(m)) for m in maps.values() if np.isfinite(m).any()), default=1.0
            )
            scale = Normalize(-(limit or 1.0), limit or 1.0)
            for axes, language in zip(row, cast.languages, strict=True):
                ranking = rankings.get((model, language))
                mesh = _draw_map(
                    axes, maps[language], scale, ranking, top, missing=_MISSING[method]
                )
            bar = figure.colorbar(mesh, ax=list(row), aspect=12, pad=0.01, shrink=0.95)
            bar.outline.set_visible(False)
            bar.ax.set_visible(any(np.isfinite(m).any() for m in maps.values()))
            bar.set_label(_UNITS[method], fontsize=6)
            bar.ax.tick_params(labelsize=6)
            row[0].set_ylabel(f"{model}\nlayer")
        for axes, name in zip(panels[0], cast.languages.values(), strict=True):
            axes.set_title(name)
        for axes in panels[-1]:
            axes.set_xlabel("head")
        add_legend(figure, _legend(top))
    figure.set_label(title(rankings, cast, top))
    return figure


def title(rankings: Mapping[tuple[str, str], pd.DataFrame], cast: Cast, top: int) -> str:
    """How many of the heads that rank highest both scores name, beside what chance would give."""
    shared, by_chance = [], []
    for pair, ranking in rankings.items():
        heads = ranking[(ranking["kind"] == "head") & ranking["rank"].notna()]
        firsts = [
            set(heads[heads["method"] == method].nsmallest(top, "rank")["component"])
            for method in _MARKS
        ]
        if pair[0] in told_models(cast) and pair[1] in cast.languages and all(firsts):
            shared.append(len(set.intersection(*firsts)))
            by_chance.append(top**2 / heads["component"].nunique())
    if not shared:
        return "No heads could be ranked by both scores"
    few, many = min(shared), max(shared)
    count = str(few) if few == many else f"{few} to {many}"
    return (
        f"CWA and the end contrast share {count} of the {top} heads that they rank highest; "
        f"{span(by_chance, 'words')} expected by chance"
    )


def _legend(top: int) -> list[Line2D]:
    return [
        Line2D(
            [],
            [],
            marker=mark,
            linestyle="",
            markerfacecolor="none",
            markeredgecolor=INK,
            markeredgewidth=0.8,
            label=f"top {top} by {METHOD_NAMES[method]}",
        )
        for method, mark in _MARKS.items()
    ]


def _values(
    cwa: xr.Dataset, rankings: Mapping, model: str, language: str, method: str
) -> Float[np.ndarray, "layer head"]:
    if method == "cwa":
        values = cwa["cwa_head_step_all"].sel(target="token", model=model, language=language)
        return values.transpose("layer", "head").to_numpy()
    values = np.full((cwa.sizes["layer"], cwa.sizes["head"]), np.nan)
    if (model, language) in rankings:
        table = rankings[model, language]
        table = table[(table["method"] == method) & (table["kind"] == "head")]
        values[table["layer"].to_numpy(int), table["head"].to_numpy(int)] = table["score"]
    return values


def _draw_map(
    axes: Axes,
    values: Float[np.ndarray, "layer head"],
    scale: Normalize,
    ranking: pd.DataFrame | None,
    top: int,
    missing: str,
):
    depth, heads = values.shape
    edges = np.arange(heads + 1) - 0.5, np.arange(depth + 1) - 0.5
    shown = np.ma.masked_invalid(values)
    mesh = axes.pcolormesh(*edges, shown, cmap="RdBu_r", norm=scale, rasterized=False)
    axes.grid(False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.set_xticks(_ticks(heads))
    axes.set_yticks(_ticks(depth))
    if not np.isfinite(values).any():
        no_data(axes, missing)
    if ranking is not None:
        for method, mark in _MARKS.items():
            chosen = ranking[(ranking["method"] == method) & (ranking["kind"] == "head")]
            chosen = chosen.dropna(subset="rank").nsmallest(top, "rank")
            place = chosen["layer"].to_numpy(int), chosen["head"].to_numpy(int)
            dark = np.abs(values[place]) > _DARK * scale.vmax
            axes.scatter(
                place[1],
                place[0],
                marker=mark,
                s=_mark_size(depth, heads, mark),
                facecolors="none",
                edgecolors=np.where(dark, ON_DARK, ON_LIGHT),
                linewidths=0.8,
            )
    return mesh


def _mark_size(depth: int, heads: int, mark: str) -> float:
    """Area of a mark that stays inside its cell; squares enclose circles."""
    side = min(8.0, 90.0 / max(depth, heads))
    return (side if mark == "s" else 0.62 * side) ** 2


def _ticks(count: int) -> np.ndarray:
    return np.arange(0, count, max(1, int(np.ceil(count / 8))))


def counts(cwa: xr.Dataset) -> str:
    """How many answers the maps rest on, for the caption."""
    each = cwa["n_samples"].sum("n").to_numpy()
    text = str(each.min()) if each.min() == each.max() else f"{each.min()} to {each.max()}"
    return (
        f"n = {text} answers for each model and language (CWA); of these, the ones about select "
        "topics that have a decision step (end contrast)."
    )
