"""Tracing equals an independent computation, and follows a planted number on its way."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import xarray as xr
from architectures import tiny_model
from linear import random_swap
from planted_circuit import N_WORDS, answers_of, counting_model, language
from toys import toy

from lengthlens.analysis.tracing import summarise_tracing
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import swap_material
from lengthlens.patching.runs import OTHER, REACHED
from lengthlens.reporting.traces import say_places, say_roles
from lengthlens.statistics import Bootstrap
from lengthlens.tracing.roles import ROLES, text_roles
from lengthlens.tracing.stream import TracePlan, trace_streams, trace_swap

BOOTSTRAP = Bootstrap(resamples=200)
READING = Reading(N_WORDS, "whitespace", "2026-01-01")
PLAN = TracePlan(per_n=10, swaps=(1, -1), every=1, memory_gb=1.0)
PLANTED = np.array([0, 0, 0, 0, 1, 2, 3, 4], dtype=np.int8)  # the roles of the planted template
RANDOM = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4], dtype=np.int8)  # and of `random_swap`


@torch.no_grad()
def with_stream(
    loaded: LoadedModel, text: tuple, donor: tuple, layer: int, positions: list[int]
) -> torch.Tensor:
    """Logits at the end of a text whose stream into a layer is the donor text's at some positions:
    plain hooks, one row, no cache."""
    kept: list[torch.Tensor] = []
    site = loaded.anatomy.layers[layer].first

    def keep(module, args, kwargs):
        kept.append((args[0] if args else kwargs["hidden_states"]).clone())

    def put(module, args, kwargs):
        stream = (args[0] if args else kwargs["hidden_states"]).clone()
        stream[:, positions] = kept[0][:, positions]
        return ((stream, *args[1:]), kwargs) if args else (args, kwargs | {"hidden_states": stream})

    for tokens, hook in ((donor, keep), (text, put)):
        handle = site.register_forward_pre_hook(hook, with_kwargs=True)
        logits = loaded.model(torch.tensor([list(tokens)]), use_cache=False).logits[0, -1]
        handle.remove()
    cap = loaded.anatomy.soft_cap
    return logits if cap is None else cap * torch.atanh(logits / cap)


@pytest.mark.parametrize("swap", [-1, 1])
@pytest.mark.parametrize("row", ["llama", "gpt2", "gemma2", "mixtral", "granite", "gpt_neox"])
def test_tracing_equals_plain_hooks(row: str, swap: int) -> None:
    """noising = m(reached) - m(reached, stream from other), denoising the rise; to 1e-4."""
    loaded, entry = toy(tiny_model(row)), random_swap(swap)
    roles = text_roles(RANDOM, len(entry.answer))
    texts = [(*prompt, *entry.answer) for prompt in (entry.reached, entry.other)]
    runs, found = trace_swap(loaded, entry, roles, range(3), 1.0)

    def margin(run: int, layer: int, positions: list[int]) -> float:
        logits = with_stream(loaded, texts[run], texts[1 - run], layer, positions)
        return float(logits[runs.ender] - logits[runs.word])

    for layer in range(3):
        for role in range(1, len(ROLES)):
            places = np.flatnonzero(roles == role).tolist()
            fall = runs.clean.fixed[REACHED] - margin(REACHED, layer, places)
            rise = margin(OTHER, layer, places) - runs.clean.fixed[OTHER]
            assert found["noising"][layer, role] == pytest.approx(fall, abs=1e-4)
            assert found["denoising"][layer, role] == pytest.approx(rise, abs=1e-4)
    assert (found["noising"][:, 0] == 0).all() and (found["denoising"][:, 0] == 0).all()


def test_the_stream_of_all_positions_is_the_other_run() -> None:
    """The roles from the numeral on, exchanged as one, give the whole N effect in any layer."""
    loaded, entry = toy(tiny_model("llama")), random_swap()
    roles = text_roles(RANDOM, len(entry.answer))
    runs, found = trace_swap(loaded, entry, np.where(roles > 0, 1, 0).astype(np.int8), [0, 2], 1.0)
    for values in found.values():
        assert values[[0, 2], 1] == pytest.approx(runs.effect, abs=1e-4)
        assert np.isnan(values[1]).all() and np.isnan(values[:, 2:]).all()


@functools.cache
def traced(null: bool = False) -> xr.Dataset:
    loaded, lang = counting_model(null), language(topics=6)
    answers = answers_of(lang)
    material = swap_material(loaded, lang, answers, READING)
    return trace_streams(loaded, answers, material, [PLANTED] * len(answers), PLAN)


@pytest.mark.parametrize("swap", [-1, 1])
@pytest.mark.parametrize("direction", ["noising", "denoising"])
def test_the_number_is_followed_from_role_to_role(direction: str, swap: int) -> None:
    """At the numeral into layer 0, at the mark into layer 1, at the last token into layer 2."""
    table = summarise_tracing({("m", "en"): traced()}, BOOTSTRAP)
    own = table[(table["swap"] == swap) & (table["direction"] == direction)]
    shares = own.pivot(index="layer", columns="role", values="share")
    places = {0: "numeral", 1: "mark", 2: "last"}
    for layer, row in shares.iterrows():
        assert row[places[layer]] == pytest.approx(1, abs=0.05)
        assert (row.drop(places[layer]).abs() < 0.05).all()
    assert (own["n_samples"] == 18).all()
    assert (shares["before"] == 0).all()


def test_sentences_name_the_places() -> None:
    table = summarise_tracing({("m", "en"): traced()}, BOOTSTRAP)
    rows = table[(table["swap"] == 1) & (table["direction"] == "noising")]
    told = "the number (layer 0), the final mark (layer 1), the last token (layer 2)"
    assert say_roles(rows) == told
    (said,) = say_places(table)
    assert "travels through no other part of the text (18 answers" in said
    weak = table["role"] == "mark"
    (said,) = say_places(table.assign(share_low=table["share_low"].mask(weak, 0.4)))
    assert "through the final mark (layers 0–2)" in said


@pytest.mark.slow
def test_without_an_effect_there_is_nothing_to_trace() -> None:
    table = summarise_tracing({("m", "en"): traced(True)}, BOOTSTRAP)
    assert len(table) and table["share"].isna().all()
    assert say_places(table) == []


def test_what_cannot_be_traced_is_counted_and_named() -> None:
    loaded, lang = counting_model(), language(topics=4)
    answers = answers_of(lang)
    material = swap_material(loaded, lang, answers, READING)
    some = ["no characters" if row["n"] == 4 else PLANTED for row in answers]
    data = trace_streams(loaded, answers, material, some, PLAN)
    assert data["n_answers"].sel(swap=1).to_pandas().to_dict() == {
        "legal": 8, "no_number": 4, "length": 0, "elsewhere": 0, "no_read_step": 0, "no_roles": 4,
    }  # fmt: skip
    assert data.attrs["absent"] == ""
    assert int(np.isfinite(data["noising_stream"].sel(swap=1, role="mark")).all("layer").sum()) == 8
    nowhere = trace_streams(loaded, answers, material, ["no characters"] * len(answers), PLAN)
    assert nowhere.attrs["absent"] == "no characters"
    assert np.isnan(nowhere["denoising_stream"]).all()


def test_one_number_has_no_swap() -> None:
    loaded, lang = counting_model(), language()
    answers = [row for row in answers_of(lang) if row["n"] == 4]
    material = swap_material(loaded, lang, answers, Reading((4,), "whitespace", "2026-01-01"))
    data = trace_streams(loaded, answers, material, [PLANTED] * len(answers), PLAN)
    assert "the study asks for no smaller or no larger number (20)" in data.attrs["absent"]
    assert summarise_tracing({("m", "en"): data}, BOOTSTRAP).empty


def test_deep_models_are_traced_in_part() -> None:
    loaded, lang = counting_model(), language(topics=2)
    answers = answers_of(lang)
    material = swap_material(loaded, lang, answers, READING, (1,))
    plan = TracePlan(per_n=1, swaps=(1,), every=2, memory_gb=1.0)
    data = trace_streams(loaded, answers, material, [PLANTED] * len(answers), plan)
    table = summarise_tracing({("m", "en"): data}, BOOTSTRAP)
    assert set(table["layer"]) == {0, 2} and (table["n_samples"] == 3).all()
