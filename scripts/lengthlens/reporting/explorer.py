"""The interactive map of all components: a Vega-Lite chart with switches, drawn in the browser.

One record contains one map (model, language, N, target, form) as flat lists. The chart selects a
record by its switches and expands it into cells, so the page stores every number once. Vega,
Vega-Lite and Vega-Embed come from the package vl-convert-python and are written into the page,
which therefore loads nothing from the network.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import vl_convert
import xarray as xr
from jaxtyping import Float

from lengthlens.figures.style import Cast
from lengthlens.figures.titles import tuned_first

VEGA_LITE = "6.4"
MOST_CELLS = 150_000  # of all maps; beyond, a page of 8 MB is in danger and single N are left out
ALL = "all"
FORMS = {"mean per step": "_step", "sum over an answer": ""}
TARGETS = {
    "token": "produced token",
    "logit": "its raw logit",
    "end": "end margin",
}
_NAMES = ("model", "language", "n", "target", "form")
STATISTICS = {"value": "", "low": "_low", "high": "_high", "null": "_null"}
_DIGITS = 3  # significant ones
_LARGEST_MAP, _ROW = 420, (12, 26)  # pixels: height of a deep model's map, of a row
_ENCODING = {
    "x": {
        "field": "head",
        "type": "ordinal",
        "sort": {"field": "column"},
        "axis": {"title": "head", "labelAngle": 0, "labelOverlap": "greedy"},
    },
    "y": {
        "field": "layer",
        "type": "ordinal",
        "sort": "descending",
        "axis": {"title": "layer", "labelOverlap": "greedy"},
    },
    "color": {
        "field": "shade",
        "type": "quantitative",
        "scale": {"scheme": "redblue", "reverse": True, "domain": [-1, 1]},
        "legend": None,
    },
    "stroke": {
        "condition": {"param": "pointed", "empty": False, "value": "currentColor"},
        "value": None,
    },
    "description": {"field": "words"},
    "tooltip": [
        {"field": "layer", "title": "layer"},
        {"field": "head", "title": "head"},
        {"field": "shown", "title": "logits"},
        {"field": "null", "title": "shifted signs", "format": "+.3f"},
    ],
}
_LOOK = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "title": {"color": "currentColor"},
    "axis": {
        "labelColor": "currentColor",
        "titleColor": "currentColor",
        "domain": False,
        "ticks": False,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
}


def draw_explorer(cwa: xr.Dataset, cast: Cast) -> dict[str, Any] | None:
    """The chart as a Vega-Lite specification; None where the run has no CWA at all.

    Args:
        cwa: means over answers with intervals (`cwa.nc`).
        cast: models and languages, in order.
    """
    cwa = cast.part_of(cwa)
    depth, heads = cwa.sizes["layer"], cwa.sizes["head"]
    numbers = [ALL, *(str(n) for n in cwa["n"].to_numpy())]
    maps = len(cast.tunings) * len(cast.languages) * len(TARGETS) * len(FORMS)
    if maps * len(numbers) * depth * (heads + 1) > MOST_CELLS:
        numbers = [ALL]
    records, limits = [], {}
    for values in itertools.product(cast.tunings, cast.languages, numbers, TARGETS, FORMS):
        choice = dict(zip(_NAMES, values, strict=True))
        cells = {name: _cells(cwa, choice, ending) for name, ending in STATISTICS.items()}
        if not np.isfinite(cells["value"]).any():
            continue
        records.append(choice | {name: _listed(values) for name, values in cells.items()})
        limits["|".join(choice.values())] = _limits(cwa, choice, cells["value"])
    if not records:
        return None
    return _specification(records, limits, cast, numbers, (depth, heads))


def _cells(
    cwa: xr.Dataset, choice: Mapping[str, str], ending: str
) -> Float[np.ndarray, "layer head_and_mlp"]:
    """One map: a row a layer, a column a head, and the MLP in the last column."""
    at = {key: choice[key] for key in ("target", "model", "language")}
    pool = "_all"
    if choice["n"] != ALL:
        at["n"], pool = int(choice["n"]), ""
    name = f"{FORMS[choice['form']]}{pool}{ending}"
    head = cwa[f"cwa_head{name}"].sel(at).transpose("layer", "head")
    return np.column_stack([head, cwa[f"cwa_mlp{name}"].sel(at)])


def _listed(values: Float[np.ndarray, "row column"]) -> list[float | None]:
    return [float(f"{v:.{_DIGITS}g}") if np.isfinite(v) else None for v in values.ravel()]


def _limits(cwa: xr.Dataset, choice: Mapping[str, str], values: np.ndarray) -> list[float]:
    """Largest size of a head's and of an MLP's value, which get the darkest colour; answers."""
    answers = cwa["n_samples"].sel(model=choice["model"], language=choice["language"])
    count = answers.sum() if choice["n"] == ALL else answers.sel(n=int(choice["n"]))
    sizes = (np.nanmax(np.abs(part), initial=0.0) for part in (values[:, :-1], values[:, -1]))
    return [*(float(f"{size:.{_DIGITS}g}") for size in sizes), int(count)]


def _specification(
    records: list[dict],
    limits: dict,
    cast: Cast,
    numbers: list[str],
    shape: tuple[int, int],
) -> dict[str, Any]:
    depth, heads = shape
    key = "pick_model+'|'+pick_language+'|'+pick_n+'|'+pick_target+'|'+pick_form"
    known = f"limits[{key}]"
    least, most = _ROW
    return {
        "$schema": f"https://vega.github.io/schema/vega-lite/v{VEGA_LITE.split('.')[0]}.json",
        "description": "Attribution of every head and MLP, by layer; choose with the switches.",
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "height": depth * max(least, min(most, _LARGEST_MAP // depth)),
        "data": {"values": records},
        "params": [
            {"name": "limits", "value": limits},
            _switch("model", {m: f"{m} ({cast.tunings[m]})" for m in tuned_first(cast)}),
            _switch("language", dict(cast.languages)),
            _switch("n", {n: "all N" if n == ALL else n for n in numbers}),
            _switch("target", TARGETS),
            _switch("form", {form: form for form in FORMS}),
            {
                "name": "pointed",
                "select": {"type": "point", "on": "pointerover", "clear": "pointerout"},
            },
        ],
        "transform": _transform(known, heads),
        "title": {
            "text": {
                "expr": f"{known} ? {known}[2] + ' answers. Darkest: head ±' + "
                f"format({known}[0], '.3~g') + ', MLP ±' + format({known}[1], '.3~g') + ' logits'"
                " : 'no data'"
            },
            "anchor": "start",
            "fontSize": 12,
            "fontWeight": "normal",
        },
        "mark": {"type": "rect", "strokeWidth": 2},
        "encoding": _ENCODING,
        "config": _LOOK,
    }


def _transform(known: str, heads: int) -> list[dict[str, Any]]:
    """From the rows of the chosen map to its cells, with their places, shades and words.

    Args:
        known: what gives the limits of the chosen map.
        heads: in a layer.
    """
    return [
        {"filter": " && ".join(f"datum.{name} == pick_{name}" for name in _NAMES)},
        {"flatten": list(STATISTICS)},
        {"window": [{"op": "row_number", "as": "place"}]},
        {"filter": "isValid(datum.value)"},
        {"calculate": f"floor((datum.place - 1) / {heads + 1})", "as": "layer"},
        {"calculate": f"(datum.place - 1) % {heads + 1}", "as": "column"},
        {"calculate": f"datum.column < {heads} ? '' + datum.column : 'MLP'", "as": "head"},
        {
            "calculate": f"datum.value / ({known}[datum.column < {heads} ? 0 : 1] || 1)",
            "as": "shade",
        },
        {
            "calculate": "format(datum.value, '+.3f') + ' [' + (isValid(datum.low) ? "
            "format(datum.low, '+.3f') + ', ' + format(datum.high, '+.3f') : 'no interval')"
            " + ']'",
            "as": "shown",
        },
        {
            "calculate": "'Layer ' + datum.layer + (datum.head == 'MLP' ? ', MLP: ' : "
            "', head ' + datum.head + ': ') + datum.shown",
            "as": "words",
        },
    ]


def _switch(name: str, options: Mapping[str, str]) -> dict[str, Any]:
    """A switch between options by their labels; the first is chosen."""
    return {
        "name": f"pick_{name}",
        "value": next(iter(options)),
        "bind": {
            "input": "select",
            "name": name.capitalize(),
            "options": list(options),
            "labels": list(options.values()),
        },
    }


def script_json(specification: Mapping[str, Any]) -> str:
    """JSON that can stand inside a script element, whatever its texts are."""
    text = json.dumps(specification, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script (about 0.9 MB)."""
    return vl_convert.javascript_bundle(vl_version=VEGA_LITE).replace("</script", "<\\/script")
