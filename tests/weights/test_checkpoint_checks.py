"""Spoilt checkpoints: told from their files before anything is loaded, or else on loading."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from examples import at_least
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from lengthlens.errors import LengthlensError
from lengthlens.generation.loaded import load
from lengthlens.models.loading import (
    check_finite,
    load_generation_config,
    load_model,
    load_tokenizer,
)
from lengthlens.weights.checkpoints import ModelSpec, check_files, weights_manifest
from lengthlens.weights.checks import _is_in_transformers, number_of_heads, quick_problems
from lengthlens.weights.presence import check_model

WEIGHTS = "model.safetensors"


@pytest.fixture
def copied(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny_llama_dir, tmp_path / "model"))


def spec_of(folder: Path, variant: str = "instruct", **more) -> ModelSpec:
    return ModelSpec(name="tiny", variant=variant, path=str(folder), **more)


def edit(path: Path, **values) -> None:
    """Put values into a JSON file; None takes a key out."""
    content = json.loads(path.read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in content.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def into_shards(folder: Path) -> list[Path]:
    """Split the weights over two files, as large models are saved."""
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    where = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(weights)}
    for shard in sorted(set(where.values())):
        tensors = {name: weights[name] for name in weights if where[name] == shard}
        save_file(tensors, folder / shard, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return [folder / shard for shard in sorted(set(where.values()))]


def pickles_only(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({}, folder / "consolidated.00.pth")


def a_shard_is_missing(folder: Path) -> None:
    into_shards(folder)[1].unlink()


def a_shard_is_another(folder: Path) -> None:
    first, second = into_shards(folder)
    shutil.copy(first, second)


def larger_vocabulary(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["vocab"]["unheard-of"] = 480
    path.write_text(json.dumps(content), encoding="utf-8")


def nothing_ends(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    edit(folder / "config.json", eos_token_id=None)
    edit(folder / "tokenizer_config.json", eos_token=None)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "pickles": (pickles_only, r"pickled weights .consolidated.00.pth.*save_pretrained"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "holds no weights; expected model.safet"),
    "no config": (lambda f: (f / "config.json").unlink(), "no readable config.json"),
    "broken config": (lambda f: cut(f / "config.json", 40), "no readable config.json"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "no readable config"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "holds no tokenizer"),
    "broken tokenizer": (lambda f: cut(f / "tokenizer.json", 999), "tokenizer.json is damaged"),
    "broken settings": (
        lambda f: (f / "generation_config.json").write_text("{"),
        "generation_config.json is damaged",
    ),
    "no template": (lambda f: (f / "chat_template.jinja").unlink(), "has no chat template"),
    "cut header": (lambda f: cut(f / WEIGHTS, 100), r"damaged or cut short .100 bytes"),
    "cut weights": (lambda f: cut(f / WEIGHTS, 90_000), r"has 90000 bytes instead of \d+"),
    "empty weights": (lambda f: cut(f / WEIGHTS, 0), r"damaged or cut short .0 bytes"),
    "longer weights": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes() + b"more"),
        "it is not whole",
    ),
    "git lfs": (
        lambda f: (f / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\n"),
        "run `git lfs pull`",
    ),
    "missing shard": (a_shard_is_missing, "names the weight file model-00002-of-00002"),
    "wrong shard": (a_shard_is_another, r"lacks \d+ tensors that model.safetensors.index"),
    "quantized": (
        lambda f: edit(f / "config.json", quantization_config={"quant_method": "gptq", "bits": 4}),
        r"is quantized .gptq.*float32, float16 or bfloat16",
    ),
    "own code": (
        lambda f: edit(f / "config.json", model_type="homemade", auto_map={"AutoConfig": "a.B"}),
        "'homemade' comes as code of its own .* is never run",
    ),
    "vocabulary": (larger_vocabulary, "has tokens up to id 480, but the model has 480"),
    "nothing ends": (nothing_ends, "says which token ends an answer.*add `stop_tokens:`"),
    "dangling link": (
        lambda f: (f / "vocab.json").symlink_to("gone.json"),
        "vocab.json is a link that leads nowhere",
    ),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_checkpoint_is_told_before_it_is_loaded(copied: Path, kind: str):
    spoil, words = SPOILT[kind]
    assert check_files(spec_of(copied)) == copied
    spoil(copied)
    with pytest.raises(LengthlensError, match=words) as caught:
        check_files(spec_of(copied))
    assert str(caught.value).startswith("Model tiny: ")
    assert check_model(spec_of(copied), was_fetched=False).problem == str(caught.value)


@pytest.mark.parametrize("kind", sorted(set(SPOILT) - {"dangling link", "vocabulary"}))
def test_a_spoilt_checkpoint_is_told_on_loading_too(copied: Path, kind: str):
    """Whatever transformers makes of it: no other exception, and no result."""
    SPOILT[kind][0](copied)
    with pytest.raises(LengthlensError, match="tiny|model"):
        load(spec_of(copied)).encode("The sea.", "2026-01-01")


def test_a_token_without_a_row_in_the_model_is_refused_in_a_prompt(copied: Path):
    tokenizer = load_tokenizer(spec_of(copied))
    tokenizer.add_tokens(["unheard-of"])
    tokenizer.save_pretrained(copied)
    assert check_files(spec_of(copied))  # padding is often added so, and never read
    loaded = load(spec_of(copied))
    assert max(loaded.encode("The sea.", "2026-01-01")) < 480
    with pytest.raises(LengthlensError, match="writes 'unheard-of' as id 480, but the model has"):
        loaded.encode("An unheard-of sea.", "2026-01-01")


def test_everything_wrong_is_told_at_once(copied: Path):
    (copied / "tokenizer.json").unlink()
    cut(copied / WEIGHTS, 10)
    with pytest.raises(LengthlensError) as caught:
        check_files(spec_of(copied))
    assert str(caught.value).count("\n  - ") == 2


def test_code_of_an_architecture_that_transformers_knows_is_passed_over(copied: Path):
    """Some repositories still carry the code that transformers has taken in since."""
    edit(copied / "config.json", auto_map={"AutoConfig": "configuration_llama.LlamaConfig"})
    assert quick_problems(copied) == []
    assert load_model(spec_of(copied), device="cpu").config.model_type == "llama"


def test_whole_shards_are_right(copied: Path):
    into_shards(copied)
    assert check_files(spec_of(copied)) == copied
    assert load_model(spec_of(copied), device="cpu").config.num_hidden_layers == 2


def test_stop_tokens_of_the_configuration_are_an_end(copied: Path):
    nothing_ends(copied)
    assert check_files(spec_of(copied, stop_tokens=("\n",))) == copied


def test_files_that_may_not_be_read_are_named(copied: Path, monkeypatch: pytest.MonkeyPatch):
    """Asked of the system, for tests may run as a user who may read everything."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != WEIGHTS)
    with pytest.raises(LengthlensError, match=f"{WEIGHTS} may not be read by you"):
        check_files(spec_of(copied))


