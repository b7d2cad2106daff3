"""`cwa.nc`: means, intervals and nulls against hand-made steps, and padding between models."""

import numpy as np
import pytest
import xarray as xr
from synthetic_attribution import make_attribution

from lengthlens.attribution.cwa import COMPONENTS, aggregate_attribution, average_samples
from lengthlens.errors import LengthlensError
from lengthlens.files.formats import CWA
from lengthlens.files.netcdf import read_dataset, write_dataset
from lengthlens.statistics import Bootstrap, mean_interval, ratio_interval

FAST = Bootstrap(resamples=200)


def signed_sums(made, kind: str, target: int) -> np.ndarray:
    """Sum of sign times score over every sample's steps, from the steps themselves."""
    sums = []
    for scores, sign in zip(made.scores, made.signs, strict=True):
        score = scores[kind][target]
        sums.append((score * sign.reshape(-1, *[1] * (score.ndim - 1))).sum(axis=0))
    return np.array(sums)


def test_means_are_those_of_the_steps():
    """sum form = mean over samples; per step = sum over samples / sum of steps."""
    made = make_attribution(1)
    found = average_samples(made.dataset, FAST)
    n = made.dataset["n"].to_numpy()
    for target in range(3):
        counts = made.boundary if target == 2 else [np.ones_like(b) for b in made.boundary]
        steps = np.array([count.sum() for count in counts])
        for kind in ("head", "mlp", "embed", "bias"):
            sums = signed_sums(made, kind, target)
            by_n, by_step = [], []
            for place, number in enumerate((3, 4, 5)):
                rows = n == number
                by_n.append(sums[rows].mean(axis=0))
                by_step.append(sums[rows].sum(axis=0) / steps[rows].sum())
                assert found[f"cwa_{kind}"][target, place].to_numpy() == pytest.approx(by_n[-1])
                assert found[f"cwa_{kind}_step"][target, place].to_numpy() == pytest.approx(
                    by_step[-1]
                )
            assert found[f"cwa_{kind}_all"][target].to_numpy() == pytest.approx(
                np.mean(by_n, axis=0)
            )
            step_all = found[f"cwa_{kind}_step_all"][target].to_numpy()
            assert step_all == pytest.approx(np.mean(by_step, axis=0))


def test_layer_totals_add_heads_within_samples():
    """Means add up over heads; intervals do not, and are those of the samples' totals."""
    made = make_attribution(2)
    found = average_samples(made.dataset, FAST)
    for name in ("", "_step", "_all", "_step_all", "_null", "_step_all_null"):
        total = found[f"cwa_head{name}"].sum("head").to_numpy()
        assert found[f"cwa_head_layer{name}"].to_numpy() == pytest.approx(total)
    rows = made.dataset["n"].to_numpy() == 4
    totals = signed_sums(made, "head", 0)[rows].sum(axis=2)
    topics = made.dataset["topic"].to_numpy()[rows]
    interval = mean_interval(totals, topics, Bootstrap(method="student"))
    width = (found["cwa_head_layer_high"] - found["cwa_head_layer_low"]).sel(target="token", n=4)
    assert np.all(width >= (interval.high - interval.low) * (1 - 1e-9))


def test_intervals_are_those_of_statistics():
    made = make_attribution(3, per_n=12)
    bootstrap = Bootstrap(0.9, 300, 4)
    found = average_samples(made.dataset, bootstrap)
    rows = made.dataset["n"].to_numpy() == 5
    topics = made.dataset["topic"].to_numpy()[rows]
    steps = made.dataset["n_boundary"].to_numpy()[rows]
    expected = ratio_interval(signed_sums(made, "mlp", 2)[rows], steps, topics, bootstrap)
    ours = found.sel(target="end", n=5)
    assert ours["cwa_mlp_step_low"].to_numpy() == pytest.approx(expected.low)
    assert ours["cwa_mlp_step_high"].to_numpy() == pytest.approx(expected.high)


def test_null_is_what_shifting_signs_gives():
    """Mean and sd of the mean over samples, against 4000 random shifts within samples.

    Of a layer's heads together too: the variance of a sum is not the sum of variances.
    """
    made = make_attribution(5, n_words=(4,), per_n=6, shift={"mlp": 1.5})
    found = average_samples(made.dataset, FAST).isel(n=0).sel(target="token")
    rng = np.random.default_rng(6)
    for name, kind in (("mlp", "mlp"), ("head_layer", "head")):
        draws = []
        for _ in range(4000):
            sums = []
            for scores, sign in zip(made.scores, made.signs, strict=True):
                score = scores[kind][0].reshape(len(sign), 3, -1).sum(axis=-1)
                turned = np.roll(sign, rng.integers(len(sign)))
                sums.append((score * turned[:, None]).sum(axis=0))
            draws.append(np.mean(sums, axis=0))
        spread = np.std(draws, axis=0)
        mean = found[f"cwa_{name}_null"].to_numpy()
        assert mean == pytest.approx(np.mean(draws, axis=0), abs=0.1 * spread.min())
        assert found[f"cwa_{name}_null_sd"].to_numpy() == pytest.approx(spread, rel=0.05)
        per_step = made.dataset["n_steps"].to_numpy().mean()
        assert found[f"cwa_{name}_step_null"].to_numpy() == pytest.approx(mean / per_step)
        ratio = found[f"cwa_{name}_null_sd"].to_numpy() / per_step
        assert found[f"cwa_{name}_step_null_sd"].to_numpy() == pytest.approx(ratio)


