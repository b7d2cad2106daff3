"""LoRA adapters as peft saves them: whether one fits a model, told from headers of files alone.

What only peft can tell is found when the adapter is merged (`models.merging`).
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lengthlens.weights import gguf_header
from lengthlens.weights.checks import file_problems, header_tensors, number_of_heads
from lengthlens.weights.json_files import read_json, read_mapping
from lengthlens.weights.places import ADAPTER, base_of
from lengthlens.weights.quantized import plain_tensors, quantization_of
from lengthlens.weights.tensors import Tensor

FACTORS = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_IN_LAYER = re.compile(r".*?\.(?:layers|h|blocks)\.(?P<layer>\d+)\.(?P<module>.+)")
_PRECISION = re.compile(r"([.-](I?Q\d\w*|B?F(16|32)|UD-\w+))?\.gguf$", re.IGNORECASE)


def adapter_problem(folder: Path, base: Path | None) -> str | None:
    """Why an adapter cannot be merged, with the cure; None if it can, as far as files tell.

    Args:
        folder: of the adapter.
        base: the folder of its model, or the GGUF file that it will be made of; None where neither
            is on this machine yet.
    """
    if not folder.is_dir():
        return f"there is no adapter folder {folder}; correct `adapter:` of this model"
    if not (folder / ADAPTER).is_file():
        inside = sorted(path.parent.name for path in folder.glob(f"*/{ADAPTER}"))
        instead = f"; give one of {', '.join(inside[:4])} in it" if inside else ""
        return f"{folder} holds no adapter ({ADAPTER}, as peft's save_pretrained writes){instead}"
    config = read_json(folder / ADAPTER)
    if not isinstance(config, dict):
        return f"{folder / ADAPTER} is damaged: it is no JSON mapping; copy or fetch it again"
    tensors: dict[str, Tensor] = {}
    found = next(_problems(folder, config, tensors), None)
    if found is None and base is not None and base.exists():
        found = next(_misfits(folder, config, tensors, base), None)
    return found


def numbers_in(base: Path) -> int:
    """How many numbers the weights of a model's folder or GGUF file have, from headers alone."""
    return _read_base(base).numbers


def unmatched_name(adapter: Path, names: Sequence[str]) -> str | None:
    """The base that an adapter declares, where it is none of the model's names; else None.

    Names are compared by their last part, without case and what is no letter or digit: an adapter
    that was tuned from a local folder declares its path. A GGUF file's name ends in its precision.
    """
    declared = base_of(adapter / ADAPTER)
    if not declared or _plain(declared) in map(_plain, names):
        return None
    return declared


def _plain(name: str) -> str:
    last = _PRECISION.sub("", name.rstrip("/").rpartition("/")[2])
    return "".join(letter for letter in last.casefold() if letter.isalnum())


def _problems(folder: Path, config: Mapping[str, Any], tensors: dict[str, Tensor]) -> Iterator[str]:
    if importlib.util.find_spec("peft") is None:
        yield (
            f"the adapter {folder} takes the package peft, which is not installed; run "
            f"{gguf_header.INSTALL}"
        )
    kind, task = config.get("peft_type"), config.get("task_type")
    if kind != "LORA":
        yield f"the adapter {folder} is of the kind {kind}, and only LORA can be merged; give one"
    if task not in (None, "CAUSAL_LM"):
        yield f"the adapter {folder} was tuned for {task}; give one of a language model (CAUSAL_LM)"
    if not (folder / FACTORS).is_file():
        pickled = " (adapter_model.bin can run any code when loaded)"
        yield (
            f"the adapter {folder} has no weights: {FACTORS} is missing"
            f"{pickled if (folder / 'adapter_model.bin').is_file() else ''}; save it again with "
            "peft's save_pretrained"
        )
        return
    yield from file_problems(folder / FACTORS, None, tensors)


def _misfits(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Tensor], base: Path
) -> Iterator[str]:
    """Factors without a place in the model, of other shapes, or missing in some layers."""
    model = _read_base(base)
    cure = f"its base is {base_of(folder / ADAPTER) or 'another model'}; give that one"
    layers: dict[str, set[int]] = defaultdict(set)
    for name, tensor in tensors.items():
        place = _IN_LAYER.fullmatch(name.removeprefix(_PREFIX))
        if place and model.layers is not None and int(place["layer"]) >= model.layers:
            yield (
                f"the adapter {folder} does not fit: it has weights of layer {place['layer']}, but "
                f"{base} has {model.layers} layers, from 0 on; {cure}"
            )
        factor = _FACTOR.fullmatch(name.removeprefix(_PREFIX))
        if factor is None:
            continue
        if place:
            layers[_FACTOR.fullmatch(place["module"])["module"]].add(int(place["layer"]))
        sizes = model.shapes.get(factor["module"], ())
        if len(sizes) != 2 or len(tensor.shape) != 2:
            continue
        if config.get("fan_in_fan_out") is True:
            sizes = sizes[::-1]  # out, in
        side = 1 if factor["side"] == "A" else 0
        if tensor.shape[side] != sizes[side]:
            yield (
                f"the adapter {folder} does not fit: {name} is made for {tensor.shape[side]} "
                f"numbers, but {factor['module']} of {base} has {sizes[side]}; {cure}"
            )
    if model.layers is not None:
        yield from _absent(folder, config, layers, model.layers)


def _absent(
    folder: Path, config: Mapping[str, Any], layers: Mapping[str, set[int]], n_layers: int
) -> Iterator[str]:
    """Layers that an adapter should change and has no weights for.

    Left to peft are targets that name layers themselves, and adapters that skip layers on purpose.
    """
    targets = config.get("target_modules")
    chosen = config.get("layers_to_transform"), config.get("exclude_modules")
    if (
        not isinstance(targets, list)
        or any("." in str(name) for name in targets)
        or any(value not in (None, []) for value in chosen)
    ):
        return
    for module, found in layers.items():
        if missing := sorted(set(range(n_layers)) - found):
            yield (
                f"the adapter {folder} does not fit: it has no weights of layer {missing[0]} for "
                f"{module}, and its model has {n_layers} layers; copy it again, or give its own "
                "base"
            )


@dataclass(frozen=True)
class _Base:
    """The model of an adapter, as headers tell it."""

    layers: int | None
    numbers: int  # of all weights together
    shapes: Mapping[str, tuple[int, ...]]  # of modules' weights, by the modules' names


def _read_base(path: Path) -> _Base:
    """The model in a folder, or the one that a GGUF file will become."""
    if path.is_file():
        from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

        header = gguf_header.read_header(path)
        kinds = {name: kind for kind, name in MODEL_ARCH_NAMES.items()}
        layers = header.of_architecture()["block_count"]
        names = get_tensor_name_map(kinds[header.architecture], layers).mapping
        shapes = {
            module: header.tensors.get(f"{name}.weight", ()) for module, (_, name) in names.items()
        }
        return _Base(layers, header.numbers, shapes)
    tensors = plain_tensors(
        quantization_of(read_mapping(path / "config.json")), header_tensors(path)
    )
    shapes = {name.removesuffix(".weight"): tensor.shape for name, tensor in tensors.items()}
    layers, _ = number_of_heads(path) or (None, None)
    return _Base(layers, sum(math.prod(tensor.shape) for tensor in tensors.values()), shapes)
