"""Attention is the model's own and adds up to 1; knockouts equal attention computed by hand."""

from __future__ import annotations

import contextlib
import functools
import re

import numpy as np
import pytest
import torch
import xarray as xr
from architectures import tiny_model
from linear import random_swap
from plain_attention import plain_scores
from planted_circuit import N_WORDS, answers_of, counting_model, language
from torch.nn import functional
from toys import toy
from transformers import AttentionInterface

from lengthlens.analysis.attention import summarise_attention
from lengthlens.decoding import scores
from lengthlens.decoding.scores import Knockouts
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import swap_material
from lengthlens.patching.runs import SwapRuns
from lengthlens.reporting.traces import say_heads, say_knockouts
from lengthlens.statistics import Bootstrap
from lengthlens.tracing.attention import circuit_heads, measure_attention, own_texts
from lengthlens.tracing.last_step import LastStep
from lengthlens.tracing.roles import ROLES
from lengthlens.tracing.stream import TracePlan

BOOTSTRAP = Bootstrap(resamples=200)
READING = Reading(N_WORDS, "whitespace", "2026-01-01")
TOPICS = 6
PLAN = TracePlan(per_n=10, swaps=(1, -1), every=1, memory_gb=1.0)
PLANTED = np.array([0, 0, 0, 0, 1, 2, 3, 4], dtype=np.int8)
ARCHITECTURES = ["llama", "gpt2", "gemma2", "gemma3_text", "mixtral", "granite", "gpt_neox"]


def text() -> tuple[int, ...]:
    swap = random_swap()
    return (*swap.reached, *swap.answer)


@contextlib.contextmanager
def by_hand(model, layer: int, head: int | None, keys: list[int]):
    """Attention written out, in which the last query of a layer's head (None: all) lacks keys."""

    def attend(module, query, key, value, attention_mask, scaling=None, softcap=None, **_):
        repeated = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(repeated, dim=1) for part in (key, value))
        found = plain_scores(query, key, scaling, softcap)
        if module.layer_idx == layer:
            for place in keys:
                found[:, slice(None) if head is None else head, -1, place] = -torch.inf
        weights = functional.softmax(found, dim=-1)
        return (weights @ value).transpose(1, 2).contiguous(), weights

    own = model.config._attn_implementation
    AttentionInterface.register("by_hand", attend)
    model.set_attn_implementation("by_hand")
    try:
        yield
    finally:
        model.set_attn_implementation(own)


@torch.no_grad()
def logits_by_hand(loaded: LoadedModel, layer: int, head: int | None, keys: list[int]):
    with by_hand(loaded.model, layer, head, keys):
        logits = loaded.model(torch.tensor([list(text())]), use_cache=False).logits[0, -1]
    cap = loaded.anatomy.soft_cap
    return logits if cap is None else cap * torch.atanh(logits / cap)


def knockout(loaded: LoadedModel, layer: int, head: int | None, keys: list[int]) -> Knockouts:
    a = loaded.anatomy
    heads = torch.zeros(1, a.n_layers, a.n_heads, dtype=torch.bool)
    heads[0, layer, slice(None) if head is None else head] = True
    places = torch.zeros(1, len(text()), dtype=torch.bool)
    places[0, keys] = True
    return Knockouts(heads, places)


