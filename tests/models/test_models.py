"""Loading, stop sets and prompts: what is read, what is refused, and in which words."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_tokenizers import byte_level_tokenizer, metaspace_tokenizer
from transformers import GenerationConfig

from lengthlens.errors import LengthlensError
from lengthlens.models.loading import (
    load_generation_config,
    load_model,
    load_tokenizer,
    resolve_device,
    stop_ids,
    text_decoder,
)
from lengthlens.models.prompting import format_prompt
from lengthlens.weights.checkpoints import ModelSpec, weights_manifest

DATE = "2024-07-26"


def spec_of(folder: Path, variant: str = "instruct", **more) -> ModelSpec:
    return ModelSpec(name="tiny", variant=variant, path=str(folder), **more)


@pytest.fixture
def copied(tiny_llama_dir: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may spoil."""
    return Path(shutil.copytree(tiny_llama_dir, tmp_path / "model"))


# --- the entry in the configuration -----------------------------------------------------------


def test_spec_from_config():
    entry = {"hub": "someone/model", "revision": "abc", "variant": "base", "stop_tokens": ["x", 3]}
    spec = ModelSpec.from_config("my-model", entry)
    assert spec.stop_tokens == ("x", 3)
    assert spec.source == "someone/model@abc"
    assert ModelSpec.from_config("m", {"path": "a/b", "variant": "instruct"}).source == "a/b"


@pytest.mark.parametrize(
    ("name", "entry", "words"),
    [
        ("a/b", {"path": "x", "variant": "base"}, "letters, digits and hyphens"),
        ("m", {"path": "x", "variant": "chat"}, "'chat'"),
        ("m", {"path": "x"}, "variant: missing; legal: base or instruct"),
        ("m", {"variant": "base"}, "either a path, a hub"),
        ("m", {"path": "x", "hub": "y", "revision": "z", "variant": "base"}, "either a path"),
        ("m", {"hub": "y", "variant": "base"}, "no revision"),
        ("m", {"path": "x", "variant": "base", "dtype": "float16"}, "dtype: unknown key"),
    ],
)
def test_spec_errors(name, entry, words):
    with pytest.raises(LengthlensError, match=words):
        ModelSpec.from_config(name, entry)


# --- loading ----------------------------------------------------------------------------------


