"""What an ablation file says of every condition and sample, as numbers that can be averaged.

| measure | a sample's value |
|---|---|
| `exact` | 1 if the answer has exactly N words and was not cut |
| `early`, `late` | 1 if it ended with fewer words; if it has more words or was cut |
| `truncated` | 1 if it was cut at the token limit |
| `error`, `absolute_error` | words - N (of a cut answer: so far); its size |
| `end_margin` | logits, at the decision step of the unablated answer |
| `n_effect` | logits, the N effect; of files of transplants alone |
| `neutral_loglik` | log-likelihood a token; the samples are neutral sentences, weighted by tokens |

NaN where a condition was not answered or scored, or a sample has no decision step.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped

from lengthlens.errors import LengthlensError

SHARES = ("exact", "early", "late", "truncated")
MEASURES = (*SHARES, "error", "absolute_error", "end_margin", "neutral_loglik")


def measure_values(data: xr.Dataset, measure: str) -> Float[np.ndarray, "condition sample"]:
    """One number for every condition and sample (for `neutral_loglik`: sentence)."""
    if measure == "neutral_loglik":
        tokens = data["sentence_tokens"].to_numpy()
        weight = len(tokens) / max(tokens.sum(), 1)  # so that the plain mean is that of a token
        return data["sentence_loglik"].to_numpy() * weight
    if measure in ("end_margin", "n_effect"):
        return data[measure].to_numpy().astype(float)
    error, cut = (data[name].to_numpy().astype(float) for name in ("error", "truncated"))
    values = {
        "exact": (error == 0) & (cut == 0),
        "early": (error < 0) & (cut == 0),
        "late": (error > 0) | (cut == 1),
        "truncated": cut,
        "error": error,
        "absolute_error": np.abs(error),
    }
    if measure not in values:
        raise LengthlensError(f"unknown measure {measure!r}; known: {', '.join(MEASURES)}")
    return np.where(np.isfinite(error), values[measure].astype(float), np.nan)


def measure_clusters(data: xr.Dataset, measure: str) -> Shaped[np.ndarray, " sample"]:
    """What the samples of a measure are clustered by: topics; neutral sentences by themselves."""
    if measure == "neutral_loglik":
        return np.arange(data.sizes["sentence"])
    return data["topic"].to_numpy()
