"""Tables of the mechanism from no answers, and from few."""

from __future__ import annotations

import numpy as np
import xarray as xr

from lengthlens.analysis.count import summarise_count
from lengthlens.analysis.patches import component_patches
from lengthlens.statistics import Bootstrap


def test_patches_of_no_answer_still_have_their_components() -> None:
    """Two layers of three heads: eight components, whatever the number of answers."""
    dims = ("positions", "swap", "sample", "layer")
    data = xr.Dataset(
        {
            "noising_head": ((*dims, "head"), np.zeros((1, 1, 0, 2, 3))),
            "noising_mlp": (dims, np.zeros((1, 1, 0, 2))),
        },
        {"positions": ["all"], "swap": [1]},
    )
    assert component_patches(data, "noising", 1, "all").shape == (0, 8)


def test_no_limit_says_that_more_than_everything_is_explained() -> None:
    """Student's limits of three answers: SSE 0, 0 and 2 of 10 each, 1 - 2/30 explained."""
    samples = np.array([0.0, 0.0, 2.0])
    data = xr.Dataset(
        {
            "sse_stream": (("draw", "layer", "sample"), samples[None, None]),
            "sse_covariates": (("draw", "sample"), np.full((1, 3), 10.0)),
            "sse_mean": (("draw", "sample"), np.full((1, 3), 20.0)),
            "select": ("layer", [0.5]),
        },
        {"layer": [0], "topic": ("sample", ["a", "b", "c"])},
        {
            "absent": "", "steering_absent": "not asked", "neurons_absent": "not asked",
            "n_layers": 1,
        },
    )  # fmt: skip
    (row,) = summarise_count({("i", "en"): data}, Bootstrap(resamples=100))["count_probes"].to_dict(
        "records"
    )
    assert np.isclose(row["beyond"], 1 - 2 / 30)
    assert row["beyond_low"] < row["beyond"] < row["beyond_high"] == 1
