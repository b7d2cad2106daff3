"""A model and a LoRA adapter as one model, merged by peft, in float32.

W + scale · B A, or what peft makes of rank-stabilised LoRA and DoRA. It is in float32 whatever the
precision of the base: what a few steps of tuning add to a weight may be less than half a step of 16
bits.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from transformers import PreTrainedModel

from lengthlens.errors import LengthlensError
from lengthlens.files.provenance import versions_of
from lengthlens.files.sharing import public_path
from lengthlens.models.loading import load_model
from lengthlens.weights.adapters import FACTORS, unmatched_name
from lengthlens.weights.checkpoints import (
    ModelSpec,
    file_hash,
    kept_files,
    local_folder,
    spec_folder,
    weight_files,
    weights_manifest,
)
from lengthlens.weights.checks import INDEX, quantized_notes, same_file
from lengthlens.weights.json_files import read_mapping
from lengthlens.weights.made import PRECISION, made_whole, write_origin
from lengthlens.weights.places import ADAPTER
from lengthlens.weights.presence import what_makes
from lengthlens.weights.tensors import read_header, tensors_in

# Files of a tokenizer: an adapter that brings its own was tuned with it.
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def merge(spec: ModelSpec, folder: Path) -> None:
    """Make a model's folder of its base and its adapter.

    Args:
        spec: a model with an adapter.
        folder: of the merged model; appears when it is whole.

    Raises:
        LengthlensError: the adapter does not fit, or the disk is full.
    """
    adapter, base = local_folder(spec.adapter, spec.root), weights_manifest(spec.base)
    from_folder = spec_folder(spec.base)
    if problem := what_makes(spec, from_folder):
        raise LengthlensError(f"Model {spec.name}: {problem}")
    model = merged(load_model(spec.base, "float32", "cpu"), adapter)
    with made_whole(folder) as made:
        weights = {INDEX, *(path.name for path in weight_files(from_folder))}
        for path in kept_files(from_folder):
            if path.name not in weights:
                shutil.copyfile(path, made / path.name)
        brought = [name for name in _TOKENIZER if (adapter / name).is_file()]
        own = [name for name in brought if not same_file(adapter / name, from_folder / name)]
        model.save_pretrained(made)
        _keep_settings(from_folder, made)
        for name in own:
            shutil.copyfile(adapter / name, made / name)
        write_origin(made, _origin(spec, base, adapter, own))


def merged(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """The model with an adapter merged into its weights.

    Args:
        model: in float32.
        adapter: the folder that peft saved.

    Raises:
        LengthlensError: peft cannot apply it, or the adapter lacks weights or has others besides.
    """
    try:
        tuned = PeftModel.from_pretrained(model, adapter, is_trainable=False)
    except (ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise LengthlensError(
            f"peft cannot apply the adapter {adapter} to this model "
            f"({' '.join(str(error).split())[:300]})"
        ) from error
    header = read_header(adapter / FACTORS)
    held = set(tensors_in(header[1]))
    # NOTE peft only warns of weights that are missing, and of those without a place not even that.
    wanted = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
    nowhere = held - wanted - set(tuned.state_dict())
    for names, told in ((wanted - held, "lacks"), (nowhere, "has no place for")):
        if names:
            raise LengthlensError(
                f"the adapter {adapter} does not fit: the model with it {told} {len(names)} "
                f"weights, such as {min(names)!r}; give the adapter's own base, or copy it again"
            )
    return tuned.merge_and_unload(safe_merge=True)


def _keep_settings(base: Path, made: Path) -> None:
    """Give the model the settings of its base.

    Where there are none, transformers writes the defaults of a class, such as a token that ends
    answers.
    """
    config = read_mapping(base / "config.json")
    config.pop("torch_dtype", None)
    config.pop("quantization_config", None)
    text = json.dumps(config | {"dtype": PRECISION}, indent=2, sort_keys=True) + "\n"
    (made / "config.json").write_text(text, encoding="utf-8")
    generation = "generation_config.json"
    (made / generation).unlink(missing_ok=True)
    if (base / generation).is_file():
        shutil.copyfile(base / generation, made / generation)


def _origin(spec: ModelSpec, base: dict[str, Any], adapter: Path, own: list[str]) -> dict[str, Any]:
    config = read_mapping(adapter / ADAPTER)
    targets = config.get("target_modules")
    targets = sorted(targets) if isinstance(targets, list) else targets
    kinds = {"use_rslora": "rank-stabilised", "use_dora": "DoRA"}
    kind = "".join(f", {told}" for key, told in kinds.items() if config.get(key))
    name = public_path(spec.adapter)
    told = ", ".join(targets) if isinstance(targets, list) else str(targets)
    origin = dict(base.get("origin", {}))
    notes = [
        *origin.pop("notes", []),
        *quantized_notes(spec_folder(spec.base), PRECISION),
        f"the LoRA adapter {name} (rank {config.get('r')}{kind}; {told}) is merged into its "
        f"weights, in {PRECISION}",
    ]
    names = [spec.hub or spec.path]
    if spec.gguf is not None:
        names = [spec.gguf.file, origin["gguf"]["name"]]
    if declared := unmatched_name(adapter, names):
        notes.append(
            f"the adapter names {public_path(declared)} as its base, and it was merged into "
            f"{spec.base.public_source}: shapes agree, names do not"
        )
    if own:
        notes.append(f"it has the adapter's own {', '.join(own)}")
    return origin | {
        "base": {"source": base["source"], "sha256": base["sha256"]},
        "adapter": {
            "source": name,
            "sha256": file_hash(adapter / FACTORS),
            "rank": config.get("r"),
            "alpha": config.get("lora_alpha"),
            "target_modules": targets,
            **{key: bool(config.get(key)) for key in kinds},
        },
        "precision": PRECISION,
        "versions": origin.get("versions", {}) | versions_of("peft", "transformers", "torch"),
        "notes": notes,
    }