def test_a_folder_that_may_not_be_entered(copied: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(LengthlensError, match="may not be read .*Permission denied.*permission"):
        check_files(spec_of(copied))


def test_heads_are_read_from_the_configuration(copied: Path, tmp_path: Path):
    assert number_of_heads(copied) == (2, 4)
    edit(copied / "config.json", num_attention_heads="4")
    assert number_of_heads(copied) is None
    assert number_of_heads(tmp_path / "nowhere") is None


# --- what only loading can tell ---------------------------------------------------------------


def test_a_configuration_of_another_model(copied: Path):
    edit(copied / "config.json", vocab_size=600)
    with pytest.raises(LengthlensError, match="Model tiny"):
        load_model(spec_of(copied), device="cpu")


def test_an_unknown_architecture(copied: Path):
    edit(copied / "config.json", model_type="homemade")
    with pytest.raises(LengthlensError, match="Model tiny: transformers cannot load"):
        load_model(spec_of(copied), device="cpu")


def test_an_architecture_without_heads(copied: Path):
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=480, hidden_size=16, num_hidden_layers=1, state_size=4)
    MambaForCausalLM(config).save_pretrained(copied)
    with pytest.raises(LengthlensError, match="recurrent model .'mamba'.: it has no attention"):
        check_files(spec_of(copied))


