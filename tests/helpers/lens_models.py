"""Models and tokenizers as a user of the library has them, and a Lens of each."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from tiny_llama import greedy_answer, llama_for
from tiny_tokenizers import byte_level_tokenizer, metaspace_tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
)

from lengthlens.lens.lens import Lens

POCKET = Path(__file__).parents[2] / "resources/pocket"
FAMILIES = ("pocket", "llama", "gpt2")
TEXTS = ("Write about the sea in exactly 3 words.", "Is the garden green?", "The wind")


def pocket(variant: str) -> tuple[Any, Any]:
    """A pocket model and its tokenizer, as transformers loads them."""
    folder = POCKET / variant
    return (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
        AutoTokenizer.from_pretrained(folder),
    )


def tiny_llama() -> tuple[Any, Any]:
    """A random Llama of 2 layers × 4 heads; its tokenizer has a chat template."""
    tokenizer = byte_level_tokenizer()
    return llama_for(tokenizer, initializer_range=0.3), tokenizer


def tiny_gpt2() -> tuple[Any, Any]:
    """A random GPT-2 of 3 layers × 4 heads; its tokenizer has no chat template."""
    tokenizer = metaspace_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=48,
        n_layer=3,
        n_head=4,
        n_positions=256,
        initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(1)
    model = GPT2LMHeadModel(config).eval()
    for block in model.transformer.h:  # biases that matter
        torch.nn.init.normal_(block.attn.c_proj.bias, std=0.3)
    return model, tokenizer


@functools.cache
def pair(family: str) -> tuple[Any, Any]:
    """The model and tokenizer of one of `FAMILIES`; tests leave them as they are."""
    return {"pocket": lambda: pocket("instruct"), "llama": tiny_llama, "gpt2": tiny_gpt2}[family]()


@functools.cache
def lens_of(family: str) -> Lens:
    """The Lens of one of `FAMILIES`."""
    return Lens(*pair(family))


def prompt_ids(family: str, text: str) -> torch.Tensor:
    """A prompt's ids, by transformers alone [1, token]."""
    _, tokenizer = pair(family)
    if tokenizer.chat_template is None:
        return tokenizer(text, return_tensors="pt")["input_ids"]
    turn = [{"role": "user", "content": text}]
    shown = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    return tokenizer(shown, add_special_tokens=False, return_tensors="pt")["input_ids"]


def greedy(family: str, text: str, limit: int) -> list[int]:
    """The answer of transformers' own `generate`."""
    model, _ = pair(family)
    return greedy_answer(model, prompt_ids(family, text)[0].tolist(), limit)
