"""A LoRA adapter is merged into its model as peft says, or refused."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from adapters import TARGETS, write_adapter
from architectures import tiny_model
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_tokenizers import byte_level_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from lengthlens.errors import LengthlensError
from lengthlens.models.merging import merge
from lengthlens.weights.adapters import adapter_problem, unmatched_name
from lengthlens.weights.checkpoints import ModelSpec, check_files, spec_folder, weights_manifest
from lengthlens.weights.made import read_origin
from lengthlens.weights.presence import check_model

FACTORS = "adapter_model.safetensors"
PROMPT = "Write a sentence of exactly five words about the sea!"


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_base(tmp_path_factory.mktemp("bases") / "tiny")


def save_base(folder: Path, **changes) -> Path:
    tokenizer = byte_level_tokenizer()
    # Weights of 16 bits, as most models have: what is merged into them has to keep more.
    model = tiny_model("mistral", torch.bfloat16, vocab_size=len(tokenizer), **changes)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapters") / "mine", base)


@pytest.fixture
def spec(base, adapter, tmp_path) -> ModelSpec:
    return ModelSpec(
        "tuned", "instruct", path=str(base), adapter=str(adapter), made_below=str(tmp_path)
    )


def merged(spec: ModelSpec):
    merge(spec, spec_folder(spec))
    return AutoModelForCausalLM.from_pretrained(spec_folder(spec), dtype="auto")


def test_weights_are_those_of_the_base_plus_the_product(spec, base, adapter):
    found = merged(spec).state_dict()
    own = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).state_dict()
    factors = load_file(adapter / FACTORS)
    changed = set()
    for name, weight in own.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{stem}.lora_A.weight" in factors:
            product = factors[f"{stem}.lora_B.weight"] @ factors[f"{stem}.lora_A.weight"]
            weight = weight + 8 / 2 * product  # alpha / rank
            changed.add(name)
        assert found[name].dtype == torch.float32
        torch.testing.assert_close(found[name], weight, rtol=0, atol=1e-6)
    assert len(changed) == 3 * len(TARGETS)


@pytest.mark.parametrize("kind", [{}, {"use_rslora": True}, {"use_dora": True}])
def test_tokens_are_those_of_peft_itself(kind, base, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", base, **kind)
    spec = ModelSpec("t", "base", path=str(base), adapter=str(adapter), made_below=str(tmp_path))
    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = tokenizer(PROMPT, return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    untuned = model.generate(ids, **settings)
    tuned = PeftModel.from_pretrained(model, adapter)
    found = merged(spec)
    with torch.no_grad():
        torch.testing.assert_close(found(ids).logits, tuned(ids).logits, rtol=1e-4, atol=1e-4)
    wanted = tuned.generate(input_ids=ids, **settings)
    assert found.generate(ids, **settings).tolist() == wanted.tolist() != untuned.tolist()


def test_the_base_keeps_its_settings_and_the_origin_is_told(spec, base, adapter):
    merge(spec, spec_folder(spec))
    folder = check_files(spec)
    config = json.loads((folder / "config.json").read_text())
    own = json.loads((base / "config.json").read_text())
    assert config == own | {"dtype": "float32"}
    generation = "generation_config.json"
    assert (folder / generation).read_bytes() == (base / generation).read_bytes()
    origin = read_origin(folder)
    assert origin["adapter"]["rank"] == 2 and origin["adapter"]["target_modules"] == sorted(TARGETS)
    assert origin["base"]["sha256"] == weights_manifest(spec.base)["sha256"]
    assert len(origin["notes"]) == 1 and "(rank 2; down_proj, q_proj, v_proj)" in origin["notes"][0]
    assert weights_manifest(spec)["source"] == "…/tiny + …/mine"


def test_a_base_without_stop_tokens_gets_none(base, adapter, tmp_path):
    """transformers would write the class's default of 2 into both files."""
    bare = Path(shutil.copytree(base, tmp_path / "tiny"))
    (bare / "generation_config.json").unlink()
    config = json.loads((bare / "config.json").read_text())
    del config["eos_token_id"]
    (bare / "config.json").write_text(json.dumps(config))
    spec = ModelSpec(
        "t", "base", path=str(bare), adapter=str(adapter), made_below=str(tmp_path / "made")
    )
    merge(spec, spec_folder(spec))
    assert not (spec_folder(spec) / "generation_config.json").exists()
    assert "eos_token_id" not in json.loads((spec_folder(spec) / "config.json").read_text())


def test_the_adapters_own_chat_template_counts(spec, base, adapter, tmp_path):
    own = Path(shutil.copytree(adapter, tmp_path / "own"))
    (own / "chat_template.jinja").write_text("{{ messages[0]['content'] }}<|turn|>")
    spec = spec.model_copy(update={"adapter": str(own)})
    merge(spec, spec_folder(spec))
    folder = spec_folder(spec)
    assert (folder / "chat_template.jinja").read_text().endswith("<|turn|>")
    assert read_origin(folder)["notes"][-1] == "it has the adapter's own chat_template.jinja"


