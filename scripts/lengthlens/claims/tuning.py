"""Statistics of claims about what tuning changed, from the files of transplants.

`transplant`: the share of what tuning brought that a part of the tuned weights brings into the
untuned model (`tuning: untuned`: does it suffice?), or that goes from the tuned model without it
(`tuning: tuned`: is it necessary?). With `minus` the share of another part, or in another language,
is taken off. A part whose exchange takes neutral text outside the range of both models has no share
here: it may simply have broken the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from lengthlens.analysis.transplants import share_of_tuning, share_terms, within_parents
from lengthlens.claims.kinds import Data, Measurement, NoData, mean_difference, sides_of
from lengthlens.models.depth import layers_between
from lengthlens.statistics import Bootstrap

WORDS = {"exact": "exact answers", "end_margin": "the end margin", "n_effect": "the effect of N"}


def transplant(statistic: Mapping[str, Any], data: Data, bootstrap: Bootstrap) -> Measurement:
    """Share of tuning, or the difference of two shares."""
    sides = sides_of(statistic)
    files = [_file(data, side["language"]) for side in sides]
    measure = statistic["measure"]
    hybrids = [
        (file, measure, _place(file, name, side))
        for (file, name), side in zip(files, sides, strict=True)
    ]
    shares = [share_of_tuning(*hybrid, bootstrap) for hybrid in hybrids]
    for share, (_, name) in zip(shares, files, strict=True):
        if not np.isfinite(share.estimate):
            raise NoData(f"{name}: tuning brought no {WORDS[measure]} above 0 with its interval")
    interval = shares[0]
    if len(sides) > 1:
        interval = mean_difference([share_terms(*hybrid) for hybrid in hybrids], bootstrap)
    verb = "brought into" if statistic["tuning"] == "untuned" else "gone from"
    return Measurement(
        interval=interval,
        text=f"share of {WORDS[measure]} {verb} the {statistic['tuning']} model with "
        + " minus that with ".join(map(_words, sides)),
        source="; ".join(dict.fromkeys(name for _, name in files)),
    )  # a cut answer is not exact, and margins are read where none is cut


def _file(data: Data, language: str) -> tuple[xr.Dataset, str]:
    """The pair's transplants in a language, and the name of the file."""
    missing = {"untuned", "tuned"} - set(data.models)
    if missing:
        raise NoData(f"the run has no {' and no '.join(sorted(missing))} model of the pair")
    name = f"transplant/{data.models['untuned']}--{data.models['tuned']}.{language}.nc"
    if language not in data.transplants:
        raise NoData(f"the run has no {name}")
    return data.transplants[language], name


def _place(file: xr.Dataset, name: str, side: Mapping[str, Any]) -> int:
    """The hybrid that a side names."""
    wanted = {
        "into": side["tuning"], "what": side["what"], "layers": _layers(file, side),
        "components": "", "scale": 1.0, "control": False,
    }  # fmt: skip
    found = np.ones(file.sizes["condition"], dtype=bool)
    for label, value in wanted.items():
        found &= file[label].to_numpy() == value
    if not found.any():
        raise NoData(f"{name} has no {_words(side)}: the models do not differ there")
    place = int(np.flatnonzero(found)[0])
    if not within_parents(file)[place]:
        raise NoData(
            f"{name}: with {_words(side)} exchanged, neutral text is outside the range of both "
            "models, so that nothing is said of counting"
        )
    return place


def _layers(file: xr.Dataset, side: Mapping[str, Any]) -> str:
    """The layers of a side as the file names them."""
    wanted, n_layers = side.get("layers"), file.sizes["layer"]
    if wanted is None:
        return ""
    if wanted == "final":
        return f"{n_layers - 1}-{n_layers - 1}"
    layers = layers_between(n_layers, *map(float, wanted))
    if not len(layers):
        raise NoData(f"none of the {n_layers} layers lies between {wanted[0]} and {wanted[1]}")
    return f"{layers[0]}-{layers[-1]}"


def _words(side: Mapping[str, Any]) -> str:
    kind = {"all": "all weights", "mlp": "the MLPs"}.get(side["what"], f"the {side['what']}")
    layers = side.get("layers")
    if layers is not None:
        depth = "final layer" if layers == "final" else f"depth {layers[0]} to {layers[1]}"
        kind += f" of the {depth}" if layers == "final" else f" of {depth}"
    return f"{kind} ({side['language']})"
