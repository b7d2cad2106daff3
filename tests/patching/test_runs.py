"""Patched runs equal an independent computation: plain hooks, one row, no cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import tiny_model
from linear import patched_logits, random_swap
from toys import CLASSES, toy

from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import Swap
from lengthlens.patching.runs import (
    OTHER,
    POSITIONS,
    REACHED,
    Sets,
    SwapRuns,
    best_pair,
    join_sets,
    single_sets,
)


def texts(swap: Swap) -> list[tuple[int, ...]]:
    return [(*prompt, *swap.answer) for prompt in (swap.reached, swap.other)]


def places(swap: Swap, positions: str) -> slice:
    middle = swap.first_generated
    return {
        "prompt": slice(swap.numeral, middle),
        "generated": slice(middle, None),
        "all": slice(swap.numeral, None),
    }[positions]


def margin(logits: torch.Tensor, pair: tuple[int, int]) -> float:
    return float(logits[pair[0]] - logits[pair[1]])


def all_components(loaded: LoadedModel) -> tuple[np.ndarray, np.ndarray]:
    a = loaded.anatomy
    return np.ones((a.n_layers, a.n_heads), dtype=bool), np.ones(a.n_layers, dtype=bool)


@pytest.mark.parametrize("swap", [-1, 1])
@pytest.mark.parametrize("row", ["llama", "gpt2", "gemma2", "mixtral", "granite", "gpt_neox"])
def test_single_patches_equal_plain_hooks(row: str, swap: int) -> None:
    """m(run, c from the other run) within 1e-4 of a run of its own; measured: 1e-5."""
    loaded = toy(tiny_model(row))
    entry = random_swap(swap)
    runs = SwapRuns(loaded, entry, 1.0)
    plain = [patched_logits(loaded, text, text, (), slice(None)) for text in texts(entry)]
    pair = best_pair(plain[REACHED if swap > 0 else OTHER], CLASSES)
    assert (runs.ender, runs.word) == pair
    clean = [margin(logits, pair) for logits in plain]
    assert runs.clean.fixed == pytest.approx(clean, abs=1e-4)
    assert runs.effect == pytest.approx(clean[0] - clean[1], abs=1e-4)
    heads, mlps = all_components(loaded)
    a = loaded.anatomy
    components = [("head", layer, head) for layer in range(a.n_layers) for head in range(a.n_heads)]
    components += [("mlp", layer, 0) for layer in range(a.n_layers)]
    largest = 0.0
    for into in (REACHED, OTHER):
        parts = [single_sets(heads, mlps, into, name, loaded.device) for name in POSITIONS]
        found = runs.patched(join_sets(parts)).fixed.reshape(3, -1)
        text, donor = texts(entry)[into], texts(entry)[1 - into]
        for index, component in enumerate(components[::3]):
            for position, name in enumerate(POSITIONS):
                logits = patched_logits(loaded, text, donor, [component], places(entry, name))
                expected = margin(logits, pair)
                assert found[position, 3 * index] == pytest.approx(expected, abs=1e-4)
                largest = max(largest, abs(expected - clean[into]))
    assert largest > 1e-3  # the patches do something


@pytest.mark.parametrize("row", ["llama", "gemma2"])
def test_sets_of_components_equal_plain_hooks(row: str) -> None:
    """Many components at once, of several layers, beside sets that begin elsewhere."""
    loaded = toy(tiny_model(row))
    entry = random_swap()
    runs = SwapRuns(loaded, entry, 1.0)
    a = loaded.anatomy
    made = torch.Generator().manual_seed(2)
    heads = torch.rand(12, a.n_layers, a.n_heads, generator=made) < 0.5
    mlps = torch.rand(12, a.n_layers, generator=made) < 0.5
    for index in range(12):
        heads[index, : index % a.n_layers], mlps[index, : index % a.n_layers] = False, False
    into = torch.arange(12) % 2
    found = runs.patched(Sets(heads, mlps, into, torch.arange(12) % 3))
    for index in range(12):
        components = [("head", *place) for place in heads[index].nonzero().tolist()]
        components += [("mlp", layer, 0) for (layer,) in mlps[index].nonzero().tolist()]
        run = int(into[index])
        text, donor = texts(entry)[run], texts(entry)[1 - run]
        logits = patched_logits(
            loaded, text, donor, components, places(entry, POSITIONS[index % 3])
        )
        assert found.fixed[index] == pytest.approx(
            margin(logits, (runs.ender, runs.word)), abs=1e-4
        )
        free = logits[CLASSES.enders].max() - logits[CLASSES.words].max()
        assert found.free[index] == pytest.approx(float(free), abs=1e-4)


def test_a_numeral_at_the_very_beginning_and_an_empty_answer() -> None:
    """Nothing is shared before the numeral; the margin is read after the prompt."""
    loaded = toy(tiny_model("llama"))
    swap = Swap(1, 3, 4, (30, 50, 60), (31, 50, 60), (), 0)
    runs = SwapRuns(loaded, swap, 1.0)
    heads, mlps = all_components(loaded)
    everything = Sets(
        torch.from_numpy(heads)[None], torch.from_numpy(mlps)[None], torch.tensor([0]),
        torch.tensor([POSITIONS.index("generated")]),
    )  # fmt: skip
    found = runs.patched(everything).fixed[0]
    names = [("head", *place) for place in np.argwhere(heads).tolist()]
    names += [("mlp", layer, 0) for layer in range(len(mlps))]
    logits = patched_logits(loaded, swap.reached, swap.other, names, slice(2, None))
    assert found == pytest.approx(margin(logits, (runs.ender, runs.word)), abs=1e-4)


def test_passes_of_few_rows_give_the_same(monkeypatch) -> None:
    """However little memory there is, the margins are those of one batch."""
    loaded = toy(tiny_model("llama"))
    heads, mlps = all_components(loaded)
    sets = single_sets(heads, mlps, REACHED, "all", loaded.device)
    whole = SwapRuns(loaded, random_swap(), 1.0).patched(sets).fixed
    monkeypatch.setattr("lengthlens.patching.runs.rows_at_once", lambda *_: 2)
    few = SwapRuns(loaded, random_swap(), 1.0).patched(sets).fixed
    assert np.abs(whole - few).max() <= 1e-5


def test_too_little_memory_is_named() -> None:
    with pytest.raises(Exception, match="raise memory_gb"):
        SwapRuns(toy(tiny_model("llama")), random_swap(), 1e-9)
