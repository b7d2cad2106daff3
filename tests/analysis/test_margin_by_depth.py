"""Partial sums of the end margin: in the order of the layers, and whole at the end."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lengthlens.analysis.margin_by_depth import partial_sums, summarise_depth
from lengthlens.forced.texts import as_other
from lengthlens.statistics import Bootstrap


def attribution(shift: float = 0.0) -> xr.Dataset:
    """Six answers, the last without a decision; 2 layers of 2 heads."""
    head = np.ones((6, 2, 2)) * [[[1, 2], [3, 4]]] + shift
    mlp = np.ones((6, 2)) * [10.0, -5.0]
    head[5], mlp[5] = np.nan, np.nan
    own = np.where(np.arange(6) < 5, np.arange(6.0), np.nan)  # answers differ in their embedding
    return xr.Dataset(
        {
            "decision_embed": ("sample", own),
            "decision_bias": ("sample", np.where(np.arange(6) < 5, 0.5, np.nan)),
            "decision_head": (("sample", "layer", "head"), head),
            "decision_mlp": (("sample", "layer"), mlp),
            "n_steps": ("sample", np.ones(6)),
        },
        {"topic": ("sample", list("aabbcc"))},
    )


def test_partial_sums_end_with_the_margin() -> None:
    sums = partial_sums(attribution())
    assert sums[1].tolist() == [1.5, 4.5, 14.5, 21.5, 16.5]
    assert np.isnan(sums[5]).all()


def test_models_stand_side_by_side_on_own_and_shared_text() -> None:
    own = {("u", "en"): attribution(), ("t", "en"): attribution(1.0)}
    forced = {
        ("u", "en"): as_other(attribution(2.0).drop_vars("topic")),  # on the answers of t
        ("t", "en"): xr.Dataset(),  # cannot read those of u
    }
    pair = {"untuned": "u", "tuned": "t"}
    tunings = {model: tuning for tuning, model in pair.items()}
    table = summarise_depth(tunings, [pair], own, forced, Bootstrap(resamples=200))
    assert table.groupby(["model", "text"]).size().to_dict() == {
        ("u", "u"): 5, ("u", "t"): 5, ("t", "t"): 5,
    }  # fmt: skip
    ends = table[table["place"] == 4].set_index(["model", "text"])["margin"]
    assert ends.to_dict() == {("u", "u"): 17.5, ("u", "t"): 25.5, ("t", "t"): 21.5}
    assert table["after"].tolist()[:5] == ["embedding", "heads", "mlp", "heads", "mlp"]
    assert (table["n_samples"] == 5).all() and (table["n_topics"] == 3).all()