def test_another_name_of_the_base_is_told(spec, adapter, tmp_path):
    other = Path(shutil.copytree(adapter, tmp_path / "other"))
    config = json.loads((other / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "some/Thing-8B"
    (other / "adapter_config.json").write_text(json.dumps(config))
    spec = spec.model_copy(update={"adapter": str(other)})
    merge(spec, spec_folder(spec))
    told = read_origin(spec_folder(spec))["notes"][-1]
    assert told == (
        "the adapter names some/Thing-8B as its base, and it was merged into …/tiny: shapes agree, "
        "names do not"
    )


@pytest.mark.parametrize(
    ("declared", "name", "same"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "x: y/SmolLM2-135M-Instruct.Q4_1.gguf", True),
        ("/home/me/smollm2_135m_instruct/", "HuggingFaceTB/SmolLM2-135M-Instruct", True),
        ("HuggingFaceTB/SmolLM2-135M", "SmolLM2-135M-Instruct.Q4_K_M.gguf", False),
        ("HuggingFaceTB/SmolLM2-360M", "SmolLM2-135M.f16.gguf", False),
    ],
)
def test_names_of_bases(declared, name, same, tmp_path):
    about = json.dumps({"base_model_name_or_path": declared})
    (tmp_path / "adapter_config.json").write_text(about)
    assert unmatched_name(tmp_path, (name,)) == (None if same else declared)


def test_what_is_to_be_made_is_looked_at_before_any_job(spec, adapter, tmp_path, monkeypatch):
    found = check_model(spec, False)
    assert found.problem is None and "to be made below" in found.state
    other = settings(adapter, tmp_path / "other", task_type="SEQ_CLS")
    wrong = check_model(spec.model_copy(update={"adapter": str(other)}), False)
    assert wrong.problem.startswith("Model tuned: the adapter") and wrong.there
    gone = check_model(spec.model_copy(update={"path": "gone"}), False)
    assert "there is no folder 'gone'" in gone.problem
    full = namedtuple("usage", "total used free")(10, 10, 0)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: full)
    assert "are free; make room" in check_model(spec, False).problem


# --- refused ---------------------------------------------------------------------------------


def test_an_adapter_of_another_shape(adapter, tmp_path):
    wide = save_base(tmp_path / "wide", hidden_size=96)
    told = adapter_problem(adapter, wide)
    assert "does not fit" in told and "its base is" in told
    assert "is made for 48 numbers" in told and f"of {wide} has 96" in told


def test_an_adapter_of_a_deeper_model(adapter, tmp_path):
    shallow = save_base(tmp_path / "shallow", num_hidden_layers=2)
    told = adapter_problem(adapter, shallow)
    assert f"it has weights of layer 2, but {shallow} has 2 layers" in told


def test_an_adapter_of_a_shallower_model(adapter, tmp_path):
    deep = save_base(tmp_path / "deep", num_hidden_layers=4)
    assert "it has no weights of layer 3 for" in adapter_problem(adapter, deep)


def test_layers_that_were_left_out_on_purpose(base, tmp_path):
    some = write_adapter(tmp_path / "some", base, layers_to_transform=[0, 2])
    assert adapter_problem(some, base) is None


def altered(adapter: Path, folder: Path, change) -> Path:
    shutil.copytree(adapter, folder)
    factors = load_file(folder / FACTORS)
    change(factors)
    save_file(factors, folder / FACTORS)
    return folder


def test_peft_is_not_trusted_to_tell_of_missing_or_further_weights(spec, adapter, tmp_path):
    """Headers do not show these: one factor of a pair, and a module of another name."""
    name = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
    half = altered(adapter, tmp_path / "half", lambda factors: factors.pop(name))
    assert adapter_problem(half, None) is None
    with pytest.raises(LengthlensError, match=rf"lacks 1 weights, such as '{name}'"):
        merge(spec.model_copy(update={"adapter": str(half)}), tmp_path / "made")

    def add(factors) -> None:
        for layer in range(3):
            factors[f"base_model.model.model.layers.{layer}.side.lora_B.weight"] = torch.ones(2, 2)

    more = altered(adapter, tmp_path / "more", add)
    with pytest.raises(LengthlensError, match=r"no place for 3 weights, such as .*side\.lora_B"):
        merge(spec.model_copy(update={"adapter": str(more)}), tmp_path / "made")
    assert not (tmp_path / "made").exists()


def settings(adapter: Path, folder: Path, **changes) -> Path:
    shutil.copytree(adapter, folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    return folder


def test_adapters_that_are_none(adapter, base, tmp_path):
    other = settings(adapter, tmp_path / "prefix", peft_type="PREFIX_TUNING")
    assert "of the kind PREFIX_TUNING, and only LORA" in adapter_problem(other, base)
    other = settings(adapter, tmp_path / "classes", task_type="SEQ_CLS")
    assert "was tuned for SEQ_CLS" in adapter_problem(other, base)
    empty = Path(shutil.copytree(adapter, tmp_path / "empty"))
    (empty / FACTORS).unlink()
    assert f"has no weights: {FACTORS} is missing; save it" in adapter_problem(empty, base)
    (empty / "adapter_model.bin").write_bytes(b"x")
    assert "can run any code when loaded" in adapter_problem(empty, base)
    cut = Path(shutil.copytree(adapter, tmp_path / "cut"))
    (cut / FACTORS).write_bytes((adapter / FACTORS).read_bytes()[:-8])
    assert "it is not whole" in adapter_problem(cut, base)
    assert "there is no adapter folder" in adapter_problem(tmp_path / "none", base)
    above = tmp_path / "above"
    shutil.copytree(adapter, above / "checkpoint-20")
    assert "give one of checkpoint-20 in it" in adapter_problem(above, base)
    assert "holds no adapter" in adapter_problem(base, base)


def test_where_a_package_is_missing_the_command_is_told(adapter, base, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install -r envs/requirements.txt" in adapter_problem(adapter, base)
