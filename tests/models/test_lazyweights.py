"""The readout from a checkpoint's files is that of the loaded model, bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from architectures import ROWS, tiny_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lengthlens.errors import LengthlensError
from lengthlens.models import readout
from lengthlens.models.lazyweights import read_readout
from lengthlens.models.readout import Readout, readout_of
from lengthlens.weights.checkpoints import ModelSpec


def saved(model, folder: Path, **options) -> ModelSpec:
    """The model as a checkpoint; its tokenizer is never opened."""
    model.save_pretrained(folder, **options)
    (folder / "tokenizer.json").write_text("{}")
    return ModelSpec(name="tiny", variant="base", path=str(folder))


def weights(spec: ModelSpec) -> tuple[Path, dict[str, torch.Tensor]]:
    path = Path(spec.path) / "model.safetensors"
    return path, load_file(path)


def assert_equal(ours: Readout, theirs: Readout) -> None:
    for name, expected in vars(theirs).items():
        found = getattr(ours, name)
        pairs = zip(found, expected, strict=True) if name == "output" else [(found, expected)]
        for a, b in pairs:
            if isinstance(b, torch.Tensor):
                assert a.dtype == b.dtype and torch.equal(a, b), name
            else:
                assert a == b, name


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("row", ROWS)
def test_every_architecture_stored_in_any_precision(row: str, dtype: str, tmp_path: Path) -> None:
    """Tied or not, stored in float16 and run in another precision."""
    spec = saved(tiny_model(row).half(), tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=getattr(torch, dtype))
    assert_equal(read_readout(spec, dtype), readout_of(model))


@pytest.mark.parametrize("row", ["gemma", "granite"])
def test_half_precision_norms_and_multipliers_are_applied_in_float32(row: str) -> None:
    """1 + weight and weight x multiplier, as the model has them: not rounded to bfloat16 again."""
    model = tiny_model(row, torch.bfloat16)
    readout = readout_of(model)
    if row == "gemma":
        assert torch.equal(readout.norm_weight, 1 + model.model.norm.weight.float())
    else:
        expected = model.model.layers[0].self_attn.o_proj.weight.float() * 0.37
        assert torch.equal(readout.output[0], expected)


def test_the_vocabularys_mean_is_taken_in_parts_in_float32(monkeypatch) -> None:
    """Within float32's rounding of the mean in float64, whatever the parts; exact in float32."""
    model = tiny_model("llama", torch.bfloat16)
    weight = model.lm_head.weight.double()
    norm = model.model.norm.weight.double()
    for rows in (7, 64, 8192):
        monkeypatch.setattr(readout, "_MEAN_ROWS", rows)
        found = readout_of(model).mean_direction()
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), weight.mean(0) * norm, rtol=1e-5, atol=1e-8)
    exact = tiny_model("llama")
    expected = exact.lm_head.weight.mean(0) * exact.model.norm.weight
    assert torch.equal(readout_of(exact).mean_direction(), expected)


def test_checkpoints_of_several_files(tmp_path: Path) -> None:
    model = tiny_model("llama")
    spec = saved(model, tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert_equal(read_readout(spec, "float32"), readout_of(model))


def test_only_the_readouts_weights_are_read(tmp_path: Path) -> None:
    """Without queries, keys, values, MLPs and their norms in the file, nothing is missed."""
    model = tiny_model("llama")
    spec = saved(model, tmp_path)
    path, stored = weights(spec)
    kept = {
        k: v
        for k, v in stored.items()
        if "o_proj" in k or k in ("model.norm.weight", "lm_head.weight")
    }
    assert len(kept) == 8 < len(stored)
    save_file(kept, path, metadata={"format": "pt"})
    assert_equal(read_readout(spec, "float32"), readout_of(model))


def test_a_tied_weight_may_be_stored_under_either_name(tmp_path: Path) -> None:
    model = tiny_model("qwen2")
    spec = saved(model, tmp_path)
    path, stored = weights(spec)
    stored["lm_head.weight"] = stored.pop("model.embed_tokens.weight")
    save_file(stored, path, metadata={"format": "pt"})
    assert_equal(read_readout(spec, "float32"), readout_of(model))


@pytest.mark.parametrize("row", ["gpt2", "qwen2"])
def test_a_checkpoint_of_the_base_model_lacks_its_prefix(row: str, tmp_path: Path) -> None:
    model = tiny_model(row)
    spec = saved(model.base_model, tmp_path)
    _, stored = weights(spec)
    assert not any(key.startswith(f"{model.base_model_prefix}.") for key in stored)
    assert_equal(read_readout(spec, "float32"), readout_of(model))


def test_names_that_transformers_changes_on_loading(tmp_path: Path) -> None:
    """Published Pythia checkpoints call the unembedding `embed_out`."""
    model = tiny_model("gpt_neox")
    spec = saved(model, tmp_path)
    path, stored = weights(spec)
    if "lm_head.weight" in stored:
        stored["embed_out.weight"] = stored.pop("lm_head.weight")
    assert "embed_out.weight" in stored
    save_file(stored, path, metadata={"format": "pt"})
    assert_equal(read_readout(spec, "float32"), readout_of(model))


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    spec = saved(tiny_model("llama"), tmp_path)
    path, stored = weights(spec)
    del stored["model.layers.1.self_attn.o_proj.weight"]
    save_file(stored, path, metadata={"format": "pt"})
    with pytest.raises(
        LengthlensError, match=r"tiny: .* lacks 1 weights, such as 'model.layers.1.self_attn"
    ):
        read_readout(spec, "float32")