@pytest.mark.parametrize("row", ARCHITECTURES)
def test_weights_are_the_models_own(row: str) -> None:
    """What transformers gives as `attentions` in one plain pass; their sum is 1."""
    loaded = toy(tiny_model(row))
    step = LastStep(loaded, text(), 1.0)
    own = loaded.model.config._attn_implementation
    loaded.model.set_attn_implementation("eager")
    with torch.no_grad():
        given = loaded.model(torch.tensor([list(text())]), output_attentions=True, use_cache=False)
    loaded.model.set_attn_implementation(own)
    expected = torch.stack([weights[0, :, -1] for weights in given.attentions]).numpy()
    assert step.missing == []
    assert np.abs(step.weights - expected).max() <= 1e-5
    assert step.weights.sum(-1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("row", ARCHITECTURES)
def test_knockouts_equal_attention_by_hand(row: str) -> None:
    """One head, then all heads of a layer, kept from some keys; margins to 1e-4."""
    loaded = toy(tiny_model(row))
    step = LastStep(loaded, text(), 1.0)
    for layer, head, keys in ((0, None, [0, 1]), (1, 2, [3]), (2, None, [5, 6, 13])):
        logits = logits_by_hand(loaded, layer, head, keys)
        expected = float(logits[step.pair[0]] - logits[step.pair[1]])
        (found,) = step.without(knockout(loaded, layer, head, keys), step.pair)
        assert found == pytest.approx(expected, abs=1e-4)
        assert abs(found - step.margin(step.pair)) > 1e-4  # something is knocked out


def test_a_sliding_window_is_seen_as_it_is() -> None:
    """Beyond the window attention is 0 and a knockout does nothing."""
    model = tiny_model("mistral")
    model.config.sliding_window = 4
    loaded = toy(model)
    step = LastStep(loaded, text(), 1.0)
    outside = list(range(len(text()) - 4))
    assert (step.weights[..., outside] == 0).all()
    assert step.weights.sum(-1) == pytest.approx(1, abs=1e-5)
    (same,) = step.without(knockout(loaded, 2, None, outside), step.pair)
    assert same == pytest.approx(step.margin(step.pair), abs=1e-5)


def test_nothing_knocked_out_changes_nothing_and_everything_is_not_a_number() -> None:
    loaded = toy(tiny_model("llama"))
    step = LastStep(loaded, text(), 1.0)
    (same,) = step.without(knockout(loaded, 1, None, []), step.pair)
    assert same == pytest.approx(step.margin(step.pair), abs=1e-6)
    (gone,) = step.without(knockout(loaded, 1, None, list(range(len(text())))), step.pair)
    assert np.isnan(gone)


def test_attention_is_eager_in_the_one_pass_only() -> None:
    """Before and after it the model attends as it did, fused."""
    loaded = toy(tiny_model("llama"))
    own = loaded.model.config._attn_implementation
    assert own == "sdpa"
    seen = []
    loaded.anatomy.layers[0].first.register_forward_pre_hook(
        lambda *_: seen.append(loaded.model.config._attn_implementation)
    )
    LastStep(loaded, text(), 1.0)
    assert seen == ["sdpa", "eager"] and loaded.model.config._attn_implementation == own


@functools.cache
def measured(
    heads: tuple[str, ...] = ("L1H1", "L0H2"), null: bool = False, topics: int = TOPICS
) -> xr.Dataset:
    loaded, lang = counting_model(null), language(topics=topics)
    answers = answers_of(lang)
    swaps = swap_material(loaded, lang, answers, READING)
    material = (own_texts(loaded, lang, answers, READING), swaps, [PLANTED] * len(answers))
    return measure_attention(loaded, answers, material, heads, PLAN)


@pytest.mark.slow
def test_attention_adds_up_over_roles_and_finds_the_planted_head() -> None:
    """Every answer has a decision step; the carrier looks at the mark, the others at the start."""
    attention = measured()["attention"]
    assert np.isfinite(attention).all()
    assert attention.sum("role").to_numpy() == pytest.approx(1, abs=1e-5)
    assert (attention.sel(layer=1, head=1, role="mark") > 0.99).all()
    assert float(attention.sel(role="mark").sum(["layer", "head"]).max()) < 1.01
    assert (attention.sel(layer=0, role="before") > 0.99).all()


def test_only_the_planted_reading_matters() -> None:
    """Kept from the mark in layer 1, N does nothing; kept from what it does not attend to, all."""
    tables = summarise_attention({("m", "en"): measured()}, BOOTSTRAP)
    layers = tables["knockout"]
    for swap in (1, -1):
        own = layers[layers["swap"] == swap].pivot(index="layer", columns="role", values="share")
        assert own.loc[1, "mark"] == pytest.approx(1, abs=0.05)
        own.loc[1, "mark"] = 0.0
        assert (own.abs() < 0.05).to_numpy().all()
    unseen = measured()["knockout_heads_n"].sel(knocked="L1H1", role=["numeral", "between"])
    assert float(np.abs(unseen).max()) < 1e-4
    heads = tables["circuit_heads"].set_index(["swap", "component", "role"])["share"]
    assert heads[1, "L1H1", "mark"] == pytest.approx(1, abs=0.05)
    assert heads[1, "L1H1;L0H2", "mark"] == pytest.approx(1, abs=0.05)
    assert abs(heads[1, "L0H2", "mark"]) < 0.05
    assert (layers["n_decided"] == 4 * TOPICS).all() and (layers["n_samples"] == 3 * TOPICS).all()


def test_margins_are_those_of_patching() -> None:
    """At swap +1 the own prompt is the reached run, and its decision step the read step."""
    data, loaded, lang = measured(), counting_model(), language(topics=TOPICS)
    material = swap_material(loaded, lang, answers_of(lang), READING, (1,))
    for index, entry in material.legal(1)[:2]:
        runs = SwapRuns(loaded, entry, 1.0)
        assert float(data["margin"][index]) == pytest.approx(runs.clean.fixed[0], abs=1e-4)
        assert float(data["n_effect"].sel(swap=1)[index]) == pytest.approx(runs.effect, abs=1e-4)


def test_sentences_name_what_is_read_and_where() -> None:
    tables = summarise_attention({("m", "en"): measured()}, BOOTSTRAP)
    heads = tables["circuit_heads"].copy()
    mark = (heads["component"] == "L1H1") & (heads["role"] == "mark")
    heads.loc[mark, ["low", "high"]] = 0.9, 1.0  # attention that never varies has no interval
    (said,) = say_heads(heads)
    assert re.search(r"to the final mark: [^;]*L1H1 [^,]+, [^,]+ \(blocking this removes ", said)
    assert re.search(r"to what comes before the number: [^;]*L0H2 ", said)
    assert "of the circuit's 2 heads" in said and f"({4 * TOPICS} answers)" in said
    (knocked,) = say_knockouts(tables["knockout"])
    assert "layer 1 to the final mark" in knocked


@pytest.mark.slow
def test_without_an_effect_there_are_no_shares() -> None:
    tables = summarise_attention({("m", "en"): measured((), True)}, BOOTSTRAP)
    assert tables["knockout"]["share"].isna().all() and tables["circuit_heads"].empty
    assert say_knockouts(tables["knockout"]) == []
    assert "no circuit" in measured((), True).attrs["knocked_absent"]


def test_attention_that_cannot_be_had_is_named(monkeypatch) -> None:
    """Fused attention gives no weights: NaN with the reason, and nothing fails."""
    monkeypatch.setattr(scores, "eager_attention", lambda model: contextlib.nullcontext())
    data = measured.__wrapped__(("L1H1",), topics=2)
    assert "attention weights of some layers cannot be had" in data.attrs["absent"]
    assert data.attrs["absent"].endswith("layers 0, 1, 2")
    for name in ("attention", "knockout", "knockout_n", "knockout_heads"):
        assert np.isnan(data[name]).all()
    assert np.isfinite(data["margin"]).all()
    assert summarise_attention({("m", "en"): data}, BOOTSTRAP)["attention"].empty


def test_a_file_without_circuit_heads_can_be_written(tmp_path) -> None:
    measured((), topics=2).to_netcdf(tmp_path / "attention.nc")
    with xr.open_dataset(tmp_path / "attention.nc") as found:
        assert found.sizes["knocked"] == 0 and found["role"].to_numpy().tolist() == list(ROLES)


def test_the_circuit_is_that_of_the_first_score_in_the_own_language() -> None:
    rows = {
        "way": ["kept", "kept", "patched", "kept", "kept"],
        "method": ["atp", "random_atp", "atp", "atp", "cwa"],
        "source_language": ["it", "en", "en", "en", "en"],
        "k": [2, 2, 2, 2, 2],
        "without": [""] * 5,
        "components": ["L0H0;L2M", "L0H1;L0M", "L1H1;L0H2", "L1H1;L2M", "L2H2;L0M"],
    }
    data = xr.Dataset(coords={name: ("condition", values) for name, values in rows.items()})
    assert circuit_heads(data.assign_attrs(smallest=2), "en") == ["L1H1"]
    assert circuit_heads(data.assign_attrs(smallest=-1), "en") == []
