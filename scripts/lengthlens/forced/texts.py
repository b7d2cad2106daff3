"""The part of a forced file that is about the other model's answers, and its names there."""

from __future__ import annotations

import xarray as xr

PREFIX = "other_"


def as_other(attribution: xr.Dataset) -> xr.Dataset:
    """An attribution's variables renamed, to stand beside those of the model's own text."""
    return attribution.rename({name: PREFIX + name for name in attribution.data_vars})


def on_text(own: xr.Dataset, forced: xr.Dataset, text: str, tuning: str) -> xr.Dataset | None:
    """A model's attribution on its own text or its partner's.

    Args:
        own: its attribution file.
        forced: its forced file, of the same samples.
        text: `untuned` or `tuned`, whose answers.
        tuning: the model's own.

    Returns:
        The variables of an attribution file, or None where the text was not forced.
    """
    if text == tuning:
        return own
    if PREFIX + "n_steps" not in forced:
        return None
    names = [name for name in forced.data_vars if name.startswith(PREFIX)]
    return forced[names].rename({name: name.removeprefix(PREFIX) for name in names})
