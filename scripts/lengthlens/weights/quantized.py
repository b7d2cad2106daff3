"""Quantized checkpoints in transformers' format: which are read, and what their headers must hold.

Attribution reads weights as plain numbers. Two formats are turned into such as they are loaded, by
transformers, on any machine (`models.loading`); what is read is what the stored numbers stand for,
weights only: a precision of activations that a checkpoint asks for is not applied.

| method | a weight is | scales |
|---|---|---|
| `fp8` | FP8 (E4M3) numbers times the scale of their block | `weight_scale_inv`, or one in all |
| `mxfp4` | 32 numbers of 4 bits in 16 bytes times a power of 2 | `…_scales` beside `…_blocks` |

transformers takes the size of a block from the shapes of weight and scales. Where a weight is not
made of whole blocks, that is another size than the one that was stored, so it is refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lengthlens.errors import LengthlensError
from lengthlens.weights.shape import text_part
from lengthlens.weights.tensors import Tensor

FP8, MXFP4 = "fp8", "mxfp4"
SCALES, ACTIVATIONS = "_scale_inv", ".activation_scale"
_BLOCKS = ("gate_up_proj_blocks", "down_proj_blocks")
_GROUP = 32  # numbers of MXFP4 with one scale
_NEEDED = {"bitsandbytes": "bitsandbytes", "compressed-tensors": "compressed-tensors"}
_CURE = (
    "give the checkpoint in float32, float16 or bfloat16 that it was made from, or one in FP8, "
    "MXFP4 or GGUF"
)


def quantization_of(config: Mapping) -> dict[str, Any] | None:
    """What a config.json says of quantization; None where the weights are plain."""
    for part in (config, text_part(config)):
        if found := part.get("quantization_config"):
            return dict(found) if isinstance(found, Mapping) else {}
    return None


def method_problem(quantization: Mapping) -> str | None:
    """Why a method of quantization is not read, with the cure; None if it is."""
    method = quantization.get("quant_method")
    if method in (FP8, MXFP4):
        return None
    why = "transformers has no way that was proven to turn such weights into plain numbers"
    if package := _NEEDED.get(str(method)):
        why = (
            f"transformers turns such weights into plain numbers only with the package {package}, "
            "which is no part of this project"
        )
    told = method or "quantization_config in config.json"
    return f"it is quantized ({told}), attribution reads plain numbers, and {why}; {_CURE}"


def plain_tensors(quantization: Mapping | None, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that a checkpoint's stand for, as they are once dequantized.

    Args:
        quantization: what its config.json says of it (`quantization_of`).
        tensors: as stored.

    Raises:
        LengthlensError: a quantized tensor is not as its method stores it; names it, with the cure.
    """
    method = (quantization or {}).get("quant_method")
    if method not in (FP8, MXFP4):
        return dict(tensors)
    plain = _from_fp8(_blocks(quantization), tensors) if method == FP8 else _from_mxfp4(tensors)
    if plain == tensors:
        raise _odd(f"config.json declares {method}, but none of its tensors is quantized")
    return plain


def summary(quantization: Mapping, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """How a checkpoint is quantized, ready for JSON.

    Returns:
        `method`; `blocks`: the numbers with one scale, by rows and columns (null: a whole weight);
        `tensors`: how many are stored in which type; `numbers`: that all of them stand for.
    """
    fp8 = quantization["quant_method"] == FP8
    numbers = sum(math.prod(t.shape) for t in plain_tensors(quantization, tensors).values())
    return {
        "method": quantization["quant_method"],
        "blocks": _blocks(quantization) if fp8 else [1, _GROUP],
        "tensors": dict(sorted(Counter(tensor.dtype for tensor in tensors.values()).items())),
        "numbers": numbers,
    }


def in_words(found: Mapping[str, Any], dtype: str) -> str:
    """A `summary` as a sentence, with the precision that the weights are used in."""
    blocks, types = found["blocks"], found["tensors"]
    each = "one scale a weight" if blocks is None else f"blocks of {blocks[0]} × {blocks[1]}"
    return (
        f"its weights are quantized ({found['method'].upper()}, {each}; "
        f"{', '.join(f'{count} {kind}' for kind, count in types.items())} tensors) and are "
        f"dequantized into {dtype} as they are loaded"
    )


def _blocks(quantization: Mapping) -> list[int] | None:
    """Rows and columns of FP8 with one scale; None where a weight has one."""
    found = quantization.get("weight_block_size", [128, 128])  # transformers' default
    if found is None:
        return None
    pair = isinstance(found, list) and len(found) == 2
    if not pair or not all(type(size) is int and size > 0 for size in found):
        raise _odd(f"weight_block_size is {found!r} in config.json, not two numbers")
    return found


def _from_fp8(blocks: list[int] | None, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = {}
    for name, tensor in tensors.items():
        if name.endswith(ACTIVATIONS):
            continue
        if name.endswith(SCALES):
            weight = name.removesuffix(SCALES)
            if not getattr(tensors.get(weight), "dtype", "").startswith("F8"):
                raise _odd(f"there are scales {name!r}, but no {weight!r} in FP8")
        elif tensor.dtype.startswith("F8"):
            _check_fp8(name, tensor, tensors.get(name + SCALES), blocks)
            plain[name] = replace(tensor, dtype="F32")
        else:
            plain[name] = tensor
    return plain


def _check_fp8(name: str, weight: Tensor, scales: Tensor | None, blocks: list[int] | None) -> None:
    """Whether an FP8 tensor and its scales are what transformers takes them for."""
    if weight.dtype != "F8_E4M3" or len(weight.shape) != 2 or not name.endswith(".weight"):
        raise _odd(f"{name!r} is of type {weight.dtype} and shape {list(weight.shape)}")
    if scales is None:
        raise _odd(f"{name!r} has no scales ({name + SCALES!r})")
    if scales.dtype not in ("F32", "BF16", "F16"):
        raise _odd(f"the scales of {name!r} are of type {scales.dtype}")
    if blocks is None:
        if math.prod(scales.shape) != 1:
            raise _odd(f"{name!r} has scales of shape {list(scales.shape)} and no blocks")
        return
    # A weight smaller than a block has one of its own size.
    pairs = list(zip(weight.shape, blocks, strict=True))
    wanted = tuple(math.ceil(size / block) for size, block in pairs)
    whole = all(size % block == 0 or size < block for size, block in pairs)
    if scales.shape != wanted or not whole:
        raise _odd(
            f"{name!r} of shape {list(weight.shape)} with scales {list(scales.shape)} is not made "
            f"of whole blocks of {list(blocks)}, and transformers would take them for others"
        )


def _from_mxfp4(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = {}
    for name, tensor in tensors.items():
        if name.endswith(_BLOCKS):
            scales = tensors.get(name.removesuffix("blocks") + "scales")
            if (
                {tensor.dtype, getattr(scales, "dtype", None)} != {"U8"}
                or len(tensor.shape) != 4
                or tensor.shape[3] != _GROUP // 2
                or scales.shape != tensor.shape[:3]
            ):
                raise _odd(f"{name!r} has shape {list(tensor.shape)} and scales {scales}")
            experts, rows, groups, _ = tensor.shape
            shape = (experts, _GROUP * groups, rows)
            plain[name.removesuffix("_blocks")] = Tensor("F32", shape)
        elif not (name.endswith("_scales") and name.removesuffix("scales") + "blocks" in tensors):
            plain[name] = tensor
    return plain


def _odd(told: str) -> LengthlensError:
    return LengthlensError(
        f"its quantized weights are not as transformers reads them: {told}; {_CURE}"
    )
