"""A planted count is found from the layer where it is written, steers, and sits in one neuron."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import xarray as xr
from planted_circuit import N_WORDS, answers_of, counting_model, language
from toys import SETTINGS

from lengthlens.analysis.count import summarise_count
from lengthlens.count.measure import CountPlan, CountTexts, is_steered, measure_count
from lengthlens.generation.job import Reading
from lengthlens.models.anatomy import down_projection
from lengthlens.statistics import Bootstrap

OPTIONS = Bootstrap(resamples=200)
READING = Reading(N_WORDS, "whitespace", "2026-01-01")
LAYERS = (0, 1, 2, 3)  # the number of layers stands for the final norm


def plan(**changes) -> CountPlan:
    values = {
        "per_n": 10, "every": 1, "steered": "auto", "steps": (-2.0, -1.0, 1.0, 2.0),
        "neurons": (1, 4), "draws": 3, "seed": 0, "memory_gb": 1.0,
    }  # fmt: skip
    return CountPlan(**values | changes)


def texts(answers=None, lang=None, reading: Reading = READING, steered: bool = True) -> CountTexts:
    lang = lang or language()
    settings = SETTINGS.model_copy(update={"batch_size": 64, "max_new_tokens": 12})
    answers = answers_of(lang) if answers is None else answers
    return CountTexts(lang, answers, reading, settings, steered)


@functools.cache
def measured(null: bool = False) -> xr.Dataset:
    return measure_count(counting_model(null, idle=not null), texts(), plan())


@functools.cache
def tables(null: bool = False) -> dict:
    return summarise_count({("m", "en"): measured(null)}, OPTIONS)


def test_the_count_is_in_the_stream_from_the_layer_where_it_is_written() -> None:
    """The carrier of layer 1 brings N to the decision: nothing before, all from layer 2 on."""
    table = tables()["count_probes"].set_index("layer")
    assert tuple(table.index) == LAYERS
    assert (table["beyond"].loc[[0, 1]] < 0.05).all()
    assert (table["beyond_low"].loc[[2, 3]] > 0.95).all()
    assert (table["control_high"] < 0.05).all() and (table["control_low"] > -0.2).all()
    assert (table["n_samples"] == 20).all() and (table["n_topics"] == 5).all()


def test_covariates_tell_what_the_text_tells() -> None:
    """N of 3 to 6 above w words: what is left varies with w alone, as far as the text goes."""
    rows = [(w, n - w) for n_text in N_WORDS for w in range(n_text + 1) for n in N_WORDS if n >= w]
    words, left = np.array(rows, dtype=float).T
    means = {w: left[words == w].mean() for w in set(words)}
    known = 1 - ((left - [means[w] for w in words]) ** 2).sum() / ((left - left.mean()) ** 2).sum()
    assert tables()["count_probes"]["covariates"].to_numpy() == pytest.approx(known, abs=0.01)


def test_steering_by_a_word_writes_a_word_more() -> None:
    """delta words along d at layer 2 change the answer by delta words; permuted n by none.

    Their directions lie where the stream depends on N at all, which is mostly in its idle features.
    """
    table = tables()["steering"]
    assert (table["layer"] == 2).all() and table["delta"].tolist() == [-2, -1, 1, 2]
    assert table["change"].to_numpy() == pytest.approx(table["delta"].to_numpy(), abs=0.1)
    assert table["slope"].to_numpy() == pytest.approx(1, abs=0.05)
    assert table[["null_slope_low", "null_slope_high"]].abs().to_numpy().max() < 0.4
    assert (table["cut"] == 0).all()
    written = measured()["written"].to_numpy()
    exact = np.isfinite(written)
    assert (written[exact] == measured()["n"].to_numpy()[exact]).all()


def test_one_neuron_carries_what_the_final_mlp_carries() -> None:
    table = tables()["neurons"].set_index("k")
    assert table["neurons"].str.split(";").str[0].tolist() == ["0"] * 3
    assert table["share"].loc[1] == pytest.approx(table["share"].iloc[-1], abs=0.02)
    assert table["share"].loc[1] == pytest.approx(1, abs=0.05)
    assert table["random_high"].loc[1] < 0.05 and table["layer"].eq(2).all()


def test_a_model_without_a_count_shows_none() -> None:
    table = tables(True)["count_probes"]
    assert (table["beyond"].abs() < 1e-6).all()
    (steering,) = tables(True)["steering"].to_dict("records")
    assert "no layer's stream tells words left" in steering["absent"]
    assert tables(True)["neurons"]["share"].isna().all()


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((4,), "one number of words only"), ((), "no answer has a boundary step")],
)
def test_without_versions_the_reason_is_told(numbers: tuple[int, ...], said: str) -> None:
    answers = [row for row in answers_of(language()) if row["n"] in numbers]
    reading = Reading(numbers or N_WORDS, "whitespace", "2026-01-01")
    data = measure_count(counting_model(), texts(answers, reading=reading), plan())
    assert said in data.attrs["absent"] and said in data.attrs["steering_absent"]
    assert data.attrs["neurons_absent"]
    made = summarise_count({("m", "en"): data}, OPTIONS)
    assert all(len(table) == 1 and table["absent"].all() for table in made.values())


def test_a_model_without_gradients_is_probed_all_the_same() -> None:
    loaded = counting_model()
    loaded.model.is_quantized = True
    data = measure_count(loaded, texts(steered=False), plan(draws=1, per_n=4))
    assert "quantized" in data.attrs["neurons_absent"] and "noised" not in data
    assert "does not name it" in data.attrs["steering_absent"] and "steered" not in data
    assert np.isfinite(data["select"]).all()


def test_the_first_language_is_steered_unless_others_are_named() -> None:
    assert is_steered(plan(), "en", ["en", "it"]) and not is_steered(plan(), "it", ["en", "it"])
    assert is_steered(plan(steered=("it",)), "it", ["en", "it"])


def test_neurons_of_experts_are_not_told_apart() -> None:
    anatomy = counting_model().anatomy
    mlp = anatomy.layers[2].mlp.module
    assert down_projection(anatomy, 2) is mlp.c_proj
    mlp.experts = mlp.c_proj
    try:
        assert down_projection(anatomy, 2) is None
    finally:
        del mlp.experts