def test_load_model_on_cpu_is_float32_evaluation_without_gradients(copied):
    weights = load_file(copied / "model.safetensors")
    halves = {name: tensor.half() for name, tensor in weights.items()}
    save_file(halves, copied / "model.safetensors", metadata={"format": "pt"})
    model = load_model(spec_of(copied), device="cpu")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    half = load_model(spec_of(copied), dtype="bfloat16", device="cpu")
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("remove", "words"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_missing_files_are_named(copied, remove, words):
    (copied / remove).unlink()
    with pytest.raises(LengthlensError, match=words):
        load_model(spec_of(copied), device="cpu")


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(LengthlensError, match="there is no folder .*nowhere"):
        load_tokenizer(spec_of(tmp_path / "nowhere"))


def test_pickled_weights_are_refused(copied):
    (copied / "model.safetensors").unlink()
    torch.save({}, copied / "pytorch_model.bin")
    with pytest.raises(LengthlensError, match="pickled weights .pytorch_model.bin"):
        load_model(spec_of(copied), device="cpu")


def test_incomplete_weights_are_refused(copied):
    weights = load_file(copied / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LengthlensError, match="lacks 1 weights.*layers.1.mlp.up_proj"):
        load_model(spec_of(copied), device="cpu")


def test_missing_shard_is_named(copied):
    (copied / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(LengthlensError, match="model-00001-of-00002"):
        load_model(spec_of(copied), device="cpu")


def test_a_checkpoint_with_its_own_code_is_refused(copied):
    config = json.loads((copied / "config.json").read_text())
    config |= {"model_type": "homemade", "auto_map": {"AutoModelForCausalLM": "code.Model"}}
    (copied / "config.json").write_text(json.dumps(config))
    (copied / "code.py").write_text("raise SystemExit('this code must not run')")
    with pytest.raises(LengthlensError, match="without code of its own"):
        load_model(spec_of(copied), device="cpu")


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99"])
def test_wrong_devices(device):
    with pytest.raises(LengthlensError, match=device):
        resolve_device(device)


def test_split_without_accelerate_says_what_to_install(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert resolve_device("split") == torch.device("cuda:0")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(LengthlensError, match="accelerate.*pip install -r envs/requirements"):
        resolve_device("split")


def test_wrong_dtype(tiny_llama_dir):
    with pytest.raises(LengthlensError, match="'int8'"):
        load_model(spec_of(tiny_llama_dir), dtype="int8", device="cpu")


# --- stop sets --------------------------------------------------------------------------------


def test_stop_set_is_the_generation_config_and_the_configured_tokens(tiny_llama_dir):
    plain = spec_of(tiny_llama_dir)
    tokenizer = load_tokenizer(plain)
    turn, end = tokenizer.convert_tokens_to_ids(["<|turn|>", "<|end|>"])
    generation = load_generation_config(plain)
    assert stop_ids(plain, tokenizer, generation) == tuple(sorted([turn, end]))
    assert stop_ids(plain, tokenizer, GenerationConfig(eos_token_id=turn)) == (turn,)
    more = spec_of(tiny_llama_dir, stop_tokens=(7, "\n"))
    line_break = tokenizer.convert_tokens_to_ids("Ċ")
    assert stop_ids(more, tokenizer, generation) == tuple(sorted([turn, end, 7, line_break]))
    assert stop_ids(more, tokenizer, None) == tuple(sorted([7, line_break]))


def test_the_tokenizers_own_end_counts_only_where_nothing_else_is_said(tiny_llama_dir):
    spec = spec_of(tiny_llama_dir)
    tokenizer = load_tokenizer(spec)
    assert stop_ids(spec, tokenizer, None) == (tokenizer.eos_token_id,)
    assert stop_ids(spec, tokenizer, GenerationConfig()) == (tokenizer.eos_token_id,)
    tokenizer.eos_token = None
    with pytest.raises(LengthlensError, match="add `stop_tokens:`"):
        stop_ids(spec, tokenizer, None)


def test_the_default_of_the_class_is_no_stop_token(copied):
    """Llama's config class says eos 2 where the checkpoint says nothing."""
    (copied / "generation_config.json").unlink()
    config = json.loads((copied / "config.json").read_text())
    written = config.pop("eos_token_id")
    (copied / "config.json").write_text(json.dumps(config))
    assert load_model(spec_of(copied), device="cpu").config.eos_token_id == 2
    assert load_generation_config(spec_of(copied)) is None
    (copied / "config.json").write_text(json.dumps(config | {"eos_token_id": written}))
    assert load_generation_config(spec_of(copied)).eos_token_id == written


@pytest.mark.parametrize(
    ("token", "words"),
    [("two words", "is not one token but"), (10_000, "outside of the tokenizer"), (-1, "-1")],
)
def test_wrong_stop_tokens(tiny_llama_dir, token, words):
    with pytest.raises(LengthlensError, match=words):
        spec = spec_of(tiny_llama_dir, stop_tokens=(token,))
        stop_ids(spec, load_tokenizer(spec), None)


# --- prompts ----------------------------------------------------------------------------------


def test_base_prompt_is_plain_text_and_a_line_break(tiny_llama_dir):
    spec = spec_of(tiny_llama_dir, variant="base")
    tokenizer = load_tokenizer(spec)
    ids = format_prompt(spec, tokenizer, "Write about the sea.", DATE)
    assert ids[0] == tokenizer.bos_token_id and ids.count(ids[0]) == 1
    assert tokenizer.decode(ids[1:]) == "Write about the sea.\n"


def test_base_prompt_never_ends_in_an_end_token():
    from tokenizers.processors import TemplateProcessing

    tokenizer = metaspace_tokenizer()
    ends = [("<s>", 1), ("</s>", 2)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=ends
    )
    ids = format_prompt(ModelSpec("m", "base", path="x"), tokenizer, "The sea.", DATE)
    assert tokenizer("The sea.\n").input_ids == [*ids, 2]


def test_instruct_prompt_is_the_users_turn_of_the_chat_template(tiny_llama_dir):
    spec = spec_of(tiny_llama_dir)
    tokenizer = load_tokenizer(spec)
    ids = format_prompt(spec, tokenizer, "Write about the sea.", DATE)
    assert tokenizer.decode(ids) == (
        "<|begin|><|start|>user\nWrite about the sea.<|turn|><|start|>assistant\n"
    )


def test_the_date_is_fixed_however_the_template_asks_for_it():
    tokenizer = byte_level_tokenizer()
    spec = ModelSpec("m", "instruct", path="x")
    asked = "{{ messages[0].content }}"
    dates = "{{ date_string }} {{ strftime_now('%Y-%m-%d') }}"
    tokenizer.chat_template = f"{asked} {dates}"
    ids = format_prompt(spec, tokenizer, "Hi.", DATE)
    assert tokenizer.decode(ids) == "Hi. 26 Jul 2024 2024-07-26"
    # As Llama 3.2's template does it, after a line break and an indented block.
    tokenizer.chat_template = (
        "\n{% if strftime_now is defined %}\n"
        "  {%- set today = strftime_now('%d %B %Y') %}\n  {% endif %}\n[{{ today }}] " + asked
    )
    ids = format_prompt(spec, tokenizer, "Hi.", DATE)
    assert tokenizer.decode(ids) == "\n[26 July 2024] Hi."
    shown = tokenizer.apply_chat_template([{"role": "user", "content": "Hi."}], tokenize=False)
    assert shown.startswith("\n[") and shown.endswith("] Hi.")
    with pytest.raises(LengthlensError, match="'26 Jul 2024'; write it like"):
        format_prompt(spec, tokenizer, "Hi.", "26 Jul 2024")


def test_instruct_without_template_and_empty_prompts_are_refused():
    tokenizer = metaspace_tokenizer()
    with pytest.raises(LengthlensError, match="no chat template"):
        format_prompt(ModelSpec("m", "instruct", path="x"), tokenizer, "Hi.", DATE)
    with pytest.raises(LengthlensError, match="empty"):
        format_prompt(ModelSpec("m", "base", path="x"), tokenizer, " \n", DATE)


def test_text_decoder_edits_nothing(tiny_llama_dir):
    tokenizer = load_tokenizer(spec_of(tiny_llama_dir))
    ids = tokenizer(" The sea , calm .").input_ids
    decode = text_decoder(tokenizer)
    assert decode([*ids, tokenizer.eos_token_id]) == " The sea , calm ."


# --- Llama 3's own tokenizer ------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama3_shaped_dir(llama3_dir, tmp_path_factory) -> Path:
    """Llama 3's real tokenizer beside a generation config like Llama 3.1's and tiny weights."""
    from tiny_llama import tiny_llama

    folder = tmp_path_factory.mktemp("llama3")
    shutil.copytree(llama3_dir, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    model = tiny_llama(
        128_256,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    model.generation_config.eos_token_id = [128_001, 128_008, 128_009]
    model.save_pretrained(folder)
    return folder


def test_llama3_stop_set_and_prompts(llama3_shaped_dir):
    base, instruct = (spec_of(llama3_shaped_dir, variant) for variant in ("base", "instruct"))
    tokenizer = load_tokenizer(instruct)
    generation = load_generation_config(instruct)
    assert stop_ids(instruct, tokenizer, generation) == (128_001, 128_008, 128_009)
    sentence = [2028, 374, 264, 1296, 11914, 13]
    plain = format_prompt(base, tokenizer, "This is a test sentence.", DATE)
    # Llama 3 writes a full stop and a line break as one token.
    assert plain == [128_000, *sentence[:-1], tokenizer.convert_tokens_to_ids(".Ċ")]
    chat = format_prompt(instruct, tokenizer, "This is a test sentence.", DATE)
    user, assistant, break_ = (
        tokenizer.convert_tokens_to_ids(x) for x in ("user", "assistant", "ĊĊ")
    )
    assert chat == [
        *[128_000, 128_006, user, 128_007, break_, *sentence, 128_009],
        *[128_006, assistant, 128_007, break_],
    ]


# --- the manifest -----------------------------------------------------------------------------


def test_manifest_knows_every_byte_and_no_place(tiny_llama_dir, copied):
    import hashlib

    first = weights_manifest(spec_of(tiny_llama_dir))
    weights = (tiny_llama_dir / "model.safetensors").read_bytes()
    entry = {"sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights)}
    assert first["files"]["model.safetensors"] == entry
    assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= set(first["files"])
    assert first["bytes"] == sum(entry["bytes"] for entry in first["files"].values())

    (copied / "README.md").write_text("changes nothing")
    (copied / "unused.safetensors").write_bytes(b"changes nothing")
    moved = weights_manifest(spec_of(copied))
    assert moved | {"source": first["source"]} == first

    template = copied / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    edited = weights_manifest(spec_of(copied))
    assert edited["weights_sha256"] == first["weights_sha256"]
    assert edited["sha256"] != first["sha256"]


def test_a_hub_model_comes_from_the_cache_without_a_network(tiny_llama_dir, tmp_path, monkeypatch):
    """A hub model in huggingface_hub's cache: same files, same hashes as the folder."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    shutil.copytree(tiny_llama_dir, tmp_path / "models--someone--tiny" / "snapshots" / commit)
    spec = ModelSpec("tiny", "instruct", hub="someone/tiny", revision=commit)
    manifest = weights_manifest(spec)
    local = weights_manifest(spec_of(tiny_llama_dir))
    assert manifest["sha256"] == local["sha256"]
    assert manifest["source"] == f"someone/tiny@{commit}"
    missing = ModelSpec("tiny", "instruct", hub="someone/else", revision=commit)
    with pytest.raises(LengthlensError, match="not in the hub's cache.*hf download someone/else"):
        weights_manifest(missing)
