"""Models built by hand in which one known component carries the decision to end.

GPT-2 with learned positions: prompts are as long as makes every decision step fall on the same
absolute position, whose embedding holds a flag. One component reads the flag and writes the margin:

- `head`: head L1H2, which also writes that it is done; the final MLP is its backup, which fires
  where there is a flag but nothing done, and gives back a part of the margin;
- `mlp`: the final MLP;
- `null`: none; the position embedding holds the margin itself.

Everything else is small noise. Directions are orthogonal and without mean, so that layer norms do
no more than scale them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from architectures import VOCABULARY, tiny_config
from toys import CLASSES, toy
from transformers import GPT2LMHeadModel

from lengthlens.generation.loaded import LoadedModel
from lengthlens.language.prompts import Prompt

HEAD = (1, 2)
DECISION = 12  # the position from which the token after the last word is predicted
N_WORDS = (3, 4, 5, 6)
N_TOPICS = 8
LANGUAGES = ("en", "lb")


@dataclass(frozen=True)
class Planted(LoadedModel):
    """A toy whose texts are token ids."""

    def encode(self, text: str, date: str) -> list[int]:
        return [int(token) for token in text.split()]


def prompts_of(language: str) -> list[Prompt]:
    """Prompts about 8 topics for each N; the first half of the topics select."""
    rng = np.random.default_rng(LANGUAGES.index(language))
    made = []
    for n in N_WORDS:
        for topic in range(N_TOPICS):
            tokens = rng.integers(100, VOCABULARY, DECISION + 1 - n)
            split = "select" if topic < N_TOPICS // 2 else "evaluate"
            text = " ".join(map(str, tokens))
            name = f"{language}-n{n}-{topic:04d}"
            made.append(Prompt(name, language, n, f"t{topic}", "a", split, text))
    return made


@torch.no_grad()
def planted_model(kind: str) -> Planted:
    """`head`, `mlp` or `null` (module docstring)."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(_untied(tiny_config("gpt2"))).eval()
    width = model.config.n_embd
    for name, parameter in model.named_parameters():
        if "ln_" not in name:
            parameter.copy_(0.002 * torch.randn_like(parameter))
    random = torch.randn(width, 4)
    flag, margin, done, ground = torch.linalg.qr(random - random.mean(0)).Q.T
    model.transformer.wpe.weight += 2.0 * ground
    model.transformer.wpe.weight[DECISION] += 3.0 * flag
    # Words are likelier than enders by what the ground gives, until the margin turns it round.
    model.lm_head.weight[:] = -5.0 * ground + 0.01 * torch.randn(VOCABULARY, width)
    model.lm_head.weight[CLASSES.words] += 5.5 * ground
    model.lm_head.weight[CLASSES.enders] += 5.0 * ground + margin
    model.lm_head.weight[2] += 0.2 * margin  # the stop token is the best ender
    blocks = model.transformer.h
    if kind == "head":
        _read_flag(blocks[HEAD[0]].attn, HEAD[1], flag, 4.0 * margin + 4.0 * done)
        _neuron(blocks[-1].mlp, 1.5 * flag - 3.0 * done, 0.1 * margin)
    elif kind == "mlp":
        _neuron(blocks[-1].mlp, 1.5 * flag, 1.2 * margin)
    else:
        model.transformer.wpe.weight[DECISION] += 4.0 * margin
    loaded = toy(model.requires_grad_(False))
    values = vars(loaded) | {"tokenizer": lambda text: {"input_ids": [len(text), 50, 60, 5]}}
    return Planted(**values)


def _untied(config):
    config.tie_word_embeddings = False
    return config


def _read_flag(attention, head: int, flag: torch.Tensor, written: torch.Tensor) -> None:
    """Even attention; the first dimension of the head reads the flag and writes a direction."""
    width, d_head = len(flag), attention.head_dim
    attention.c_attn.weight[:, : 2 * width] = 0.0
    attention.c_attn.weight[:, 2 * width + head * d_head] = (DECISION + 1) * flag / 4
    attention.c_proj.weight[head * d_head] = written


def _neuron(mlp, read: torch.Tensor, written: torch.Tensor) -> None:
    """The first neuron of an MLP reads one direction and writes another."""
    mlp.c_fc.weight[:, 0] = read
    mlp.c_fc.bias[0] = -2.0  # silent without the flag
    mlp.c_proj.weight[0] = written
