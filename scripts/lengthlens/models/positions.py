"""How many positions a model reads in the same way, whatever else is in the batch."""

from __future__ import annotations

from lengthlens.errors import LengthlensError
from lengthlens.models.small_model import text_config

_FOLLOWS_THE_LONGEST = ("longrope", "dynamic")


def steady_positions(config) -> int | None:
    """Positions up to which rotary frequencies do not depend on the length of a row; None: all.

    Frequencies of the kinds `longrope` (Phi-3) and `dynamic` are other ones once the longest row
    of a pass is longer than that. They change for all rows of the pass, but not for what is cached.
    """
    config = text_config(config)
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, dict)]
    bounds = [
        rope.get("original_max_position_embeddings") or config.max_position_embeddings
        for rope in nested or [parameters]
        if str(rope.get("rope_type", "")) in _FOLLOWS_THE_LONGEST
    ]
    return min(bounds, default=None)


def check_positions(config, positions: int) -> None:
    """Refuse rows that are longer than `steady_positions`.

    Args:
        config: of the model.
        positions: that the longest row of a batch has, its answer included.
    """
    bound = steady_positions(config)
    if bound is not None and positions > bound:
        raise LengthlensError(
            f"a prompt and its answer may take {positions} positions, but beyond {bound} this "
            f"model ({config.model_type}) changes its rotary frequencies by the longest row of a "
            "batch, so that rows would change each other's answers; shorten the prompts or lower "
            "generation.max_new_tokens"
        )
