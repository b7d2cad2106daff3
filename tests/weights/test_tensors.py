"""Every tensor of a checkpoint is used, or known to change nothing; else the model is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lengthlens.errors import LengthlensError
from lengthlens.models.loading import load_model
from lengthlens.weights.checkpoints import ModelSpec, check_files
from lengthlens.weights.tensors import Tensor, is_ignorable, tensor_problems

POCKET = Path(__file__).parents[2] / "resources/pocket/instruct"
WEIGHTS = "model.safetensors"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of pocket-instruct that a test may change."""
    return Path(shutil.copytree(POCKET, tmp_path / "model"))


def spec_of(folder: Path) -> ModelSpec:
    return ModelSpec("m", "instruct", path=str(folder))


def change(folder: Path, edit: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / WEIGHTS)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def configure(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def fp8(tensors: Tensors) -> None:
    name = "model.layers.1.mlp.down_proj.weight"
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)


HEADERS: dict[str, tuple[Callable[[Tensors], object], str]] = {
    "LoRA": (
        lambda t: t.update({"model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 128)}),
        "1 factors of a LoRA adapter .*'model.layers.0.self_attn.q_proj.lora_A.weight'",
    ),
    "FP8": (fp8, "quantized .FP8: 'model.layers.1.mlp.down_proj.weight' is of type F8_E4M3"),
    "FP8 with scales": (
        lambda t: t.update({"model.layers.0.mlp.up_proj.weight_scale_inv": torch.ones(3, 1)}),
        "quantized .FP8 or INT8 with scales: .*no quantization_config",
    ),
    "GPTQ": (
        lambda t: t.update({"model.layers.0.mlp.up_proj.qweight": torch.ones(3, 1).int()}),
        "quantized .GPTQ or AWQ",
    ),
    "integers": (
        lambda t: t.update({"lm_head.weight": t["lm_head.weight"].to(torch.int8)}),
        "quantized .integers: 'lm_head.weight' is of type I8",
    ),
    "a layer is missing": (
        lambda t: [t.pop(name) for name in list(t) if ".layers.3." in name],
        "have no layer 3, but num_hidden_layers in config.json is 6",
    ),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_tell_before_anything_is_loaded(folder: Path, kind: str):
    edit, words = HEADERS[kind]
    change(folder, edit)
    with pytest.raises(LengthlensError, match=words):
        check_files(spec_of(folder))


def test_fewer_layers_than_the_weights_have(folder: Path):
    """Four of six layers run, count wrongly, and prove complete: so they are refused."""
    configure(folder, num_hidden_layers=4)
    with pytest.raises(LengthlensError, match=r"have 6 layers, but num_hidden_layers .* is 4"):
        check_files(spec_of(folder))
    with pytest.raises(LengthlensError, match=r"tensors .* no place for, such as 'model.layers.4"):
        load_model(spec_of(folder), device="cpu")


def test_more_layers_than_the_weights_have(folder: Path):
    configure(folder, num_hidden_layers=7)
    with pytest.raises(LengthlensError, match="have no layer 6, but num_hidden_layers"):
        check_files(spec_of(folder))


def test_layers_that_foretell_further_tokens_are_no_surplus():
    tensors = {f"model.layers.{i}.mlp.up_proj.weight": Tensor("BF16", (4, 4)) for i in range(5)}
    assert not list(
        tensor_problems({"num_hidden_layers": 4, "num_nextn_predict_layers": 1}, tensors)
    )
    assert list(tensor_problems({"num_hidden_layers": 4}, tensors))


@pytest.mark.parametrize(
    "name",
    ["model.layers.2.self_attn.q_proj.bias", "model.layers.2.mlp.gate.weight", "score.weight"],
)
def test_a_tensor_without_a_place_is_named_on_loading(folder: Path, name: str):
    change(folder, lambda tensors: tensors.update({name: torch.ones(128)}))
    assert check_files(spec_of(folder))  # its name alone tells nothing
    with pytest.raises(LengthlensError, match=f"holds 1 tensors .*{name}.*another than the one"):
        load_model(spec_of(folder), device="cpu")


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "transformer.h.0.attn.masked_bias",
        "h.3.attn.bias",
        "model.position_ids",
        "mtp.layers.0.mlp.up_proj.weight",
    ],
)
def test_buffers_that_change_nothing_are_passed_over(folder: Path, name: str):
    assert is_ignorable(name)
    change(folder, lambda tensors: tensors.update({name: torch.ones(8)}))
    assert check_files(spec_of(folder))
    model = load_model(spec_of(folder), device="cpu")
    plain = load_model(ModelSpec("m", "instruct", path=str(POCKET)), device="cpu")
    for (name, found), wanted in zip(model.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(found, wanted), name


@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.q_proj.bias", "transformer.h.0.attn.c_attn.bias"]
)
def test_biases_of_projections_are_no_masks(name: str):
    assert not is_ignorable(name)


def test_tied_embeddings_that_differ_are_refused(folder: Path):
    """transformers would use both, with a warning; the readout would read one of them."""
    configure(folder, tie_word_embeddings=True)
    with pytest.raises(LengthlensError, match=r"the same .tie_word_embeddings., but .* differ"):
        load_model(spec_of(folder), device="cpu")
    change(folder, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))
    assert load_model(spec_of(folder), device="cpu").lm_head.weight is not None
    change(folder, lambda t: t.pop("lm_head.weight"))
    assert load_model(spec_of(folder), device="cpu").lm_head.weight is not None


def test_a_quantization_that_is_declared_only_is_refused(folder: Path):
    configure(folder, quantization_config={"quant_method": "fp8"})
    with pytest.raises(LengthlensError, match="declares fp8, but none of its tensors is"):
        check_files(spec_of(folder))
