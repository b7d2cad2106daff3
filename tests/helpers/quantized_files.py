"""Checkpoints whose weights are quantized here, with the numbers that they stand for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

Tensors = dict[str, torch.Tensor]
# What each of the 16 codes of four bits stands for: sign, two bits of exponent, one of mantissa.
CODES = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
NOT_FP8 = ("embed_tokens", "lm_head", "norm", "mlp.gate.")


def to_fp8(weight: torch.Tensor, blocks: tuple[int, int] | None) -> tuple[torch.Tensor, ...]:
    """FP8 numbers, their scales, and what they stand for; each block fills the range of FP8."""
    rows, columns = weight.shape
    high, wide = blocks or (rows, columns)
    parts = weight.float().reshape(rows // high, high, columns // wide, wide)
    scales = parts.abs().amax((1, 3), keepdim=True) / 448
    numbers = (parts / scales).to(torch.float8_e4m3fn)
    meant = (numbers.float() * scales).reshape(rows, columns)
    stored = scales[:, 0, :, 0] if blocks else scales.reshape(())
    return numbers.reshape(rows, columns), stored.contiguous(), meant


def to_mxfp4(weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Blocks of 32 numbers along a row, their exponents, and what they stand for."""
    parts = weight.float().unflatten(-1, (-1, 32))
    exponents = parts.abs().amax(-1, keepdim=True).log2().floor() - 2
    codes = (parts[..., None] / 2 ** exponents[..., None] - CODES).abs().argmin(-1)
    meant = (CODES[codes] * 2**exponents).flatten(-2)
    packed = codes[..., 0::2] + 16 * codes[..., 1::2]
    return packed.to(torch.uint8), (exponents[..., 0] + 127).to(torch.uint8), meant


def write_fp8(folder: Path, blocks: tuple[int, int] | None, scales: torch.dtype) -> Tensors:
    """Quantize a folder's linear maps to FP8; what they stand for, by name."""

    def quantize(tensors: Tensors) -> Tensors:
        meant = {}
        for name, weight in list(tensors.items()):
            if weight.ndim == 2 and not any(part in name for part in NOT_FP8):
                tensors[name], scale, _ = to_fp8(weight, blocks)
                tensors[name + "_scale_inv"] = scale = scale.to(scales)
                spread = scale.float()
                if blocks:
                    spread = torch.kron(spread, torch.ones(blocks))
                else:  # which have scales of activations, too
                    tensors[name.replace("weight", "activation_scale")] = torch.ones(())
                meant[name] = tensors[name].float() * spread
        return meant

    settings = {"quant_method": "fp8", "weight_block_size": blocks, "activation_scheme": "dynamic"}
    return change(folder, quantize, settings)


def write_mxfp4(folder: Path) -> Tensors:
    """Quantize a folder's experts, as gpt-oss stores them, to MXFP4."""

    def quantize(tensors: Tensors) -> Tensors:
        meant = {}
        for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
            blocks, scales, values = to_mxfp4(tensors.pop(name).mT)
            tensors |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
            meant[name] = values.mT
        return meant

    return change(folder, quantize, {"quant_method": "mxfp4"})


def change(
    folder: Path, edit: Callable[[Tensors], Tensors | None], settings: dict | None = None
) -> Tensors | None:
    """Edit the tensors of a folder, and set what its config says of quantization."""
    path, config = folder / "model.safetensors", folder / "config.json"
    tensors = load_file(path)
    found = edit(tensors)
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata={"format": "pt"})
    if settings is not None:
        values = json.loads(config.read_text())
        config.write_text(json.dumps(values | {"quantization_config": settings}))
    return found
