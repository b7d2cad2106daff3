"""Mean output of every component over the steps of the `select` prompts, by position class.

Mean ablation replaces a component by this. The class of a step is 0 where its position is the last
prompt token (an answer's first step) and 1 where it is a generated token.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool
from torch import Tensor

from lengthlens.decoding.intervention import Replacement
from lengthlens.generation.records import Batch

POSITION_CLASSES = ("prompt", "generated")


def sum_activations(batch: Batch, selected: Bool[np.ndarray, " sample"]) -> xr.Dataset:
    """Sums of heads' and MLPs' activations over the steps of the selected samples, in float64.

    Returns:
        `sum_head (position_class, layer, head, d_head)`, `sum_mlp (position_class, layer, d_model)`
        and `count (position_class)`. Datasets of several batches simply add up.
    """
    steps, terms = batch.steps, batch.residuals
    first = np.zeros(len(steps), dtype=bool)
    first[batch.samples.first_step] = True
    used = selected[steps.sample]
    classes = [torch.from_numpy(used & first), torch.from_numpy(used & ~first)]

    def total(values: Tensor) -> np.ndarray:
        # NOTE layer by layer: in float64 a large model's activations take four times what they did.
        layers = map(Tensor.cpu, values.unbind(1))
        sums = [[layer[mask].double().sum(0).numpy() for mask in classes] for layer in layers]
        return np.stack(sums, axis=1)

    return xr.Dataset(
        {
            "sum_head": (("position_class", "layer", "head", "d_head"), total(terms.head)),
            "sum_mlp": (("position_class", "layer", "d_model"), total(terms.mlp)),
            "count": (("position_class",), [int(mask.sum()) for mask in classes]),
        },
        coords={"position_class": list(POSITION_CLASSES)},
    )


def replacement(sums: xr.Dataset) -> Replacement:
    """The means, ready to stand in for removed components."""
    count = sums["count"].clip(min=1)

    def mean(name: str) -> Tensor:
        return torch.from_numpy((sums[name] / count).to_numpy()).float()

    return Replacement(head=mean("sum_head"), mlp=mean("sum_mlp"))
