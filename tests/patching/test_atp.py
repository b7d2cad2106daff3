"""Attribution patching: exact where the model is linear, one backward pass, any batch alike."""

from __future__ import annotations

import numpy as np
import pytest
from architectures import tiny_model
from linear import linear_toy, random_swap
from toys import toy

from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import Swap
from lengthlens.patching import atp
from lengthlens.patching.atp import NoGradients, attribute_swaps, plan_batch
from lengthlens.patching.runs import POSITIONS, REACHED, SwapRuns, join_sets, single_sets

SWAPS = [
    random_swap(),
    random_swap(-1, seed=1, answer=3),
    random_swap(seed=2, prompt=6, answer=8),
    random_swap(seed=3, prompt=12, answer=1),
]


def noising(loaded: LoadedModel, swaps: list[Swap]) -> np.ndarray:
    """The noising patches of all components: [positions, swap, component]."""
    a = loaded.anatomy
    heads, mlps = np.ones((a.n_layers, a.n_heads), dtype=bool), np.ones(a.n_layers, dtype=bool)
    sets = join_sets([single_sets(heads, mlps, REACHED, name, loaded.device) for name in POSITIONS])
    found = []
    for swap in swaps:
        runs = SwapRuns(loaded, swap, 1.0)
        found.append((runs.clean.fixed[REACHED] - runs.patched(sets).fixed).reshape(3, -1))
    return np.stack(found, 1)


def flat(found: atp.Attribution) -> np.ndarray:
    return np.concatenate([found.head.reshape(*found.head.shape[:2], -1), found.mlp], -1)


def test_atp_is_the_patch_where_the_model_is_linear() -> None:
    """AtP(c) = m(reached) - m(reached, c from the other run), every component and position."""
    loaded = linear_toy()
    patches, found = noising(loaded, SWAPS), flat(attribute_swaps(loaded, SWAPS, 1.0))
    largest = np.abs(patches).max()
    assert largest > 0.02
    assert np.abs(found - patches).max() <= 1e-4 * largest
    integrated = flat(attribute_swaps(loaded, SWAPS, 1.0, 3))  # the gradient is the same everywhere
    assert np.abs(integrated - patches).max() <= 1e-4 * largest


@pytest.mark.parametrize("row", ["llama", "gemma2", "granite", "gpt2"])
def test_atp_is_the_derivative_of_the_patch(row: str) -> None:
    """Patches of a hundredth of the difference change the margin by a hundredth of AtP.

    The other run is the reached one but for a hundredth of the numeral's embedding, so that all
    differences are small; there AtP and patches agree to first order.
    """
    loaded = toy(tiny_model(row))
    embedding = loaded.model.get_input_embeddings().weight
    embedding[31] = embedding[30] + 0.01 * (embedding[31] - embedding[30])
    patches, found = noising(loaded, SWAPS[:1]), flat(attribute_swaps(loaded, SWAPS[:1], 1.0))
    largest = np.abs(patches).max()
    assert largest > 1e-4
    assert np.abs(found - patches).max() <= 0.03 * largest


@pytest.mark.parametrize("row", ["llama", "gemma2", "gpt2"])
def test_batches_and_checkpoints_change_nothing(row: str, monkeypatch) -> None:
    loaded = toy(tiny_model(row))
    whole = flat(attribute_swaps(loaded, SWAPS, 1.0, 2))
    for planned in ((1, False), (4, True), (3, True)):
        monkeypatch.setattr(atp, "plan_batch", lambda *_, planned=planned: planned)
        assert np.abs(flat(attribute_swaps(loaded, SWAPS, 1.0, 2)) - whole).max() <= 1e-5
    for layer in loaded.anatomy.layers:
        assert "forward" not in vars(layer.first)


def test_memory_decides_rows_and_checkpoints() -> None:
    """A pure function: fewer rows with less memory, then checkpoints, then an error."""
    loaded = toy(tiny_model("llama"))
    plans = [plan_batch(loaded, 40, gigabytes) for gigabytes in (1.0, 0.004, 0.001)]
    assert [checkpointed for _, checkpointed in plans] == [False, False, True]
    assert plans[0][0] == atp.MOST_ROWS > plans[1][0] >= 1
    with pytest.raises(Exception, match=r"need .* GB; raise memory_gb"):
        plan_batch(loaded, 40, 1e-6)


def test_a_model_without_gradients_is_named() -> None:
    loaded = toy(tiny_model("llama"))
    loaded.model.is_quantized = True
    with pytest.raises(NoGradients, match="toy are quantized"):
        attribute_swaps(loaded, SWAPS, 1.0)
