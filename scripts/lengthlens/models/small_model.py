"""A small random model of the same class and flags as another, on which its anatomy can be proven.

Two layers, few heads, a small vocabulary and float32; what is no size is kept: activation, norms,
biases, tied or untied embeddings, grouped or single key heads, head_dim that is not
d_model / heads, multipliers, soft caps, kinds of layers. Every bias and every norm weight is moved
away from 0 and 1, so that forgetting one shows.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from transformers import PreTrainedConfig

LAYERS = 2
HEADS = 4
VOCABULARY = 199
_EXPERTS = 8
_KEY_HEADS = ("num_key_value_heads", "num_kv_heads")
_WIDTHS = (
    "intermediate_size",
    "ffn_dim",
    "ffn_hidden_size",
    "n_inner",
    "moe_intermediate_size",
    "shared_expert_intermediate_size",
)
_DEPTHS = ("num_hidden_layers", "num_layers", "n_layers", "depth")
_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size")
_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def text_config(config):
    """The part of a config that speaks of the language model: all of it, in most models."""
    return config.get_text_config(decoder=True)


def has_window(config) -> bool:
    """Whether some attention of a model looks back over a limited number of positions."""
    text = text_config(config)
    return any(isinstance(getattr(text, name, None), int) for name in _WINDOWS)


def has_experts(config) -> bool:
    """Whether a router chooses among experts."""
    text = text_config(config)
    return any(isinstance(getattr(text, name, None), int) for name in _EXPERT_COUNTS)


def small_config(config, window: int | None = None):
    """The config of the small model: the given one with smaller sizes.

    Of lists with one entry a layer, two are kept: the first and the first that differs from it.
    Windows of attention are kept, too, unless a smaller `window` is given.
    """
    whole = copy.deepcopy(config)
    small, config = text_config(whole), text_config(config)
    _cut_what_is_not_run(whole, small)
    heads, hidden, layers = (
        config.num_attention_heads,
        config.hidden_size,
        config.num_hidden_layers,
    )
    _keep_two_layers(small, layers)
    n_heads = min(HEADS, heads)
    width = getattr(config, "head_dim", None) or hidden // heads
    for name in _KEY_HEADS:
        keys = getattr(config, name, None)
        if keys is not None:
            setattr(small, name, n_heads if keys == heads else 1 if keys == 1 else n_heads // 2)
    small.num_attention_heads = n_heads
    # A head's width is kept: rotary frequencies and their scalings are tied to it. Where heads do
    # not fill the stream, they still do not.
    ratio = hidden / (heads * width)
    small.hidden_size = max(8, 8 * round(n_heads * width * ratio / 8))
    for name in _WIDTHS:
        if getattr(config, name, None) is not None:
            setattr(small, name, 2 * small.hidden_size)
    if getattr(config, "word_embed_proj_dim", None) == hidden:
        small.word_embed_proj_dim = small.hidden_size
    for name in _EXPERT_COUNTS:
        if isinstance(getattr(config, name, None), int):
            setattr(small, name, min(_EXPERTS, getattr(config, name)))
    for name in _WINDOWS if window else ():
        if isinstance(getattr(config, name, None), int):
            setattr(small, name, min(window, getattr(config, name)))
    small.vocab_size = VOCABULARY
    small.pad_token_id = None
    small.bos_token_id, small.eos_token_id = 1, 2
    small.num_hidden_layers = LAYERS
    return whole


def _cut_what_is_not_run(whole, text) -> None:
    """Leave one layer to each tower for images and sounds, which text alone does not run."""
    for part in vars(whole).values():
        if isinstance(part, PreTrainedConfig) and part is not text:
            for name in _DEPTHS:
                if isinstance(getattr(part, name, None), int):
                    setattr(part, name, 1)


def _keep_two_layers(small, layers: int) -> None:
    """Shorten every list that has one entry a layer."""
    lists = {
        name: value
        for name, value in vars(small).items()
        if isinstance(value, list | tuple) and len(value) == layers and layers > LAYERS
    }
    rows = list(zip(*lists.values(), strict=True))
    other = next((i for i, row in enumerate(rows) if row != rows[0]), 1)
    for name, value in lists.items():
        setattr(small, name, [value[0], value[other]])


def small_model(model: nn.Module, seed: int = 0, window: int | None = None) -> nn.Module:
    """A small random model of the class and flags of `model`, on the CPU, in eval mode.

    `window` shortens the windows of its attention (`small_config`).

    Weights are normal with the variance 1 / fan-in, so that every component matters to the logits.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        small = type(model)(small_config(model.config, window)).float().eval()
        with torch.no_grad():
            for parameter in small.parameters():
                if parameter.dim() < 2:
                    parameter.add_(0.3 * torch.randn_like(parameter))
                else:
                    parameter.normal_(std=parameter.shape[-1] ** -0.5)
    return small.requires_grad_(False)
