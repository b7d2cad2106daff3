"""Which base model belongs to which instruct model."""

from __future__ import annotations

import itertools
from collections.abc import Mapping


def model_pairs(variants: Mapping[str, str]) -> list[dict[str, str]]:
    """Pair the models: the first base with the first instruct model, and so on.

    Args:
        variants: model -> variant, in the order of the configuration.

    Returns:
        Of each pair, the model of every variant; a model without a partner is alone.
    """
    by_variant: dict[str, list[str]] = {}
    for model, variant in variants.items():
        by_variant.setdefault(variant, []).append(model)
    rows = itertools.zip_longest(*by_variant.values())
    return [
        {variant: model for variant, model in zip(by_variant, row, strict=True) if model}
        for row in rows
    ]
