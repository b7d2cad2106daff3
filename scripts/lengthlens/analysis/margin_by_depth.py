"""How the end margin builds up with depth: `tables/depth.csv`.

The final residual is a sum: the embedding (here with all biases), then what the heads and the MLP
of each layer add. With the norm's scale as it is at the end, so is the end margin. A partial sum
is what of it has been added so far. That is not the logit lens, which normalises each layer's
stream by that stream's own scale: there, a layer may change the margin by changing the scale.

Each model is read at its own decisions and, where its partner's answers were forced on it, at
the decisions of that text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from lengthlens.analysis.tables import Files, header, table_of
from lengthlens.forced.texts import on_text
from lengthlens.statistics import Bootstrap, mean_interval

EMBEDDING, HEADS, MLP = "embedding", "heads", "mlp"
COLUMNS = header("model tuning language text place layer after margin± n_samples n_topics level")


def summarise_depth(
    tunings: Mapping[str, str],
    model_pairs: Sequence[Mapping[str, str]],
    attributions: Files,
    forced: Files,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """One row a model, language, text and place in the sum; a text without decisions has none."""
    files = {
        (model, tunings[model], language, author): data.assign_coords(topic=own["topic"])
        for (model, language), own in attributions.items()
        for pair in model_pairs
        if model in pair.values()
        for text, author in pair.items()
        if (data := on_text(own, forced[model, language], text, tunings[model])) is not None
    }
    return table_of(files, _rows, COLUMNS, bootstrap=bootstrap)


def partial_sums(data: xr.Dataset) -> Float[np.ndarray, "sample place"]:
    """Embedding and biases, then heads and MLP of each layer added in turn. [logits]"""
    start = data["decision_embed"] + data["decision_bias"]
    # What a layer lacks is NaN in the file and adds nothing.
    heads = data["decision_head"].fillna(0.0).sum("head", skipna=False)
    blocks = np.stack([heads.to_numpy(), data["decision_mlp"].fillna(0.0).to_numpy()], -1)
    return np.cumsum(np.column_stack([start, blocks.reshape(len(blocks), -1)]), axis=1)


def _rows(data: xr.Dataset, bootstrap: Bootstrap) -> Iterator[dict]:
    sums, topics = partial_sums(data), data["topic"].to_numpy()
    known = np.isfinite(sums).all(1)
    if not known.any():
        return
    found = mean_interval(sums[known], topics[known], bootstrap)
    for place in range(sums.shape[1]):
        yield {
            "place": place,
            "layer": np.nan if place == 0 else (place - 1) // 2,
            "after": EMBEDDING if place == 0 else (HEADS, MLP)[(place - 1) % 2],
            **found[place].columns("margin"),
            **found[place].basis,
        }
