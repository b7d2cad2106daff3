"""Saving the pocket pair in transformers' format, float16, and installing it for the study.

Training never writes to `resources/pocket` itself: `install_pair` copies a finished pair there.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lengthlens.errors import LengthlensError
from lengthlens.files.integrity import digest
from lengthlens.files.whole import write_text
from lengthlens.pocket.tokenizer import END, TURN_END

VARIANTS = ("base", "instruct")
SUMS = "SHA256SUMS"
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)


def files_of(variant: str) -> tuple[str, ...]:
    """The files of a variant's folder; only the instruct model has a chat template."""
    return MODEL_FILES + (("chat_template.jinja",) if variant == "instruct" else ())


_NAMES = [f"{variant}/{name}" for variant in VARIANTS for name in files_of(variant)]


def save_model(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, variant: str
) -> None:
    """Write the model (a float16 copy) and its tokenizer to `folder`; both stay as they are."""
    ends = [TURN_END, END] if variant == "instruct" else [END]
    stored, saved = copy.deepcopy(model).half(), copy.copy(tokenizer)
    if not all(torch.isfinite(p).all() for p in stored.parameters()):
        raise LengthlensError(
            f"a weight of the {variant} model is too large for float16: training has diverged; "
            "lower `learning_rate` in config/pocket.yaml"
        )
    stored.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.convert_tokens_to_ids(ends),
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    stored.save_pretrained(folder)
    if variant == "base":
        saved.chat_template = None
    saved.save_pretrained(folder)


def load_pair_model(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A saved model, in float32, and its tokenizer."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), PreTrainedTokenizerFast.from_pretrained(folder)


def install_pair(trained: Path, target: Path) -> None:
    """Copy both models' files from a training's folder over those of `target`.

    Raises LengthlensError, before anything is copied, where a file is missing.
    """
    missing = [str(trained / name) for name in _NAMES if not (trained / name).is_file()]
    if missing:
        raise LengthlensError(
            f"{trained} is not a trained pair, there is no {', '.join(missing)}: "
            "run `snakemake train_pocket` first"
        )
    for name in _NAMES:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trained / name, target / name)
    write_text(target / SUMS, checksums(target))


def checksums(folder: Path) -> str:
    """SHA-256 of every file of the pair in `folder`, in the format of sha256sum."""
    return "".join(f"{digest((folder / name).read_bytes())}  {name}\n" for name in _NAMES)
