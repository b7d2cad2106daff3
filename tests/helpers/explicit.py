"""Attribution by explicit vectors: slow, plain, and independent of how the study folds it."""

from __future__ import annotations

import numpy as np
import torch

from lengthlens.attribution.dla import KINDS
from lengthlens.generation.records import Batch
from lengthlens.models.anatomy import dissect


def explicit_scores(model, batch: Batch) -> dict[str, np.ndarray]:
    """DLA with every component built as a vector of the stream and read out over the vocabulary.

    Nothing of `readout` or `attribution` is used: W_O, norms and W_U come from the modules, the
    final norm's denominator from the sum of all vectors.
    """
    config, anatomy = model.config, dissect(model)
    offset = 1.0 if "gemma" in config.model_type else 0.0
    kappa = 1.0 / getattr(config, "logits_scaling", 1.0)
    times = getattr(config, "residual_multiplier", 1.0)
    gamma = anatomy.final_norm.weight + offset
    centred = isinstance(anatomy.final_norm, torch.nn.LayerNorm)
    unembed = anatomy.unembedding.weight
    beta = getattr(anatomy.final_norm, "bias", None)
    constant = kappa * (unembed @ beta) if centred else torch.zeros(len(unembed)).double()
    out: dict[str, list] = {kind: [] for kind in KINDS}
    for i in range(len(batch.steps)):
        heads, bias = [], 0.0
        for index, layer in enumerate(anatomy.layers):
            module = layer.attention.module
            weight = module.weight if isinstance(module, torch.nn.Linear) else module.weight.T
            blocks = weight.unflatten(1, (anatomy.n_heads, anatomy.d_head))
            x = batch.residuals.head[i, index]
            vectors = torch.stack([blocks[:, h] @ x[h] for h in range(anatomy.n_heads)])
            own_bias = torch.zeros(len(weight)).double() if module.bias is None else module.bias
            if layer.attention_norm is not None:
                whole = vectors.sum(0) + own_bias
                norm = layer.attention_norm
                eps = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
                gain = (norm.weight + offset) / (whole.square().mean() + eps).sqrt()
            else:
                gain = torch.tensor(times, dtype=torch.float64)
            heads.append(vectors * gain)
            bias = bias + own_bias * gain
        parts = {
            "head": torch.stack(heads),
            "mlp": batch.residuals.mlp[i],
            "embed": batch.residuals.embed[i],
            "bias": bias,
        }
        stream = sum(part.reshape(-1, anatomy.d_model).sum(0) for part in parts.values())
        norm = anatomy.final_norm
        eps = norm.eps if hasattr(norm, "eps") else norm.variance_epsilon
        variance = stream.var(unbiased=False) if centred else stream.square().mean()
        for kind, part in parts.items():
            moved = part - part.mean(-1, keepdim=True) if centred else part
            logits = kappa * (moved / (variance + eps).sqrt() * gamma) @ unembed.T
            logits = logits + constant if kind == "bias" else logits
            y, e, w = (
                getattr(batch.steps, name)[i] for name in ("token", "ender_token", "word_token")
            )
            targets = [logits[..., y] - logits.mean(-1), logits[..., y]]
            targets.append((logits[..., e] - logits[..., w]) * bool(batch.steps.boundary[i]))
            out[kind].append(torch.stack(targets).numpy())
    return {kind: np.stack(values, axis=1) for kind, values in out.items()}
