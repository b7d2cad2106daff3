"""Random Llamas of few weights, and the answers of transformers' own `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}
_SPECIAL = ("bos", "eos", "pad")


def tiny_llama(vocab_size: int, seed: int = 0, **changes: Any) -> LlamaForCausalLM:
    """A random Llama of 2 layers × 4 heads (2 for keys and values), with a config's changes."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocab_size, **(SIZES | changes))).eval()


def llama_for(tokenizer: Any, initializer_range: float) -> LlamaForCausalLM:
    """A random Llama with the special tokens of `byte_level_tokenizer`, two of which end an answer.

    Its generation config lists the end of the turn and the end of the text.
    """
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in _SPECIAL}
    model = tiny_llama(len(tokenizer), initializer_range=initializer_range, **special)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(["<|turn|>", "<|end|>"])
    return model


@torch.inference_mode()
def greedy_answer(
    model: PreTrainedModel, prompt: Sequence[int], limit: int, **options: Any
) -> list[int]:
    """What transformers' `generate` answers greedily to one prompt, with further options of it."""
    ids = torch.tensor([list(prompt)])
    whole = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=limit,
        pad_token_id=0,
        **options,
    )
    return whole[0, ids.shape[1] :].tolist()
