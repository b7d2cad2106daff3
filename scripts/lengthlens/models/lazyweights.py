"""A model's readout straight from its checkpoint, reading nothing else.

The model's skeleton is built on the meta device, which takes no memory, and names the parameters;
each is then read from the safetensors file that holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, rename_source_key

from lengthlens.errors import LengthlensError
from lengthlens.models.readout import Readout, readout_of
from lengthlens.weights.checkpoints import ModelSpec, model_folder, weight_files


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
    stored = _stored_weights(skeleton, weight_files(folder))
    aliases = _aliases(skeleton)

    def weight(name: str) -> Tensor:
        for alias in aliases[name]:
            if alias in stored:
                path, key = stored[alias]
                with safe_open(path, framework="pt") as opened:
                    return opened.get_tensor(key).to(getattr(torch, dtype))
        raise LengthlensError(
            f"Model {spec.name}: no weight {name!r} in {folder}; the checkpoint is not whole, "
            "fetch or save it again"
        )

    return readout_of(skeleton, weight)


def _stored_weights(skeleton, paths: Sequence[Path]) -> dict[str, tuple[Path, str]]:
    """For each parameter that is stored whole: its file and its name there.

    transformers renames some as it loads them (Pythia's `embed_out` becomes `lm_head`, and the
    prefix that a checkpoint of the base model lacks is added); its own rules are asked.
    """
    rules = get_model_conversion_mapping(skeleton)
    converters = [rule for rule in rules if isinstance(rule, WeightConverter)]
    renamings = [rule for rule in rules if not isinstance(rule, WeightConverter)]
    names = skeleton.state_dict()
    stored = {}
    for path in paths:
        with safe_open(path, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118 - no mapping, though it has keys
                name, converted = rename_source_key(
                    key, renamings, converters, skeleton.base_model_prefix, names
                )
                if converted is None:
                    stored[name] = (path, key)
    return stored


def _aliases(skeleton) -> dict[str, list[str]]:
    """All names of every parameter; tied ones have several, and any may be the stored one."""
    by_parameter: dict[int, list[str]] = {}
    for name, parameter in skeleton.named_parameters(remove_duplicate=False):
        by_parameter.setdefault(id(parameter), []).append(name)
    return {name: names for names in by_parameter.values() for name in names}
