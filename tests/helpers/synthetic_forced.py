"""Forced files made by hand, beside attribution files of the same samples."""

import numpy as np
import xarray as xr
from synthetic_attribution import make_attribution

DIMS = {"head": ("layer", "head"), "mlp": ("layer",)}


def make_pair(
    seed: int = 0, follows: str = "end_contrast", noise: float = 0.3, shift: float = 1.0
) -> tuple[xr.Dataset, xr.Dataset]:
    """An attribution file and a forced file in which effects follow one of the scores.

    On the other tuning's text (random, of the same samples) every score is larger by `shift`.
    """
    rng = np.random.default_rng(seed)
    own = make_attribution(seed, per_n=20, layers=4, heads=5, topics=20).dataset
    n = own.sizes["sample"]
    split = np.where(np.arange(n) % 20 < 10, "select", "evaluate")
    own = own.assign_coords(split=("sample", split), truncated=("sample", np.zeros(n, bool)))
    shapes = {"head": (4, 5), "mlp": (4,)}
    data = {}
    for kind, shape in shapes.items():
        truth = {name: rng.standard_normal(shape) for name in ("end_contrast", "nswap", "effect")}
        values = {name: truth[name] + noise * rng.standard_normal((n, *shape)) for name in truth}
        effect = truth[follows] + noise * rng.standard_normal((n, *shape))
        own[f"end_contrast_{kind}"] = (("sample", *DIMS[kind]), values["end_contrast"])
        data[f"nswap_{kind}"] = (
            ("swap", "sample", *DIMS[kind]),
            np.stack([values["nswap"] - 0.5, values["nswap"] + 0.5]),
        )
        before = noise * rng.standard_normal((n, *shape))
        data[f"effect_{kind}"] = (("mode", "sample", *DIMS[kind]), effect[None])
        data[f"effect_before_{kind}"] = (("mode", "sample", *DIMS[kind]), before[None])
    forced = xr.Dataset(data, coords={"mode": ["zero"], "swap": [-1, 1]})
    forced = forced.assign_coords(split=own["split"], topic=own["topic"])
    moved = {"head": shift, "mlp": shift, "embed": shift, "bias": shift}
    other = make_attribution(
        seed + 100, per_n=20, layers=4, heads=5, topics=20, shift=moved
    ).dataset
    for name, variable in other.data_vars.items():
        forced[f"other_{name}"] = variable
    forced = forced.assign_coords(sample_id=own["sample_id"], target=own["target"])
    return own, forced.assign_attrs(n_kv_heads=5)
