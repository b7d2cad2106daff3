"""Saving the pocket pair in transformers' format, float16, and installing it for the study.

Training never writes to `resources/pocket` itself: `install_pair` copies a finished pair there.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from lengthlens.errors import LengthlensError
from lengthlens.files.whole import write_text
from lengthlens.pocket.tokenizer import BEGIN, END, PAD, TURN_END

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


def save_model(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, variant: str
) -> None:
    """Write the model (a float16 copy) and its tokenizer to `folder`; both stay as they are."""
    ends = [TURN_END, END] if variant == "instruct" else [END]
    stored = LlamaForCausalLM(model.config)
    stored.load_state_dict(model.state_dict())
    stored.half()
    if not all(torch.isfinite(p).all() for p in stored.parameters()):
        raise LengthlensError(
            f"a weight of the {variant} model is too large for float16: training has diverged; "
            "lower `learning_rate` in config/pocket.yaml"
        )
    stored.generation_config = GenerationConfig(
        bos_token_id=tokenizer.convert_tokens_to_ids(BEGIN),
        eos_token_id=tokenizer.convert_tokens_to_ids(ends),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        do_sample=False,
    )
    stored.save_pretrained(folder)
    template = tokenizer.chat_template
    try:
        if variant == "base":
            tokenizer.chat_template = None
        tokenizer.save_pretrained(folder)
    finally:
        tokenizer.chat_template = template


def load_pair_model(folder: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A saved model, in float32, and its tokenizer."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), PreTrainedTokenizerFast.from_pretrained(folder)


def install_pair(trained: Path, target: Path) -> None:
    """Copy both models' files from a training's folder over those of `target`.

    Raises LengthlensError, before anything is copied, where a file is missing.
    """
    pairs = [(trained / v / name, target / v / name) for v in VARIANTS for name in files_of(v)]
    missing = [str(source) for source, _ in pairs if not source.is_file()]
    if missing:
        raise LengthlensError(
            f"{trained} is not a trained pair, there is no {', '.join(missing)}: "
            "run `snakemake train_pocket` first"
        )
    for source, destination in pairs:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, destination)
    write_text(target / SUMS, checksums(target))


def checksums(folder: Path) -> str:
    """SHA-256 of every file of the pair in `folder`, in the format of sha256sum."""
    names = [f"{variant}/{name}" for variant in VARIANTS for name in files_of(variant)]
    sums = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
    return "".join(f"{digest}  {name}\n" for digest, name in zip(sums, names, strict=True))
