"""Layers below what is removed may be taken from one clean row: the scores are the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import ROWS, tiny_model
from toys import toy

from lengthlens.decoding.intervention import Intervention
from lengthlens.decoding.reuse import CleanLayers, batches, first_layers
from lengthlens.generation import score
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.score import sentence_logliks, step_margins
from lengthlens.models.anatomy import Anatomy

PROMPT, ANSWER, STEPS = [3, 9, 27, 81, 44], [11, 121, 135, 90], [1, 4]
N_SETS = 20


def random_sets(anatomy: Anatomy, positions: str = "generated") -> Intervention:
    """Sets that begin in every layer; the first removes nothing, the last the final MLP alone."""
    generator = torch.Generator().manual_seed(0)
    size = (N_SETS, anatomy.n_layers, anatomy.n_heads)
    heads = torch.rand(size, generator=generator) < 0.4
    for row in range(N_SETS):
        heads[row, : row % (anatomy.n_layers + 1)] = False
    heads[0], heads[-1] = False, False
    mlps = torch.zeros(N_SETS, anatomy.n_layers, dtype=torch.bool)
    mlps[-1, -1] = True
    return Intervention(heads, mlps, positions)


def scored(loaded: LoadedModel, whole: Intervention) -> tuple[np.ndarray, np.ndarray]:
    def rows(sets) -> Intervention:
        return whole.select(torch.as_tensor(list(sets)))

    margins = step_margins(loaded, PROMPT, ANSWER, STEPS, rows, N_SETS)
    return margins, sentence_logliks(loaded, PROMPT + ANSWER, rows, N_SETS)


@pytest.mark.parametrize("row", ROWS)
def test_scores_are_those_of_computing_everything(row: str, monkeypatch) -> None:
    """Measured: at most 2.0e-6 of the largest, in float32."""
    loaded = toy(tiny_model(row))
    whole = random_sets(loaded.anatomy)
    found = scored(loaded, whole)
    monkeypatch.setattr(score, "first_layers", lambda whole: np.zeros(N_SETS, dtype=int))
    for one, other in zip(found, scored(loaded, whole), strict=True):
        assert np.abs(one - other).max() <= 5e-6 * np.abs(other).max()
    assert len(np.unique(found[0][:, 1].round(4))) > N_SETS / 2  # the sets do differ


def test_with_prompts_removed_from_nothing_is_reused(monkeypatch) -> None:
    loaded = toy(tiny_model("llama"))
    whole = random_sets(loaded.anatomy, "all")
    used, reused = [], CleanLayers.reused

    def watched(self, below: int, rows: int):
        used.append(below)
        return reused(self, below, rows)

    monkeypatch.setattr(CleanLayers, "reused", watched)
    step_margins(loaded, PROMPT, ANSWER, STEPS, lambda sets: whole.select(torch.tensor(sets)), 20)
    assert used == [0]


def test_skipped_layers_are_not_run_and_come_back(monkeypatch) -> None:
    loaded = toy(tiny_model("llama"))
    clean = CleanLayers(loaded.anatomy)
    ids = torch.tensor([PROMPT])
    with torch.inference_mode():
        with clean.recorded():
            before = loaded.model(ids).logits
        ran = []
        for place, layer in enumerate(loaded.anatomy.layers):
            layer.attention.module.register_forward_hook(lambda *_, place=place: ran.append(place))
        with pytest.raises(ZeroDivisionError), clean.reused(2, 3):
            after = loaded.model(ids.expand(3, -1)).logits
            raise ZeroDivisionError
        assert ran == [2]
        assert torch.allclose(after, before.expand(3, -1, -1), atol=1e-6)
        loaded.model(ids)
    assert ran == [2, 0, 1, 2]
    assert all("forward" not in vars(layer.first) for layer in loaded.anatomy.layers)


def test_first_layers_and_batches() -> None:
    heads = torch.zeros(4, 3, 2, dtype=torch.bool)
    mlps = torch.zeros(4, 3, dtype=torch.bool)
    heads[0, 2, 1] = mlps[1, 1] = mlps[2, 0] = heads[2, 1, 0] = True
    first = first_layers(Intervention(heads, mlps))
    assert first.tolist() == [2, 1, 0, 3]
    many = np.repeat([3, 0, 1], [30, 40, 2])
    made = list(batches(many, 16))
    assert sorted(np.concatenate([sets for _, sets in made]).tolist()) == list(range(72))
    for below, sets in made:
        assert len(sets) <= 16 and below == many[sets].min()
    assert [below for below, _ in made] == [0, 0, 0, 1, 3, 3]  # two of layer 1 take six of 3 along
