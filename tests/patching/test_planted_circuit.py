"""A planted circuit is found by patches and AtP, each component at its place, and nothing else."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import xarray as xr
from planted_circuit import N_WORDS, NAMES, answers_of, counting_model, language

from lengthlens.analysis.patches import carriers, component_patches, summarise_patches
from lengthlens.analysis.tracing import n_effect
from lengthlens.circuits.orders import component_names
from lengthlens.generation.job import Reading
from lengthlens.generation.swaps import swap_material
from lengthlens.models.layout import Layout
from lengthlens.patching.measure import Plan, measure_patching
from lengthlens.patching.sampled import CHOSEN, NOT, SAMPLED, patched_heads
from lengthlens.statistics import Bootstrap

BOOTSTRAP = Bootstrap(resamples=200)
READING = Reading(N_WORDS, "whitespace", "2026-01-01")
COMPONENTS = component_names(Layout.even(3, 4))


def plan(**changes) -> Plan:
    values = {
        "per_n": 10, "further_per_n": 3, "atp_per_n": 10, "swaps": (1, -1),
        "positions": ("all", "generated", "prompt"), "directions": ("noising", "denoising"),
        "integrated_steps": 1, "exhaustive": 256, "best": 20, "random": 90, "seed": 0,
        "memory_gb": 1.0,
    }  # fmt: skip
    return Plan(**values | changes)


@functools.cache
def measured(null: bool = False) -> xr.Dataset:
    loaded, lang = counting_model(null), language()
    answers = answers_of(lang)
    return measure_patching(loaded, answers, swap_material(loaded, lang, answers, READING), plan())


def shares(name: str, swap: int, positions: str) -> dict[str, float]:
    """Sum of the patches over the sum of the N effects, by component."""
    data = measured()
    values, effect = component_patches(data, name, swap, positions), n_effect(data.sel(swap=swap))
    known = np.isfinite(values).all(1)
    assert known.sum() >= 9  # three to each number but the largest or the smallest
    return dict(zip(COMPONENTS, values[known].sum(0) / effect[known].sum(), strict=True))


@pytest.mark.parametrize("swap", [1, -1])
@pytest.mark.parametrize("name", ["noising", "denoising"])
def test_patches_find_each_component_at_its_place(name: str, swap: int) -> None:
    """The mover in the prompt, carrier and comparison from there on; all others nothing."""
    expected = {
        "prompt": {"L0H2"},
        "generated": {"L1H1", "L2M"},
        "all": {"L0H2", "L1H1", "L2M"},
    }
    for positions, carrying in expected.items():
        found = shares(name, swap, positions)
        assert {component for component, share in found.items() if share > 0.5} == carrying
        assert all(found[component] == pytest.approx(1, abs=0.05) for component in carrying)
        assert all(abs(found[component]) < 0.05 for component in set(found) - carrying)


@pytest.mark.parametrize(
    ("positions", "first"), [("prompt", NAMES[:1]), ("generated", NAMES[1:]), ("all", NAMES)]
)
def test_atp_finds_the_same(positions: str, first: list[str]) -> None:
    found = shares("atp", 1, positions)
    ranked = sorted(found, key=found.get, reverse=True)
    assert set(ranked[: len(first)]) == set(first)
    assert all(abs(found[name]) < 0.1 for name in ranked[len(first) :])


def test_the_effect_is_the_one_planted() -> None:
    """The neuron gives 3 gelu(2) with the number reached, 3 gelu(-2) with a word to write."""
    effect = n_effect(measured().sel(swap=1))
    gelu = [0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) for x in (2, -2)]
    expected = 1.2 * 3 * (gelu[0] - gelu[1])  # the best ender is the stop token
    assert effect[np.isfinite(effect)] == pytest.approx(expected, rel=0.08)


def test_tables_name_the_circuit_and_its_answers() -> None:
    table = summarise_patches({("m", "en"): measured()}, BOOTSTRAP)
    first = carriers(table, 3)
    assert set(first["component"]) == set(NAMES)
    assert (first["share_low"] > 0.9).all() and (first["n_samples"] == 30).all()
    assert (first["n_effect_low"] > 0).all() and (first["sampled"] == SAMPLED).all()


def test_what_cannot_be_swapped_is_counted_by_reason() -> None:
    """The largest number has no larger one; an answer that ends early has no read step."""
    data = measured()
    counts = data["n_answers"].to_pandas()
    assert counts.loc[1].to_dict() == {
        "legal": 30, "no_number": 10, "length": 0, "elsewhere": 0, "no_read_step": 0,
    }  # fmt: skip
    assert np.isnan(data["margin_reached"].sel(swap=1).to_numpy()[-10:]).all()
    assert data["n_swapped"].sel(swap=-1).to_numpy()[10] == 3


@pytest.mark.slow
def test_without_an_effect_there_are_no_shares() -> None:
    """NaN, not 0: of nothing there is no share."""
    data = measured(True)
    assert np.abs(n_effect(data.sel(swap=1))[:30]).max() < 1e-5
    table = summarise_patches({("m", "en"): data}, BOOTSTRAP)
    assert len(table) and table["share"].isna().all() and table["effect"].abs().max() < 1e-5


def test_a_single_number_is_named_and_the_file_still_written() -> None:
    loaded, lang = counting_model(), language()
    answers = [row for row in answers_of(lang) if row["n"] == 4]
    material = swap_material(loaded, lang, answers, Reading((4,), "whitespace", "2026-01-01"))
    data = measure_patching(loaded, answers, material, plan())
    assert "the study asks for no smaller or no larger number (20)" in data.attrs["absent"]
    assert int(data["n_answers"].sel(reason="legal").sum()) == 0
    assert summarise_patches({("m", "en"): data}, BOOTSTRAP).empty


def test_a_model_without_gradients_is_patched_all_the_same() -> None:
    loaded, lang = counting_model(), language(topics=4)
    answers = answers_of(lang)
    loaded.model.is_quantized = True
    material = swap_material(loaded, lang, answers, READING)
    data = measure_patching(loaded, answers, material, plan(further_per_n=0, per_n=2))
    assert "quantized" in data.attrs["atp_absent"]
    assert np.isnan(data["atp_head"]).all()
    noising = component_patches(data, "noising", 1, "all")
    assert np.isfinite(noising).all(1).sum() == 6  # two answers to each of three numbers
    assert np.isnan(component_patches(data, "noising", -1, "all")).all()


def test_what_a_model_patched_in_part_may_miss_is_told() -> None:
    """Mover and carrier are the best two; the rest carries nothing, and few heads show that."""
    loaded, lang = counting_model(), language(topics=4)
    answers = answers_of(lang)
    material = swap_material(loaded, lang, answers, READING, (1,))
    part = plan(exhaustive=4, best=2, random=3, further_per_n=0)
    data = measure_patching(loaded, answers, material, part)
    assert data["best_head"].to_numpy().nonzero() == (pytest.approx([0, 1]), pytest.approx([2, 1]))
    missing = int((data["patched_head"] == NOT).sum())
    assert data.attrs["group"] == 1 and 12 - missing in (3, 4, 5)
    table = summarise_patches({("m", "en"): data}, BOOTSTRAP)
    assert (table["n_unpatched"] == missing).all() and len(table) == 12 - missing + 3
    assert table["unpatched"].abs().max() < 0.05 and (table["unpatched_most"] > 0).all()


def test_large_models_are_patched_in_part() -> None:
    """Whole key-value groups as even over the layers as can be; the best by AtP; the rest not."""
    ranking = np.zeros((10, 8))
    ranking[3, 5], ranking[7, 0] = 2.0, 1.0
    sample = plan(exhaustive=80, best=2, random=24)
    chosen = patched_heads(Layout.even(10, 8, 2), ranking, sample)
    drawn = chosen.reshape(10, 2, 4) == SAMPLED
    assert (drawn.all(-1) == drawn.any(-1)).all() and drawn.any(-1).sum() == 6
    assert drawn.any(-1).sum(1).max() == 1  # six groups in six layers
    assert chosen[3, 5] != NOT and chosen[7, 0] != NOT
    assert (chosen == CHOSEN).sum() + drawn[3, 1].any() + drawn[7, 0].any() == 2
    assert (chosen == patched_heads(Layout.even(10, 8, 2), ranking, sample)).all()
    assert (patched_heads(Layout.even(10, 8, 2), None, sample) != CHOSEN).all()
    whole = plan(exhaustive=81, best=2, random=24)
    assert (patched_heads(Layout.even(9, 8, 2), ranking[:9], whole) == SAMPLED).all()
