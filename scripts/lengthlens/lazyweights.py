"""A model's readout straight from its checkpoint, reading nothing else.

The model's skeleton is built on the meta device, which takes no memory, and names the parameters;
each is then read from the safetensors file that holds it.
"""

from __future__ import annotations

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from lengthlens.checkpoints import ModelSpec, model_folder, weight_files
from lengthlens.errors import LengthlensError
from lengthlens.readout import Readout, readout_of


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
        skeleton = AutoModelForCausalLM.from_config(config)
    holder = {}
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as opened:
            holder |= dict.fromkeys(opened.keys(), path)
    prefix = f"{skeleton.base_model_prefix}."

    def weight(name: str) -> Tensor:
        # Some checkpoints hold the base model alone and leave out its prefix.
        for candidate in (name, name.removeprefix(prefix)):
            if candidate in holder:
                with safe_open(holder[candidate], framework="pt") as opened:
                    return opened.get_tensor(candidate).to(getattr(torch, dtype))
        raise LengthlensError(
            f"Model {spec.name}: no weight {name!r} in {folder}; the checkpoint is not whole"
        )

    return readout_of(skeleton, weight)
