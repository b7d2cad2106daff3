"""The planted circuit is the smallest faithful one, whole; without an effect there is none."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from planted_circuit import N_WORDS, NAMES, answers_of, counting_model, language

from lengthlens.analysis.circuits import overlap_of, summarise_circuits
from lengthlens.circuits.faithfulness import share_of_effect, smallest_faithful
from lengthlens.circuits.measure import CircuitPlan, Texts, measure_circuits
from lengthlens.circuits.orders import (
    circuit_sizes,
    component_names,
    permuted_orders,
    ranked_order,
    uniform_orders,
)
from lengthlens.generation.job import Reading
from lengthlens.generation.swaps import swap_material
from lengthlens.models.layout import Layout
from lengthlens.patching.atp import attribute_swaps
from lengthlens.statistics import Bootstrap

BOOTSTRAP = Bootstrap(resamples=200)
SHAPE = Layout.even(3, 4)
PLAN = CircuitPlan(
    per_n=10, methods=("atp", "cwa"), sizes=(0.07, 0.14, 0.2, 0.4), faithful=0.85, orders=20,
    seed=0, memory_gb=1.0,
)  # fmt: skip


@functools.cache
def measured(null: bool = False, second: bool = False) -> xr.Dataset:
    """Circuits by AtP on the select answers, and by a score that knows nothing, or all of it."""
    loaded, lang = counting_model(null), language(topics=4 if second else 10)
    answers = answers_of(lang)
    reading = Reading(N_WORDS, "whitespace", "2026-01-01")
    material = swap_material(loaded, lang, answers, reading, (1,))
    swaps = [s for i, s in material.legal(1) if answers[i]["split"] == "select"]
    atp = attribute_swaps(loaded, swaps, 1.0)
    scores = np.concatenate([atp.head[2].mean(0).ravel(), atp.mlp[2].mean(0)])
    other = scores if second else np.arange(len(scores), dtype=float)
    selection = pd.DataFrame(
        {
            "component": component_names(SHAPE) * 2,
            "method": np.repeat(["atp", "cwa"], len(scores)),
            "score": np.concatenate([scores, other]),
        }
    )
    texts = Texts(answers, material, "en", "whitespace")
    selections = {"en": selection, "it": selection}
    return measure_circuits(loaded, texts, selections, PLAN, BOOTSTRAP)


@functools.cache
def tables(null: bool = False) -> dict[str, pd.DataFrame]:
    return summarise_circuits({("m", "en"): measured(null)}, 0.85, BOOTSTRAP)


def own(table: pd.DataFrame, **labels) -> pd.DataFrame:
    for name, value in labels.items():
        table = table[table[name] == value]
    return table


def test_the_smallest_circuit_is_the_planted_one() -> None:
    (row,) = own(tables()["circuits"], method="atp", source_language="en").to_dict("records")
    assert sorted(row["components"].split(";")) == sorted(NAMES) and row["k"] == 3
    assert row["faithfulness"] == pytest.approx(1, abs=0.05)
    assert row["faithfulness_select"] == pytest.approx(1, abs=0.05)
    assert abs(row["completeness"]) < 0.05
    assert (row["n_samples"], row["n_topics"]) == (15, 5)


def test_exchanged_alone_it_turns_every_decision() -> None:
    """At the decision, and in writing: one word more."""
    (row,) = own(tables()["circuits"], method="atp", source_language="en").to_dict("records")
    assert (row["interchange"], row["n_interchange"]) == (1.0, 15)
    assert (row["written_exact"], row["n_written"]) == (1.0, 6)


def test_each_member_is_needed() -> None:
    members = tables()["circuit_members"].set_index("component")
    assert set(members.index) == set(NAMES)
    assert members["minimality"].to_numpy() == pytest.approx(1, abs=0.05)


def test_one_member_short_carries_nothing() -> None:
    curve = own(tables()["faithfulness"], method="atp", source_language="en").set_index("k")
    assert list(curve.index) == [0, 1, 2, 3, 6, 15]
    assert curve["faithfulness"].to_numpy() == pytest.approx([0, 0, 0, 1, 1, 1], abs=0.05)
    assert curve["completeness"].to_numpy() == pytest.approx([1, 0, 0, 0, 0, 0], abs=0.05)


def test_random_orders_and_another_score_do_not() -> None:
    table = tables()["faithfulness"]
    random = own(table, method="random", k=3).iloc[0]
    assert random["n_orders"] == 20 and random["high"] < 0.5
    kept = own(table, method="random_atp", k=3).iloc[0]
    assert kept["faithfulness"] < 0.5
    (row,) = own(tables()["circuits"], method="atp", source_language="en").to_dict("records")
    assert (row["random"], row["random_high"]) == (kept["faithfulness"], kept["high"])
    assert not len(own(table, method="random_cwa"))  # no circuit to compare with
    (row,) = own(tables()["circuits"], method="cwa").to_dict("records")
    assert np.isnan(row["k"]) and "no measured size is faithful (0.85)" in row["absent"]


@pytest.mark.slow
def test_every_score_with_a_circuit_gets_its_random_orders() -> None:
    """A second score that ranks as AtP does: at the size of its circuit alone."""
    data = measured(second=True)
    table = summarise_circuits({("m", "en"): data}, 0.85, BOOTSTRAP)
    first, second = (
        own(table["faithfulness"], method=f"random_{name}", k=3).iloc[0] for name in ("atp", "cwa")
    )
    assert second["faithfulness"] == first["faithfulness"] and second["n_orders"] == 20
    assert set(own(table["faithfulness"], method="random_cwa")["k"]) == {3}
    assert set(own(table["faithfulness"], method="random_atp")["k"]) == {1, 2, 3, 6}


def test_the_file_holds_how_many_answers_were_legal() -> None:
    counts = measured(False)["n_answers"].sel(swap=1).to_pandas()
    assert counts.to_dict() == {
        "legal": 30, "no_number": 10, "length": 0, "elsewhere": 0, "no_read_step": 0,
    }  # fmt: skip


def test_the_other_language_ranks_the_same() -> None:
    rows = own(tables()["faithfulness"], method="atp", source_language="it")
    same = own(tables()["faithfulness"], method="atp", source_language="en")
    assert rows["faithfulness"].to_numpy() == pytest.approx(same["faithfulness"].to_numpy())


def test_the_area_is_the_trapezoid() -> None:
    """F rises from 0 at 2 of 15 to 1 at 3 of 15: area = 1 - 2.5 / 15."""
    (row,) = own(tables()["circuits"], method="atp", source_language="en").to_dict("records")
    assert row["area"] == pytest.approx(1 - 2.5 / 15, abs=0.02)


@pytest.mark.slow
def test_without_an_effect_there_is_no_circuit() -> None:
    found = tables(True)
    assert found["faithfulness"]["faithfulness"].isna().all()
    assert found["circuits"]["k"].isna().all() and found["circuit_members"].empty
    reason = "the interval of the mean N effect is not above 0 (15 and 15 answers)"
    assert set(found["circuits"]["absent"]) == {reason}
    assert measured(True).attrs["smallest"] == -1


@pytest.mark.slow
def test_without_a_legal_swap_there_is_no_circuit() -> None:
    """One number of words, or answers that never decide: tables without a share, and the reason."""
    data = measured(True)
    none = data.assign(margin_other=data["margin_other"] * np.nan)
    found = summarise_circuits({("m", "en"): none}, 0.85, BOOTSTRAP)
    assert len(found["faithfulness"]) and found["faithfulness"]["faithfulness"].isna().all()
    assert (found["faithfulness"]["n_samples"] == 0).all()
    assert found["circuits"]["k"].isna().all() and found["circuit_members"].empty
    assert found["circuits"]["absent"].str.contains("0 and 0 answers").all()


def test_orders() -> None:
    """A permuted order keeps MLPs and the number of heads of every layer in every prefix."""
    order = np.random.default_rng(1).permutation(15)
    layer = np.append(np.repeat(range(3), 4), [10, 11, 12])
    drawn = permuted_orders(order, SHAPE, 20, 0)
    assert (layer[drawn] == layer[order]).all() and len(np.unique(drawn, axis=0)) == 20
    assert (np.sort(drawn, axis=1) == np.arange(15)).all()
    assert (np.sort(uniform_orders(SHAPE, 20, 0), axis=1) == np.arange(15)).all()
    assert circuit_sizes((0.01, 0.2, 0.21, 0.999), SHAPE) == [1, 3, 14]
    table = pd.DataFrame({"component": component_names(SHAPE), "method": "atp", "score": -order})
    assert (ranked_order(table, "atp", SHAPE) == np.argsort(order)).all()
    assert ranked_order(table, "cwa", SHAPE) is None
    assert ranked_order(table.assign(score=np.nan), "atp", SHAPE) is None


def test_the_smallest_size_is_one_from_which_all_are_faithful() -> None:
    sizes = np.array([1.0, 2.0, 4.0, 8.0])
    assert smallest_faithful(sizes, np.array([0.9, 0.5, 0.86, 0.99]), 0.85) == 2
    assert smallest_faithful(sizes, np.array([0.9, 0.9, 0.86, 0.99]), 0.85) == 0
    assert smallest_faithful(sizes, np.array([0.9, 0.9, 0.9, 0.8]), 0.85) is None
    assert smallest_faithful(sizes, np.full(4, np.nan), 0.85) is None


def test_a_share_is_a_ratio_of_sums() -> None:
    """Not the mean of ratios; single effects may be negative; NaN where the mean may be 0."""
    rng = np.random.default_rng(0)
    topics = np.repeat(np.arange(20), 3)
    effect = rng.normal(3, 2, 60)
    assert (effect < 0).any()
    part = 0.4 * effect + rng.normal(0, 0.2, 60)
    found = share_of_effect(part, effect, topics, BOOTSTRAP)
    assert found.estimate == pytest.approx(part.sum() / effect.sum())
    assert found.low < 0.4 < found.high and found.n == 60 and found.n_clusters == 20
    nothing = share_of_effect(part, effect - 3, topics, BOOTSTRAP)
    assert np.isnan([nothing.estimate, nothing.low, nothing.high]).all()


def test_overlap_against_chance_within_layers() -> None:
    """Two of four heads on either side in one layer: one shared by chance, two with p = 1/6."""
    found = overlap_of({"L0H0", "L0H1", "L2M"}, {"L0H0", "L0H1", "L2M", "L1M"}, SHAPE)
    assert (found["shared"], found["chance"], found["mlps_shared"]) == (2, 1.0, 1)
    assert found["p"] == pytest.approx(1 / 6)
    none = overlap_of({"L0H0"}, {"L1H0"}, SHAPE)
    assert (none["shared"], none["chance"], none["p"]) == (0, 0.0, 1.0)