def test_answers_with_signs_of_both_kinds_are_counted():
    """They alone vary under the null."""
    made = make_attribution(14, plus_share=0.9)
    found = average_samples(made.dataset, FAST)
    mixed = np.array([0 < (sign < 0).sum() < len(sign) for sign in made.signs])
    n = made.dataset["n"].to_numpy()
    assert found["n_mixed"].to_numpy().tolist() == [mixed[n == k].sum() for k in (3, 4, 5)]
    assert 0 < mixed.sum() < len(mixed)


def test_null_of_the_end_target_shifts_boundary_steps():
    made = make_attribution(7, n_words=(6,), per_n=8)
    found = average_samples(made.dataset, FAST).isel(n=0).sel(target="end")
    means = [
        sign[edge].mean() * scores["embed"][2][edge].sum()
        for scores, sign, edge in zip(made.scores, made.signs, made.boundary, strict=True)
    ]
    assert float(found["cwa_embed_null"]) == pytest.approx(np.mean(means))


def test_models_of_other_size_are_padded_with_nan():
    big = make_attribution(8, layers=3, heads=4).dataset
    small = make_attribution(9, layers=2, heads=2, n_words=(3, 7)).dataset
    found = aggregate_attribution({("big", "en"): big, ("small", "it"): small}, FAST)
    assert found["cwa_head"].dims == ("target", "model", "language", "n", "layer", "head")
    assert found["cwa_mlp_step_low"].dims == ("target", "model", "language", "n", "layer")
    assert found["cwa_head_layer_all"].dims == ("target", "model", "language", "layer")
    assert found["model"].to_numpy().tolist() == ["big", "small"]
    assert found["n"].to_numpy().tolist() == [3, 4, 5, 7]
    padded = found.sel(model="small", language="it")
    for name in ("", "_low", "_step", "_null", "_null_sd"):
        assert padded[f"cwa_head{name}"].isel(layer=2).isnull().all()
        assert padded[f"cwa_head{name}"].isel(head=slice(2, None)).isnull().all()
        assert padded[f"cwa_head{name}"].sel(n=[4, 5]).isnull().all()
        inside = padded[f"cwa_head{name}"].sel(n=[3, 7]).isel(layer=slice(2), head=slice(2))
        assert inside.notnull().all()
    assert padded["cwa_head_layer"].isel(layer=2).isnull().all()
    assert found.sel(model="big", language="it")["cwa_mlp_all"].isnull().all()
    assert found["n_samples"].sel(model="big", language="en").to_numpy().tolist() == [10, 10, 10, 0]
    assert found["n_samples"].dtype.kind == "i"
    alone = average_samples(big, FAST)
    same = found.sel(model="big", language="en", n=[3, 4, 5])
    assert np.array_equal(same["cwa_head_step_high"], alone["cwa_head_step_high"])


def test_every_variable_is_named_by_the_scheme_and_says_what_it_is():
    found = aggregate_attribution({("a", "en"): make_attribution(10).dataset}, FAST)
    names = {
        f"cwa_{component}{form}{pool}{statistic}"
        for component in COMPONENTS
        for form in ("", "_step")
        for pool in ("", "_all")
        for statistic in ("", "_low", "_high", "_null", "_null_sd")
    }
    assert set(found.variables) - set(found.indexes) == names | {"n_samples", "n_topics", "n_mixed"}
    assert all(found[name].attrs["units"] == "logits" for name in names)
    meaning = found["cwa_head_step_all_low"].attrs["long_name"]
    assert meaning == (
        "CWA of an attention head: mean per step, lower limit of the mean over samples, "
        "plain mean over N"
    )
    assert found.attrs["level"] == 0.95


def test_the_file_comes_back_as_it_was_written(tmp_path):
    found = aggregate_attribution({("a", "en"): make_attribution(12).dataset}, FAST)
    write_dataset(found, tmp_path / "cwa.nc", {"schema": CWA})
    again = read_dataset(tmp_path / "cwa.nc", CWA)
    assert again["cwa_head"].dims == ("target", "model", "language", "n", "layer", "head")
    assert again["cwa_head"].sel(head=1, n=4, target="end").shape == (1, 1, 3)
    xr.testing.assert_equal(again, found)


def test_nothing_to_average_is_an_error():
    with pytest.raises(LengthlensError, match="run the attribute stage first"):
        aggregate_attribution({})
    empty = make_attribution(11).dataset.isel(sample=slice(0))
    with pytest.raises(LengthlensError, match="a in en holds no sample"):
        aggregate_attribution({("a", "en"): empty})
