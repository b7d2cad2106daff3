"""The planted circuit is drawn as it is: its edges, its places, and what is missing by name."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from planted_circuit import N_WORDS, NAMES, answers_of, counting_model, language

from lengthlens.analysis.paths import summarise_paths
from lengthlens.circuits.orders import component_names
from lengthlens.generation.job import Reading
from lengthlens.generation.swaps import swap_material
from lengthlens.models.layout import Layout
from lengthlens.statistics import Bootstrap
from lengthlens.tracing.paths import Members, PathPlan, circuit_members, measure_paths

BOOTSTRAP = Bootstrap(resamples=200)
READING = Reading(N_WORDS, "whitespace", "2026-01-01")
PLANTED = np.array([0, 0, 0, 0, 1, 2, 3, 4], dtype=np.int8)  # the roles of the planted template
PLAN = PathPlan(per_n=2, most=5, memory_gb=1.0)
MEMBERS = Members((*NAMES, "L1H3", "L0M"), 5)  # two beside the planted ones that do nothing


@functools.cache
def measured(null: bool = False, names: tuple[str, ...] = MEMBERS.names) -> xr.Dataset:
    loaded, lang = counting_model(null), language()
    answers = answers_of(lang)
    material = swap_material(loaded, lang, answers, READING, (1,)), [PLANTED] * len(answers)
    absent = "" if names else "no circuit is faithful"
    return measure_paths(loaded, answers, material, Members(names, 5, absent), PLAN)


@functools.cache
def tables(null: bool = False) -> dict[str, pd.DataFrame]:
    return summarise_paths({("m", "en"): measured(null)}, BOOTSTRAP)


def test_exactly_the_planted_edges() -> None:
    """From the number to the mover's value, the carrier's value, the comparison, the logits."""
    table = tables()["paths"].set_index(["sender", "receiver"])
    edges = {
        ("embedding", "L0H2.v"), ("L0H2", "L1H1.v"), ("L1H1", "L2.mlp"), ("L2M", "logits"),
    }  # fmt: skip
    for pair, row in table.iterrows():
        assert row["share"] == pytest.approx(1.0 if pair in edges else 0.0, abs=0.05), pair
        assert (row["share_low"] > 0.9) == (pair in edges)
    assert (table["n_samples"] == 6).all() and (table["swap"] == 1).all()
    assert ("L2M", "L1H1.v") not in table.index and ("L0H2", "L0H2.v") not in table.index
    assert table.loc[("L1H1", "L2.mlp"), "component"] == "L2M"


def test_components_matter_where_they_were_planted() -> None:
    shares = tables()["places"].pivot(index="component", columns="place", values="share")
    expected = {"L0H2": "mark", "L1H1": "last", "L2M": "last"}
    for name, row in shares.iterrows():
        for place, share in row.items():
            full = name in expected and place in (expected[name], "all")
            assert share == pytest.approx(1.0 if full else 0.0, abs=0.05), (name, place)


def test_mediation_of_the_planted_heads() -> None:
    """The late heads are those of the last layer, which do nothing; the rest is all there is."""
    data = measured()
    assert data.attrs["late_heads"] == "L2H0;L2H1;L2H2;L2H3"
    table = tables()["compensation"].set_index("term")
    assert table["share"].drop("rest").abs().max() < 0.05
    assert table.loc["rest", "share"] == pytest.approx(1, abs=0.05)
    assert (table["compensates"] == "open").all() or (table["compensates"] == "no").all()


def test_compensation_is_found_with_its_size() -> None:
    """A word takes 2 from the margin of every ender but the stop token; half of it comes back."""
    loaded, lang = counting_model(compensated=True), language()
    answers = answers_of(lang)
    material = swap_material(loaded, lang, answers, READING, (1,)), [PLANTED] * len(answers)
    data = measure_paths(loaded, answers, material, Members((), 0, "none"), PLAN)
    table = summarise_paths({("m", "en"): data}, BOOTSTRAP)["compensation"].set_index("term")
    expected = {"direct": 2.0, "mediated": -1.0, "both": 1.0, "interaction": 0.0}
    for term, effect in expected.items():
        assert table.loc[term, "effect"] == pytest.approx(effect, abs=0.08), term
    assert table.loc["rest", "share"] > 0.7 and (table["compensates"] == "yes").all()


def test_without_an_effect_there_are_no_shares() -> None:
    found = tables(True)
    assert found["paths"]["share"].isna().all() and len(found["paths"])
    assert found["compensation"]["share"].isna().all()


def test_without_a_circuit_there_is_mediation_alone(tmp_path) -> None:
    data = measured(False, ())
    assert data.attrs["paths_absent"] == "no circuit is faithful"
    data.to_netcdf(tmp_path / "paths.nc")
    with xr.open_dataset(tmp_path / "paths.nc") as found:
        assert found.sizes["sender"] == 0 and np.isfinite(found["mediation"]).any()
    found = summarise_paths({("m", "en"): data}, BOOTSTRAP)
    assert found["paths"]["absent"].to_list() == ["no circuit is faithful"]
    assert found["places"].empty and len(found["compensation"]) == 5


def test_what_is_missing_is_named() -> None:
    """One number has no swap; prompts without roles leave out where components matter."""
    loaded, lang = counting_model(), language(topics=2)
    answers = answers_of(lang)
    swaps = swap_material(loaded, lang, answers, READING, (1,))
    data = measure_paths(loaded, answers, (swaps, ["no characters"] * 8), MEMBERS, PLAN)
    assert data.attrs["places_absent"] == "no characters" and data.attrs["absent"] == ""
    assert np.isfinite(data["carried"].sel(place="all", swap=1)).all("component").sum() == 6
    assert np.isnan(data["carried"].sel(place="mark")).all()
    assert np.isfinite(data["path"].sel(swap=1, sender="L0H2", receiver="L1H1.v")).sum() == 6
    one = [row for row in answers if row["n"] == 4]
    reading = Reading((4,), "whitespace", "2026-01-01")
    swaps = swap_material(loaded, lang, one, reading, (1,))
    data = measure_paths(loaded, one, (swaps, [PLANTED] * 2), MEMBERS, PLAN)
    assert "the study asks for no smaller or no larger number (2)" in data.attrs["absent"]
    found = summarise_paths({("m", "en"): data}, BOOTSTRAP)
    for name in ("paths", "compensation"):
        assert found[name]["absent"].to_list() == [data.attrs["absent"]]
    assert found["places"].empty


def test_members_come_in_the_order_of_their_ranking() -> None:
    names = component_names(Layout.even(3, 4))
    selection = pd.DataFrame({"component": names, "method": "atp", "score": range(len(names))})
    columns = {
        "way": ["kept", "kept"], "method": ["atp", "random"], "source_language": ["en", "en"],
        "k": [3, 3], "without": ["", ""], "components": ["L0H1;L2H3;L1M", "L0H0;L0H2;L0M"],
    }  # fmt: skip
    circuits = xr.Dataset(coords={name: ("condition", part) for name, part in columns.items()})
    circuits = circuits.assign_attrs(smallest=3, n_layers=3, n_heads=4, absent="", ranked_by="atp")
    assert circuit_members(circuits, selection, "en", 9) == Members(("L1M", "L2H3", "L0H1"), 3)
    assert circuit_members(circuits, selection, "en", 2) == Members(("L1M", "L2H3"), 3)
    none = circuit_members(circuits.assign_attrs(smallest=-1), selection, "en", 9)
    assert none.names == () and "no circuit is faithful" in none.absent
    quantized = circuit_members(circuits, selection.assign(score=np.nan), "en", 9)
    assert quantized.names == () and "atp does not rank all components" in quantized.absent
