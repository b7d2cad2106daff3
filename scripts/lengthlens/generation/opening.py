"""A model and the settings of its decoding, as the configuration says."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.settings.sections import Generation
from lengthlens.weights.checkpoints import ModelSpec


def open_model(name: str, model: Mapping, config: Mapping, exact: bool = False) -> LoadedModel:
    """Load a model as the `generation` section of the configuration says.

    `exact`: in float32, whatever precision answers are generated in. Differences of margins are
    small: bfloat16 logits near 20 are 0.125 apart.
    """
    section = config["generation"]
    return load(
        ModelSpec.from_config(name, model),
        dtype="float32" if exact else section["dtype"],
        device=section["device"],
        threads=section["threads"],
    )


def settings_of(config: Mapping) -> Generation:
    """How answers are generated, from the configuration's `generation` section."""
    return Generation(**config["generation"])


def limited_settings(config: Mapping, most: int, attribution: xr.Dataset) -> Generation:
    """The same, with answers cut after `most` tokens: from their beginning, after the thinking."""
    settings = settings_of(config)
    limit = min(most + int(attribution["n_thinking"].max()), settings.max_new_tokens)
    return settings.model_copy(update={"max_new_tokens": limit})
