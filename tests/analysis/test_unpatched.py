"""What heads that were not patched may carry, where the truth about them is known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lengthlens.analysis.patches import carriers, summarise_patches
from lengthlens.analysis.unpatched import COLUMNS, unpatched_share
from lengthlens.patching.sampled import CHOSEN, NOT, SAMPLED
from lengthlens.statistics import Bootstrap

BOOTSTRAP = Bootstrap(resamples=200)
SHAPE, GROUP, ANSWERS, TOPICS = (20, 8), 2, 24, 12


def study(truth: np.ndarray, drawn: np.ndarray, best: np.ndarray, seed: int = 0) -> xr.Dataset:
    """A patching file of a model whose heads carry `truth`; `drawn` groups are the sample."""
    rng = np.random.default_rng(seed)
    effect = 10 + rng.normal(0, 2, ANSWERS)
    heads = truth[None] * effect[:, None, None] + rng.normal(0, 0.05, (ANSWERS, *SHAPE))
    patched = np.where(best, CHOSEN, NOT)
    patched[np.repeat(drawn, GROUP, axis=1)] = SAMPLED
    heads[:, patched == NOT] = np.nan
    mlps = np.zeros((ANSWERS, SHAPE[0]))
    kinds = {"head": (heads, ("layer", "head")), "mlp": (mlps, ("layer",))}
    data = {
        f"{name}_{kind}": (("positions", "swap", "sample", *dims), values[None, None])
        for name in ("noising", "denoising", "atp")
        for kind, (values, dims) in kinds.items()
    }
    margins = {"margin_reached": effect, "margin_other": 0 * effect}
    data |= {name: (("swap", "sample"), values[None]) for name, values in margins.items()}
    data |= {"patched_head": (("layer", "head"), patched), "best_head": (("layer", "head"), best)}
    topics = np.arange(ANSWERS) % TOPICS
    coords = {"positions": ["all"], "swap": [1], "topic": ("sample", topics)}
    return xr.Dataset(data, coords).assign_attrs(group=GROUP)


def bounds(data: xr.Dataset) -> dict[str, float]:
    effect = data["margin_reached"].sel(swap=1).to_numpy()
    patches = data["noising_head"].sel(swap=1, positions="all").to_numpy()
    return unpatched_share(data, patches, effect, BOOTSTRAP)


def draw(rng: np.random.Generator, number: int) -> np.ndarray:
    """So many groups of every layer."""
    groups = np.zeros((SHAPE[0], SHAPE[1] // GROUP), dtype=bool)
    for row in groups:
        row[rng.permutation(len(row))[:number]] = True
    return groups


def test_the_sum_of_what_was_not_patched_is_covered() -> None:
    """Shares drawn from a normal distribution, ten times: near the truth, and inside mostly."""
    inside = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        truth, best = rng.normal(0.004, 0.006, SHAPE), np.zeros(SHAPE, dtype=bool)
        truth[3, :2], best[3, :2] = (0.8, 0.3), True  # AtP's best stand for nobody else
        data = study(truth, draw(rng, 1), best, seed)
        found = bounds(data)
        missing = data["patched_head"].to_numpy() == NOT
        total = float(truth[missing].sum())
        assert found["n_unpatched"] == missing.sum() and abs(found["unpatched"] - total) < 0.4
        inside += found["unpatched_low"] < total < found["unpatched_high"]
        assert found["unpatched_low"] < found["unpatched"] < found["unpatched_high"]
    assert inside >= 9


def test_rare_large_heads_are_bounded_in_number() -> None:
    """One group of each layer's four is drawn, and none is large: P(none | 10) = .75^10 = .056.

    Ten groups of two heads may be, then; eleven (.042) not. Of two in four, four (.0625).
    """
    truth, best = np.zeros(SHAPE), np.zeros(SHAPE, dtype=bool)
    found = bounds(study(truth, draw(np.random.default_rng(0), 1), best))
    assert found["unpatched_most"] == 20
    assert bounds(study(truth, draw(np.random.default_rng(0), 2), best))["unpatched_most"] == 8


def test_the_bound_holds_where_large_heads_are_hardest_to_draw() -> None:
    """Eleven large groups, each of another layer: at most what is told is left, 19 times in 20."""
    rng, held = np.random.default_rng(0), 0
    truth, best = np.zeros(SHAPE), np.zeros(SHAPE, dtype=bool)
    truth[:11, :2] = 0.3
    for seed in range(40):
        drawn = draw(rng, 1)
        found = bounds(study(truth, drawn, best, seed))
        held += found["unpatched_most"] >= 2 * (~drawn[:11, 0]).sum()
    assert held >= 36


def test_a_large_head_of_the_sample_makes_others_likely() -> None:
    rng = np.random.default_rng(1)
    truth, best, drawn = np.zeros(SHAPE), np.zeros(SHAPE, dtype=bool), draw(rng, 1)
    truth[5, 2 * int(np.argmax(drawn[5]))] = 0.2
    found = bounds(study(truth, drawn, best))
    assert found["unpatched_most"] > 20 and found["unpatched"] == pytest.approx(0.6, abs=0.1)


def test_nothing_is_said_where_all_were_patched_or_n_does_nothing() -> None:
    rng = np.random.default_rng(2)
    truth, best = np.full(SHAPE, 0.01), np.zeros(SHAPE, dtype=bool)
    whole = bounds(study(truth, np.ones((20, 4), dtype=bool), best))
    assert whole["n_unpatched"] == 0 and np.isnan([whole[name] for name in COLUMNS[1:]]).all()
    data = study(truth, draw(rng, 1), best)
    nothing = bounds(data.assign(margin_reached=data["margin_reached"] - 10))
    assert nothing["n_unpatched"] == 120 and np.isnan(nothing["unpatched"])
    nobody = bounds(study(truth, np.zeros((20, 4), dtype=bool), best))
    assert nobody["n_unpatched"] == 160 and np.isnan(nobody["unpatched_most"])


def test_the_tables_hold_it() -> None:
    data = study(np.full(SHAPE, 0.01), draw(np.random.default_rng(3), 1), np.zeros(SHAPE, bool))
    table = carriers(summarise_patches({("m", "en"): data}, BOOTSTRAP))
    assert (table["n_unpatched"] == 120).all()
    assert table["unpatched"].to_numpy() == pytest.approx(1.2, abs=0.1)
