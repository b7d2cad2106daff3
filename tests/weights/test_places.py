"""A path that holds no model is told by what it holds, with what to give instead."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lengthlens.errors import LengthlensError
from lengthlens.models.loading import load_model, load_tokenizer
from lengthlens.weights.checkpoints import ModelSpec, check_files, model_folder
from lengthlens.weights.kinds import odd_kind
from lengthlens.weights.places import odd_place
from lengthlens.weights.presence import check_model, what_is_wrong

POCKET = Path(__file__).parents[2] / "resources/pocket/instruct"


def adapter(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    about = {"base_model_name_or_path": "some/base", "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(about))
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def beside(folder: Path) -> Path:
    return adapter(Path(shutil.copytree(POCKET, folder)))


def repository(folder: Path) -> Path:
    snapshot = folder / "models--some--one" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    return folder / "models--some--one"


def cache(folder: Path) -> Path:
    return repository(folder).parent


def home(folder: Path) -> Path:
    repository(folder / "hub")
    return folder


def checkpoints(folder: Path) -> Path:
    for step in (100, 200):
        (folder / f"checkpoint-{step}").mkdir(parents=True)
        (folder / f"checkpoint-{step}" / "config.json").write_text("{}")
    return folder


def gguf(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.Q4_0.gguf").write_bytes(b"GGUF")
    return folder


def original(folder: Path) -> Path:
    folder.mkdir()
    (folder / "params.json").write_text("{}")
    (folder / "consolidated.00.pth").write_bytes(b"")
    return folder


PLACES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "adapter": (adapter, r"holds an adapter to some/base .*not a model; give it as `adapter:`"),
    "adapter beside weights": (beside, r"whole weights and beside them an adapter to some/base"),
    "repository of the cache": (repository, r"give `hub: some/one` with `revision: aaaa"),
    "cache": (cache, r"is the hub's cache, which holds some/one; give one of them as `hub:`"),
    "home of the cache": (home, r"is the hub's cache, which holds some/one"),
    "checkpoints": (checkpoints, r"2 of its folders do: checkpoint-100, checkpoint-200; give one"),
    "GGUF folder": (gguf, r"holds a GGUF file; give it as `gguf: .*model.Q4_0.gguf`"),
    "GGUF file": (
        lambda f: gguf(f) / "model.Q4_0.gguf",
        r"is a GGUF file; give it as `gguf:` instead",
    ),
    "a file": (lambda f: gguf(f).with_name("x.safetensors"), r"is a file; give the folder"),
    "original weights": (original, r"their author's own format .*transformers' format"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_what_lies_there_is_told(tmp_path: Path, kind: str):
    make, words = PLACES[kind]
    path = make(tmp_path / "there")
    if kind == "a file":
        path.write_bytes(b"")
    spec = ModelSpec("m", "instruct", path=str(path))
    for check in (check_files, model_folder, load_model, load_tokenizer):
        with pytest.raises(LengthlensError, match=words):
            check(spec)
    found = check_model(spec, was_fetched=False)
    assert found.state.endswith("not usable")
    assert what_is_wrong([found]) == "m cannot be used"


def test_a_model_and_nothing_are_no_odd_places(tmp_path: Path):
    assert odd_place(POCKET) is None
    assert odd_place(tmp_path / "nothing") is None
    missing = check_model(ModelSpec("m", "base", path=str(tmp_path / "nothing")), False)
    assert missing.state.endswith("not there")
    assert what_is_wrong([missing]) == "m cannot be found or fetched"


KINDS = [
    (
        {"model_type": "omni", "audio_config": {}},
        "multimodal model .'omni', with audio_config.* has no text_config.*give its language model",
    ),
    ({"model_type": "t5", "is_encoder_decoder": True}, "encoder-decoder .'t5'"),
    (
        {"model_type": "vl", "vision_config": {}, "text_config": {"is_encoder_decoder": True}},
        "encoder-decoder .'vl'",
    ),
    ({"model_type": "mamba"}, "recurrent model .'mamba'.* no attention.*give a transformer"),
]


@pytest.mark.parametrize(("config", "words"), KINDS)
def test_other_kinds_of_models_are_told_by_name(tmp_path: Path, config: dict, words: str):
    folder = Path(shutil.copytree(POCKET, tmp_path / "m"))
    plain = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(plain | config))
    with pytest.raises(LengthlensError, match=words):
        check_files(ModelSpec("m", "instruct", path=str(folder)))


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama"},
        {"model_type": "gemma3_text", "layer_types": ["sliding_attention", "full_attention"]},
        {"model_type": "llama4_text", "layer_types": ["chunked_attention", "full_attention"]},
        {"model_type": "any", "vision_config": None},
        {"model_type": "some_vl", "vision_config": {}, "text_config": {}},
        {"model_type": "jamba"},
        {"model_type": "new", "layer_types": ["linear_attention", "full_attention"]},
    ],
)
def test_transformers_hybrids_and_wrappers_are_no_other_kinds(config: dict):
    assert odd_kind(config) is None


def test_code_of_its_own_is_never_advised(tmp_path: Path):
    """transformers says: pass trust_remote_code=True. Nobody should, because of us."""
    folder = Path(shutil.copytree(POCKET, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "configuration_own.Own", "AutoModelForCausalLM": "modeling_own.Own"}
    (folder / "config.json").write_text(
        json.dumps(config | {"model_type": "own_kind", "auto_map": own})
    )
    (folder / "configuration_own.py").write_text("raise SystemExit('run')\n")
    with pytest.raises(LengthlensError) as caught:
        load_model(ModelSpec("m", "instruct", path=str(folder)), device="cpu")
    assert "trust_remote_code" not in str(caught.value)
    assert "code of its own, which is never run" in str(caught.value)
