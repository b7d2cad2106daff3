"""How much each component adds to the residual stream: the norm of its output, step by step.

A head adds a[l, h] = W_O[l][:, h] x (scaled as `readout` says), which is never built: with the Gram
matrix G = W_O[:, h]^T W_O[:, h] of the head's columns, made once a model, ||a||^2 = x^T G x. The
output of an MLP is recorded as it is added. The norm knows a component's size and nothing of its
direction, so a score that finds causes must do better than it.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float

from lengthlens.decoding.capture import Residuals
from lengthlens.generation.records import Batch
from lengthlens.models.readout import Readout


def output_norms(
    readout: Readout, residuals: Residuals
) -> tuple[Float[np.ndarray, "step layer head"], Float[np.ndarray, "step layer"]]:
    """Norms of what every head and every MLP adds to the stream."""
    device, dtype = readout.unembedding.device, readout.compute_dtype
    heads, mlps = [], []  # converted layer by layer: never a copy of all layers
    for layer, gram in enumerate(readout.gram):
        x = residuals.head[:, layer].to(device, dtype)
        # NOTE rounding can leave a tiny negative number where W_O maps x to nearly nothing.
        by_head = x.transpose(0, 1)
        norm = ((by_head @ gram) * by_head).sum(-1).T.clamp(min=0).sqrt()
        if residuals.attention_scale is not None:
            norm = norm / residuals.attention_scale[:, layer, None].to(device, dtype)
        heads.append(norm.cpu())
        mlps.append(residuals.mlp[:, layer].to(device, dtype).norm(dim=-1).cpu())
    return torch.stack(heads, 1).numpy(), torch.stack(mlps, 1).numpy()


def mean_norms(readout: Readout, batch: Batch) -> xr.Dataset:
    """Means of the norms over every answer's steps.

    Returns:
        `norm_head (sample, layer, head)` and `norm_mlp (sample, layer)`, NaN for what layers lack.
    """
    first, n_steps = batch.samples.first_step, batch.samples.n_steps
    data = {}
    for kind, norms in zip(("head", "mlp"), output_norms(readout, batch.residuals), strict=True):
        sums = np.add.reduceat(norms.astype(np.float64), first, axis=0)
        means = sums / n_steps.reshape(-1, *[1] * (sums.ndim - 1))
        data[f"norm_{kind}"] = (("sample", "layer", "head")[: sums.ndim], means)
    return readout.layout.blanked(xr.Dataset(data))
