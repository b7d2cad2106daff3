"""A model built by hand that counts by a known circuit: mover, carrier, comparison.

Norms are left out, so that what is planted is exact. The numeral's token holds N. Head L0H2 brings
it to the mark (the token after the numeral but one) and to no other position, head L1H1 from the
mark to every position from the last prompt token on, and one neuron of the MLP of layer 2 compares
it with the number of words so far, which is a matter of the position, and writes the margin. All
attention goes to the first token otherwise. Everything else is small noise.

`null`: the mover brings nothing, and there is no noise: N cannot have any effect.

`compensated`: head L2H3 of the last layer takes 2 from the margin for each word asked for, and one
neuron of the last MLP gives back half of what it finds in that direction.

`idle`: mover and carrier also bring two features of N along that nothing reads, larger than N and
unrelated to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from architectures import tiny_config
from torch import nn
from toys import CLASSES, toy
from transformers import GPT2LMHeadModel

from lengthlens.generation.loaded import LoadedModel
from lengthlens.language.languages import Language, Template, Topic

MOVER, CARRIER, COMPARISON = (0, 2), (1, 1), 2
NAMES = ["L0H2", "L1H1", "L2M"]
N_WORDS = (3, 4, 5, 6)
DIGIT = 30  # the token of the number 0
TEMPLATE = "11 12 {name} N{n} 13 14 15"  # 14 is the mark, 15 the last prompt token
MARK, LAST = 6, 7
STOP = 2
IDLE = {"square": (12, -12, -12, 12), "cube": (-6, 18, -18, 6)}  # of N_WORDS


class Identity(nn.Module):
    """In the place of a norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, stream: torch.Tensor) -> torch.Tensor:
        return stream


@dataclass(frozen=True)
class Counting(LoadedModel):
    """A toy whose prompts are token ids, with a number among them."""

    def encode(self, text: str, date: str) -> list[int]:
        words = text.split()
        return [DIGIT + int(word[1:]) if word[0] == "N" else int(word) for word in words]


def language(code: str = "en", topics: int = 10) -> Language:
    """Topics of two tokens each, and one template."""
    made = tuple(
        Topic(f"t{index}", {"name": f"{100 + index} {120 + index}"}, ("w",))
        for index in range(topics)
    )
    return Language(code, code, made, (Template("a", TEMPLATE),), ())


def answers_of(lang: Language) -> list[dict]:
    """An exact answer to every N and topic; the first half of the topics select."""
    rng = np.random.default_rng(0)
    rows = []
    for n in N_WORDS:
        for index, topic in enumerate(lang.topics):
            rows.append(
                {
                    "sample_id": f"{lang.code}-n{n}-{index:04d}#0",
                    "prompt_id": f"{lang.code}-n{n}-{index:04d}",
                    "language": lang.code,
                    "n": n,
                    "topic": topic.id,
                    "template": "a",
                    "split": "select" if index < len(lang.topics) // 2 else "evaluate",
                    "tokens": [*rng.integers(40, 100, n).tolist(), STOP],
                    "words": n,
                    "error": 0,
                    "stopped": True,
                    "truncated": False,
                }
            )
    return rows


@torch.no_grad()
def counting_model(null: bool = False, compensated: bool = False, idle: bool = False) -> Counting:
    """The planted model (module docstring)."""
    torch.manual_seed(0)
    config = tiny_config("gpt2")
    config.tie_word_embeddings = False
    model = GPT2LMHeadModel(config).eval()
    noise = 0.0 if null else 0.003
    for parameter in model.parameters():
        parameter.copy_(noise * torch.randn_like(parameter))
    width = config.n_embd
    basis = torch.linalg.qr(torch.randn(width, 10)).Q
    number, moved, carried, words, margin, ground, first, numeral, mark, late = basis.T
    tokens, places = model.transformer.wte.weight, model.transformer.wpe.weight
    for n in range(10):
        tokens[DIGIT + n] += n * number + numeral
    places[0] += first
    places[MARK] += mark
    for place in range(LAST, len(places)):
        places[place] += late + (place - LAST) * words
    places += ground
    blocks = model.transformer.h
    for block in blocks:
        block.ln_1, block.ln_2 = Identity(block.ln_1), Identity(block.ln_2)
        for head in range(config.n_head):
            _attend(block.attn, head, None, first)
    model.transformer.ln_f = Identity(model.transformer.ln_f)
    _attend(blocks[MOVER[0]].attn, MOVER[1], mark, numeral)
    _bring(blocks[MOVER[0]].attn, MOVER[1], number, 0.0 * moved if null else moved)
    _attend(blocks[CARRIER[0]].attn, CARRIER[1], late, mark)
    _bring(blocks[CARRIER[0]].attn, CARRIER[1], moved, carried)
    for place, feature in enumerate(IDLE.values() if idle else (), start=1):
        found = torch.linalg.qr(torch.cat([basis, torch.randn(width, 3)], 1)).Q[:, -3:]
        read, moved_on, left = found.T
        basis = torch.cat([basis, found], 1)
        for n, value in zip(N_WORDS, feature, strict=True):
            tokens[DIGIT + n] += value * read
        _bring(blocks[MOVER[0]].attn, MOVER[1], read, moved_on, place)
        _bring(blocks[CARRIER[0]].attn, CARRIER[1], moved_on, left, place)
    mlp = blocks[COMPARISON].mlp
    mlp.c_fc.weight[:, 0] = 4.0 * (words - carried)
    mlp.c_fc.bias[0] = 2.0
    mlp.c_proj.weight[0] = 3.0 * margin
    if compensated:
        _attend(blocks[-1].attn, 3, late, mark)
        _bring(blocks[-1].attn, 3, moved, -2.0 * margin)
        blocks[-1].mlp.c_fc.weight[:, 1] = margin
        blocks[-1].mlp.c_fc.bias[1] = 30.0  # where the activation is the identity
        blocks[-1].mlp.c_proj.weight[1] = -0.5 * margin
    model.lm_head.weight[CLASSES.words] += 3.0 * ground
    model.lm_head.weight[CLASSES.enders] += margin
    model.lm_head.weight[STOP] += 0.2 * margin
    loaded = toy(model.requires_grad_(False))

    def spell(ids) -> str:
        plain = loaded.decode_text
        return "".join(
            f" {token - DIGIT}" if DIGIT <= token < DIGIT + 10 else plain([token]) for token in ids
        )

    return Counting(**vars(loaded) | {"decode_text": spell})


def _attend(attention, head: int, query: torch.Tensor | None, key: torch.Tensor) -> None:
    """Let a head attend to the tokens with a flag: from everywhere, or from those with another."""
    width, d_head = attention.embed_dim, attention.head_dim
    dimension = head * d_head + (0 if query is None else 1)
    if query is None:
        attention.c_attn.bias[dimension] = 40.0
    else:
        attention.c_attn.weight[:, dimension] = 120.0 * query
    attention.c_attn.weight[:, width + dimension] = key


def _bring(attention, head: int, read: torch.Tensor, write: torch.Tensor, place: int = 0) -> None:
    """Let a head read one direction where it attends, and write another."""
    width, d_head = attention.embed_dim, attention.head_dim
    dimension = head * d_head + place
    attention.c_attn.weight[:, 2 * width + dimension] = read
    attention.c_proj.weight[dimension] = write
