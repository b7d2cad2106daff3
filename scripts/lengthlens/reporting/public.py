"""Configuration and provenance for publication, without the folders of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lengthlens.files.sharing import public_path

POCKET = "resources/pocket"


def pocket_models(config: Mapping[str, Any]) -> list[str]:
    """Models that are the project's own toy pair."""
    models = config["models"].items()
    return [name for name, entry in models if str(entry.get("path", "")).startswith(POCKET)]


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the machine's folders: absolute paths keep only their last part."""
    models = {name: _public_entry(entry) for name, entry in config["models"].items()}
    return dict(config) | {"models": models}


def _public_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `models`, and that of a GGUF file in it, without the folders of the machine."""
    paths = ("path", "adapter", "gguf", "file")
    return {
        key: _public_entry(value)
        if key == "gguf" and isinstance(value, Mapping)
        else public_path(value)
        if key in paths
        else value
        for key, value in entry.items()
    }


def public_provenance(made: Mapping) -> dict[str, Any]:
    """Provenance of a model's files as the report shows it."""
    model = made.get("model", {})
    return {
        "source": public_path(model.get("source", "")) if model else "",
        "sha256": model.get("sha256", ""),
        "commit": made.get("commit"),
        "dirty": made.get("dirty"),
        "no_commit": made.get("no_commit", ""),
        "versions": made.get("versions", {}),
    }
