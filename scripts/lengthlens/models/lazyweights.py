"""A model's readout straight from its checkpoint, reading nothing else where that is possible.

The model's skeleton is built on the meta device, which takes no memory, and names the parameters;
each is then read from the safetensors file that holds it. Some checkpoints store weights under
names that transformers changes as it loads them (Pythia's `embed_out` becomes `lm_head`), and some
models scale the stream by numbers that are no weights (Gemma 4): such a model is loaded whole.
"""

from __future__ import annotations

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig

from lengthlens.models.loading import auto_class, load_model
from lengthlens.models.readout import Readout, readout_of
from lengthlens.weights.checkpoints import ModelSpec, model_folder, weight_files
from lengthlens.weights.quantized import SCALES


def read_readout(spec: ModelSpec, dtype: str) -> Readout:
    """Output projections, final norm and unembedding of a checkpoint, on the CPU.

    Args:
        spec: which model.
        dtype: the precision that the model ran in ("float32", "float16", "bfloat16"): weights are
            rounded as they were then.

    Raises:
        LengthlensError: the checkpoint lacks a weight.
    """
    folder = model_folder(spec)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        skeleton = auto_class(config).from_config(config)
    stored, aliases = {}, _aliases(skeleton)
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as opened:
            stored |= dict.fromkeys(opened.keys(), path)
    # The checkpoint of a base model lacks the prefix.
    prefix = f"{skeleton.base_model_prefix}."

    def weight(name: str) -> Tensor:
        names = [key for alias in aliases[name] for key in (alias, alias.removeprefix(prefix))]
        key = next((key for key in names if key in stored), None)
        if key is None:
            raise LookupError(name)
        found, scales = tensor(key), f"{key}{SCALES}"
        if scales in stored:
            found = _scaled(found, tensor(scales))
        return found.to(getattr(torch, dtype))

    def tensor(key: str) -> Tensor:
        with safe_open(stored[key], framework="pt") as opened:
            return opened.get_tensor(key)

    try:
        return readout_of(skeleton, weight)
    except LookupError:
        return readout_of(load_model(spec, dtype, "cpu"))


def _scaled(weight: Tensor, scales: Tensor) -> Tensor:
    """FP8 numbers times the scales of their blocks, in float32 (`weights.quantized`)."""
    scales = scales.float().reshape(scales.shape if scales.ndim == 2 else (1, 1))
    for dim, (size, blocks) in enumerate(zip(weight.shape, scales.shape, strict=True)):
        scales = scales.repeat_interleave(size // blocks, dim)
    return weight.float() * scales


def _aliases(skeleton) -> dict[str, list[str]]:
    """All names of every parameter; tied ones have several, and any may be the stored one."""
    by_parameter: dict[int, list[str]] = {}
    for name, parameter in skeleton.named_parameters(remove_duplicate=False):
        by_parameter.setdefault(id(parameter), []).append(name)
    return {name: names for names in by_parameter.values() for name in names}
