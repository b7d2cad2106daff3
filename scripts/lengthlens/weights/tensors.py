"""What the headers of safetensors files tell of a checkpoint: tensors that no model would use.

transformers leaves out tensors that its model has no place for, with a warning at most, and the
model that runs is another than the one that was saved. What names and types tell is found here,
from the headers alone; what only the model's own list of parameters tells is found when it is
loaded (`models.load_model`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LONGEST_HEADER = 100_000_000  # the limit of the safetensors library [bytes]

# Tensors without which a model computes the same.
_IGNORABLE = re.compile(
    # Computed from the config: frequencies and angles of rotary positions.
    r"(^|\.)rotary_emb\.(inv_freq|original_inv_freq|cos_cached|sin_cached)$"
    # The causal mask, which older versions saved with the weights.
    r"|(^|\.)(attn|attention|self_attn)\.(masked_)?bias$"
    # The numbers 0, 1, 2, …
    r"|(^|\.)position_ids$"
    # Heads that foretell several tokens at once; decoding token by token has no use for them.
    r"|(^|\.)mtp(_layers)?\."
)

# Names that only quantized weights have beside them, and what wrote them.
_QUANTIZED = {
    r"\.(qweight|qzeros|g_idx)$": "GPTQ or AWQ",
    r"\.weight_packed$": "compressed-tensors",
    r"\.(weight_scale_inv|weight_scale|input_scale|activation_scale)$": "FP8 or INT8 with scales",
    r"\.(SCB|weight_format)$": "bitsandbytes, 8 bits",
    r"\.(absmax|quant_map|nested_absmax|nested_quant_map)$|\.quant_state\.": "bitsandbytes, 4 bits",
    r"_blocks$": "MXFP4",
    r"\.W_q$": "HQQ",
}
_LORA = re.compile(r"(^|\.)lora_(embedding_)?(A|B|magnitude_vector)(\.|$)|\.base_layer\.")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
# What reads images and sounds, whose layers are counted apart.
_TOWER = re.compile(r"(^|[._])(vision|visual|audio|speech|image|video|vq|multi_modal_projector)")
_PLAIN = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True)
class Tensor:
    """One entry of a header: the type as safetensors calls it, such as "BF16"; and the shape."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> tuple[int, dict] | None:
    """Length of a safetensors file's header in bytes, and its tensors; None where it has none."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not (size >= 8 and 0 < length <= min(size - 8, LONGEST_HEADER)):
            return None
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            return None
    if not isinstance(header, dict):
        return None
    header.pop("__metadata__", None)
    return length, header


def tensors_in(header: Mapping) -> dict[str, Tensor]:
    """The tensors of a header, those left out whose entry is odd."""
    found = {}
    for name, entry in header.items():
        if isinstance(entry, dict):
            shape = entry.get("shape")
            numbers = isinstance(shape, list) and all(type(size) is int for size in shape)
            found[name] = Tensor(str(entry.get("dtype")), tuple(shape) if numbers else ())
    return found


def is_ignorable(name: str) -> bool:
    """Whether a model computes the same without this tensor."""
    return bool(_IGNORABLE.search(name))


def is_of_tower(name: str) -> bool:
    """Whether a tensor of a multimodal model reads images or sounds, which text does not pass."""
    return bool(_TOWER.search(name))


def tensor_problems(config: Mapping, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """What names, types and numbers of layers tell is wrong with a checkpoint; with its cure.

    Args:
        config: config.json, or the part of it that speaks of the language model.
        tensors: those of all weight files.
    """
    if lora := sorted(name for name in tensors if _LORA.search(name)):
        yield (
            f"its weights hold {len(lora)} factors of a LoRA adapter that was not merged, such as "
            f"{lora[0]!r}, which would be left out; merge them (peft: merge_and_unload, then "
            "save_pretrained) and give the merged model"
        )
        return
    if found := _quantization(tensors):
        yield (
            f"its weights are quantized ({found}), though config.json has no quantization_config "
            "for them: they would be read as plain numbers; give the checkpoint in float32, "
            "float16 or bfloat16 that it was made from"
        )
        return
    yield from _layer_problems(config, tensors)


def _quantization(tensors: Mapping[str, Tensor]) -> str | None:
    """The format of quantized weights and a tensor that shows it; None for plain weights."""
    for name in sorted(tensors):
        for pattern, form in _QUANTIZED.items():
            if re.search(pattern, name):
                return f"{form}: {name!r}"
    for name, tensor in sorted(tensors.items()):
        if tensor.dtype not in _PLAIN and len(tensor.shape) > 1 and not is_ignorable(name):
            kind = "FP8" if tensor.dtype.startswith("F8") else "integers"
            return f"{kind}: {name!r} is of type {tensor.dtype}"
    return None


def _layer_problems(config: Mapping, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """As many layers in the weights as in the config."""
    names = ("num_hidden_layers", "n_layer")
    told = next(((name, config[name]) for name in names if type(config.get(name)) is int), None)
    numbers: dict[int, str] = {}
    for name in sorted(tensors):
        if (match := _LAYER.search(name)) and not (is_ignorable(name) or is_of_tower(name)):
            numbers.setdefault(int(match[1]), name)
    if told is None or not numbers:
        return
    key, n_layers = told
    further = config.get("num_nextn_predict_layers")  # foretell tokens beyond the next
    last = n_layers + (further if type(further) is int else 0)
    if beyond := sorted(number for number in numbers if number >= last):
        yield (
            f"its weights have {max(numbers) + 1} layers, but {key} in config.json is {n_layers}: "
            f"{numbers[beyond[0]]!r} and others would be left out; correct {key}, or give the "
            "config.json that belongs to these weights"
        )
    if absent := sorted(set(range(n_layers)) - set(numbers)):
        yield (
            f"its weights have no layer {absent[0]}, but {key} in config.json is {n_layers}; "
            f"correct {key}, or give the weights that belong to this config.json"
        )
