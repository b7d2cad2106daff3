"""Models whose layers lie on several devices, or are moved where they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model
from architectures import tiny_model
from test_waves import assert_same
from toys import NO_STOP, ragged_prompts

from lengthlens.attribution.proof import proven
from lengthlens.decoding.decode import Decoder
from lengthlens.decoding.intervention import Intervention
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import dissect
from lengthlens.models.lazyweights import read_readout
from lengthlens.models.loading import load_model
from lengthlens.models.readout import readout_of
from lengthlens.weights.checkpoints import ModelSpec

PROMPTS = ragged_prompts([3, 9, 5, 7], seed=31, shared=2)
LIMITS = [4, 6, 2, 6]
TEXTS = [list(range(20, 33)), list(range(60, 67))]
ON_DISK = {"model.layers.1": "disk", "lm_head": "cpu", "model.norm": "cpu"} | {
    name: "cpu" for name in ("model.embed_tokens", "model.rotary_emb", "model.layers.0")
}


def spec_of(folder: Path) -> ModelSpec:
    return ModelSpec(name="tiny", variant="base", path=str(folder))


def some_removed(anatomy) -> Intervention:
    heads = torch.rand(4, anatomy.n_layers, anatomy.n_heads, generator=torch.Generator()) < 0.3
    return Intervention(heads, torch.eye(4, anatomy.n_layers).bool(), "all")


def run(model, **options):
    return Decoder(model, dissect(model), NO_STOP).decode(PROMPTS, LIMITS, capture=True, **options)


@pytest.mark.parametrize("row", ["llama", "gemma2", "gpt2", "mixtral"])
def test_dispatched_models_decode_alike(row: str) -> None:
    """accelerate's hooks on every module, as for several GPUs; here all of them are the CPU."""
    plain, dispatched = tiny_model(row), tiny_model(row)
    owners = [name for name, part in dispatched.named_modules() if [*part.parameters(False)]]
    parts = dict.fromkeys(owners, "cpu")
    dispatch_model(dispatched, parts, main_device="cpu", force_hooks=True)
    assert hasattr(dissect(dispatched).layers[1].attention.module, "_hf_hook")
    assert_same(run(dispatched), run(plain))
    removed = some_removed(dissect(plain))
    assert_same(run(dispatched, intervention=removed), run(plain, intervention=removed))
    assert proven(dispatched, dissect(dispatched), TEXTS, "m").deviation <= 2e-6


def test_layers_on_disk_come_when_they_are_needed(tiny_llama_dir) -> None:
    """A layer's weights are on disk (and meta in the model) until its turn comes."""
    spec = spec_of(tiny_llama_dir)
    whole, split = load_model(spec, device="cpu"), load_model(spec, device_map=ON_DISK)
    assert dissect(split).layers[1].attention.module.weight.is_meta
    assert_same(run(split), run(whole))
    lazy, direct = read_readout(spec, "float32"), readout_of(whole)
    assert torch.equal(lazy.output[1], direct.output[1])


def test_split_needs_gpus() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(LengthlensError, match="'split', but torch sees no CUDA device"):
        load_model(ModelSpec("m", "base", path="."), device="split")


def test_a_model_that_fits_on_no_gpu_is_refused(tiny_llama_dir, monkeypatch) -> None:
    """Without a GPU, accelerate puts everything on the CPU; that must not pass for split."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    monkeypatch.setattr(
        "lengthlens.models.loading.resolve_device", lambda name: torch.device("cpu")
    )
    with pytest.raises(LengthlensError, match="tiny does not fit into the memory of the 0 visible"):
        load_model(spec_of(tiny_llama_dir), "float32", "split")
