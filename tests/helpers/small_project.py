"""A small project for tests of configurations: languages, a model of a few bytes, valid keys."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from lengthlens.configuration.study import ConfigurationError, Study
from lengthlens.settings.sections import Generation

ROOT = Path(__file__).parents[2]
DEFAULTS = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
TOPICS = ["sea", "moon", "bread", "star", "tower", "horse"]


def generation(**changes: Any) -> Generation:
    """The section `generation` of the defaults, with changes."""
    return Generation(**(DEFAULTS["generation"] | changes))


def changed(settings: Generation, **changes: Any) -> Generation:
    """The settings with changes."""
    return generation(**(settings.model_dump() | changes))


def make_project(folder: Path) -> Path:
    """Two languages of 6 topics × 2 templates, and a model of 2 layers × 4 heads."""
    (folder / "resources/languages").mkdir(parents=True)
    for code in ("en", "it"):
        language = {
            "code": code,
            "name": code,
            "topics": {topic: {"name": topic, "words": [topic]} for topic in TOPICS},
            "templates": {"a": "Write {n} words: {name}.", "b": "In {n} words: {name}."},
            "neutral": ["Nothing."],
        }
        path = folder / f"resources/languages/{code}.yaml"
        path.write_text(yaml.safe_dump(language, sort_keys=False), encoding="utf-8")
    model = folder / "models/small"
    model.mkdir(parents=True)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4}
    (model / "config.json").write_text(json.dumps(sizes), encoding="utf-8")
    (model / "tokenizer.json").write_text("{}", encoding="utf-8")
    save_file({"w": np.zeros((2, 2))}, model / "model.safetensors")
    return folder


def make_config() -> dict[str, Any]:
    """A valid configuration for the project of `root`."""
    config = copy.deepcopy(DEFAULTS)
    config["models"] = {"small": {"path": "models/small", "variant": "base"}}
    config["languages"] = ["en", "it"]
    config["prompts"] = {"per_n": 6, "shard": 4, "seed": 0}
    config["probes"] = {"languages": [], "n_words": [10], "per_n": 6}
    config["ablation"]["untuned"] = []
    return config


def put(config: dict[str, Any], path: list[str], value: Any) -> None:
    """Set the value at a path of keys."""
    for part in path[:-1]:
        config = config[part]
    config[path[-1]] = value


def problems_of(config: Any, root: Path) -> list[str]:
    """What a configuration that must be refused is refused for."""
    with pytest.raises(ConfigurationError) as caught:
        Study.from_config(config, root=root)
    return caught.value.problems
