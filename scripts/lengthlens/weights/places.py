"""What lies at a path that is no model's folder, and what to give instead.

People give what their tools left: an adapter, the cache of the hub, a folder of checkpoints, a
GGUF file. Each is told by name, so that the cure is one step.
"""

from __future__ import annotations

import re
from pathlib import Path

from lengthlens.weights.json_files import read_mapping

ADAPTER = "adapter_config.json"
_SHOWN = 4  # folders that a message lists


def odd_place(path: Path) -> str | None:
    """What is at `path` instead of a model in transformers' format, with the cure; None if it may
    be one (it has a config.json and no adapter beside its weights), or nothing is there."""
    if path.is_file() and path.suffix == ".gguf":
        return f"{path} is a GGUF file; give it as `gguf:` instead of `path:`"
    if path.is_file():
        return (
            f"{path} is a file; give the folder that holds it, with config.json and the tokenizer"
        )
    if not path.is_dir():
        return None
    if (path / ADAPTER).is_file():
        return _adapter(path)
    if (path / "config.json").is_file():
        return None
    return _cache(path) or _other_format(path) or _above(path)


def _adapter(folder: Path) -> str:
    base = base_of(folder / ADAPTER)
    of = f" to {base}" if base else ""
    whole = any(
        path.name.startswith(("model", "pytorch_model"))
        for pattern in ("*.safetensors", "*.bin")
        for path in folder.glob(pattern)
    )
    if whole and (folder / "config.json").is_file():
        return (
            f"{folder} holds whole weights and beside them an adapter{of} ({ADAPTER}): whether the "
            "adapter is applied to them, again, depends on the packages that are installed. If the "
            "weights are merged, move adapter_*.* to another folder; if not, merge them (peft: "
            "merge_and_unload, then save_pretrained) and give the merged model"
        )
    return (
        f"{folder} holds an adapter{of} ({ADAPTER}), such as LoRA's, and not a model; give it as "
        "`adapter:`, beside the `path:`, `hub:` or `gguf:` of its model"
    )


def base_of(path: Path) -> str | None:
    """The model that an adapter's config names as its base."""
    base = read_mapping(path).get("base_model_name_or_path")
    return base if isinstance(base, str) else None


def _cache(folder: Path) -> str | None:
    """The hub's cache: its root, or the folder of a repository in it."""
    name = re.fullmatch(r"models--(.+)", folder.name)
    if name and (folder / "snapshots").is_dir():
        hub = name[1].replace("--", "/", 1)
        commits = sorted(path.name for path in (folder / "snapshots").iterdir())
        more = f" (it holds {len(commits)} revisions: {_listed(commits)})"
        return (
            f"{folder} is the folder of {hub} in the hub's cache; give `hub: {hub}` with "
            f"`revision: {commits[0] if commits else '<commit>'}` instead of `path:`"
            f"{more if len(commits) > 1 else ''}"
        )
    inside = sorted(path.name for path in folder.glob("models--*") if path.is_dir())
    inside = inside or sorted(path.name for path in folder.glob("hub/models--*") if path.is_dir())
    if not inside:
        return None
    hubs = [name.removeprefix("models--").replace("--", "/", 1) for name in inside]
    return (
        f"{folder} is the hub's cache, which holds {_listed(hubs)}; give one of them as `hub:` "
        "with its `revision:` instead of `path:`"
    )


def _other_format(folder: Path) -> str | None:
    """Weights as other programs save them."""
    if gguf := sorted(path.name for path in folder.glob("*.gguf")):
        return f"{folder} holds a GGUF file; give it as `gguf: {folder / gguf[0]}`"
    if (folder / "params.json").is_file() and list(folder.glob("consolidated*")):
        return (
            f"{folder} holds weights in their author's own format (params.json, consolidated.*); "
            "give them in transformers' format, which the same page on the hub mostly has, too"
        )
    return None


def _above(folder: Path) -> str | None:
    """A folder of models' folders: of checkpoints, or snapshots of the hub's cache."""
    below = sorted(path.parent.name for path in folder.glob("*/config.json"))
    adapters = sorted(path.parent.name for path in folder.glob(f"*/{ADAPTER}"))
    if below:
        return (
            f"{folder} holds no model itself, but {len(below)} of its folders do: "
            f"{_listed(below)}; give one of them, such as {folder / below[-1]}"
        )
    if adapters:
        return (
            f"{folder} holds no model, but adapters in {_listed(adapters)}; give one as "
            "`adapter:`, beside the `path:`, `hub:` or `gguf:` of its model"
        )
    return None


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