def test_a_broken_tokenizer_and_a_broken_generation_config(copied: Path):
    (copied / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": 3}}')
    with pytest.raises(LengthlensError, match="cannot load the tokenizer"):
        load_tokenizer(spec_of(copied))
    (copied / "generation_config.json").write_text("[")
    with pytest.raises(LengthlensError, match="generation_config.json cannot be read"):
        load_generation_config(spec_of(copied))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_single_number_that_is_not_finite_is_found(copied: Path, value: float):
    weights = load_file(copied / WEIGHTS)
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] = value
    save_file(weights, copied / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(LengthlensError) as caught:
        load_model(spec_of(copied), device="cpu")
    assert "1 of the 2048 numbers of 'model.layers.1.mlp.down_proj.weight'" in str(caught.value)
    assert "the checkpoint is damaged" in str(caught.value)


def test_numbers_that_float16_cannot_hold_are_found(copied: Path):
    weights = load_file(copied / WEIGHTS)
    weights["model.norm.weight"][:] = 1e6
    weights["lm_head.weight"][0, :2] = -1e6
    save_file(weights, copied / WEIGHTS, metadata={"format": "pt"})
    assert load_model(spec_of(copied), device="cpu")
    with pytest.raises(LengthlensError, match="set generation.dtype to bfloat16") as caught:
        load_model(spec_of(copied), dtype="float16", device="cpu")
    assert "32 of the 32 numbers of 'model.norm.weight'" in str(caught.value)
    assert "some of 1 other weights" in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_finite_weights_pass_in_every_precision(tiny_llama_dir: Path, dtype: torch.dtype):
    spec = spec_of(tiny_llama_dir)
    model = load_model(spec, device="cpu").to(dtype)
    check_finite(spec, model)
    model.lm_head.weight[0, 0] = torch.nan
    with pytest.raises(LengthlensError, match="lm_head.weight"):
        check_finite(spec, model)


def test_a_fetched_hub_model_is_checked_without_the_hub(tiny_llama_dir, tmp_path, monkeypatch):
    """What is wrong with a whole model is told, and not that it should be fetched."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = tmp_path / "models--someone--tiny" / "snapshots" / commit
    shutil.copytree(tiny_llama_dir, folder)
    spec = ModelSpec("tiny", "instruct", hub="someone/tiny", revision=commit)
    assert check_model(spec, was_fetched=False).problem is None
    (folder / "chat_template.jinja").unlink()
    assert "has no chat template" in check_model(spec, was_fetched=False).problem
    (folder / "tokenizer.json").unlink()
    assert "HF_HUB_OFFLINE forbids" in check_model(spec, was_fetched=False).problem


def test_every_architecture_of_transformers_is_known_by_its_folder():
    """Else a model that still carries its old code would be refused though it can be loaded."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    unknown = [kind for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if not _is_in_transformers(kind)]
    assert unknown == []
    assert not _is_in_transformers("homemade") and not _is_in_transformers(3)


def test_an_index_cannot_lead_out_of_the_folder(copied: Path):
    into_shards(copied)
    index = copied / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00002", "../model-00002"))
    with pytest.raises(LengthlensError, match="which lies elsewhere"):
        check_files(spec_of(copied))


# --- any damage whatsoever --------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")


@settings(max_examples=at_least(80), deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(FILES), data=st.data(), value=JSON)
def test_odd_values_in_any_json_file_raise_nothing_else(
    tiny_llama_dir, tmp_path, name, data, value
):
    folder = Path(shutil.copytree(tiny_llama_dir, tmp_path / "m", dirs_exist_ok=True))
    content = json.loads((folder / name).read_text(encoding="utf-8"))
    odd = ["text_config", "quantization_config", "auto_map", "model"]
    content[data.draw(st.sampled_from([*content, *odd]))] = value
    (folder / name).write_text(json.dumps(content), encoding="utf-8")
    with contextlib.suppress(LengthlensError):
        check_files(spec_of(folder))
        number_of_heads(folder)
        weights_manifest(spec_of(folder))


@settings(max_examples=at_least(80), deadline=None, suppress_health_check=list(HealthCheck))
@given(size=st.integers(0, 199_391) | st.integers(0, 20), first=st.binary(max_size=16))
def test_any_cut_or_overwritten_beginning_of_the_weights_is_told(
    tiny_llama_dir, tmp_path, size: int, first: bytes
):
    folder = Path(shutil.copytree(tiny_llama_dir, tmp_path / "m", dirs_exist_ok=True))
    whole = (folder / WEIGHTS).read_bytes()
    cut_off = first + whole[len(first) : size]
    assert cut_off != whole
    (folder / WEIGHTS).write_bytes(cut_off)
    with pytest.raises(LengthlensError, match=WEIGHTS):
        check_files(spec_of(folder))
