"""Folders with tiny random models of any type, as the workflow takes them: with a tokenizer.

The tokenizer and the chat template are those of pocket. A random model does not count; what it
writes still has words, boundaries and, here and there, as many words as were asked for.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lengthlens.models.every_type import any_model, made_to_matter

POCKET = Path(__file__).resolve().parents[2] / "resources/pocket"
_KEPT = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
_TUNED = 0.1  # by how much the tuned model's weights differ, as a share of their spread


def tiny_checkpoint(folder: Path, kind: str, variant: str) -> Path:
    """A pair's model: `instruct` is `base` with all weights changed a little.

    Args:
        folder: to be made.
        kind: model type of its config.
        variant: `base` or `instruct`.
    """
    config = copy.deepcopy(any_model(kind).config)
    text, own = config.get_text_config(decoder=True), POCKET / variant
    for name in ("vocab_size", "vocab_size_per_layer_input"):
        if hasattr(text, name):
            setattr(text, name, len(AutoTokenizer.from_pretrained(own)))
    torch.manual_seed(0)
    model = made_to_matter(AutoModelForCausalLM.from_config(config).float())
    if variant == "instruct":
        for parameter in model.parameters():
            parameter.add_(_TUNED * parameter.std(unbiased=False) * torch.randn_like(parameter))
    model.save_pretrained(folder)
    for path in own.iterdir():
        if path.name in _KEPT or path.suffix == ".jinja":
            shutil.copy2(path, folder)
    return folder
