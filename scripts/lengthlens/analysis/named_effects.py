"""The measured effects of single heads that a score is tested against, by name.

What a score finds depends on what is asked of the heads, so a test names its effect. A new one is a
line in `EFFECTS` and a value in `settings.claims`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr
from jaxtyping import Float
from numpy import ndarray

from lengthlens.errors import LengthlensError


class NoEffect(LengthlensError):
    """A file that does not hold the effect; the message says why."""


@dataclass(frozen=True)
class NamedEffect:
    """An effect of every head.

    Attributes:
        words: what it is, for people.
        folder: of the files that hold it, one a model and language, with the coordinates `split`
            and `topic`.
        read: a file's values, NaN where a sample or head was not measured.
    """

    words: str
    folder: str
    read: Callable[[xr.Dataset], Float[ndarray, "sample layer head"]]


def _zero_effect(data: xr.Dataset) -> Float[ndarray, "sample layer head"]:
    if "zero" not in data["mode"].to_numpy():
        raise NoEffect("forced.modes has no `zero`, so that the effect was not measured")
    return data["effect_head"].sel(mode="zero").to_numpy()


EFFECTS = {
    "zero_effect": NamedEffect(
        "the end margin that is lost when the head alone is set to zero", "forced", _zero_effect
    ),
}
