"""A small random model of the same class and flags as another, on which its anatomy can be proven.

A layer of each kind, two at least, few heads, a small vocabulary and float32; what is no size is
kept: activation, norms, biases, tied or untied embeddings, grouped or single key heads, head_dim
that is not d_model / heads, multipliers, soft caps, kinds of layers. Every bias and every norm
weight is moved away from 0 and 1, so that forgetting one shows. Where a config cannot be had with
smaller widths, they stay as they are, if the model is small enough to be run.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Hashable, Iterable, Sequence

import torch
from torch import nn
from transformers import PreTrainedConfig

from lengthlens.models.architectures import structure

LAYERS = 2  # at least
HEADS = 4
VOCABULARY = 199
_MOST_LAYERS = 16
_MOST_WEIGHTS = 100_000_000  # of a small model whose widths are kept
_EXPERTS = 8
_KEY_HEADS = ("num_key_value_heads", "num_kv_heads")
_WIDTHS = (
    "intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", "moe_intermediate_size",
    "shared_expert_intermediate_size", "decoder_ffn_dim", "encoder_ffn_dim",
)  # fmt: skip
_DEPTHS = (
    "num_hidden_layers", "num_layers", "n_layers", "depth", "decoder_layers", "encoder_layers",
    "num_decoder_layers", "num_encoder_layers",
)  # fmt: skip
_SIDE_HEADS = ("decoder_attention_heads", "encoder_attention_heads")
_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size")
_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
# Heads of a state space, their width, and groups of them that share their input maps.
_STATE_HEADS = ("mamba_n_heads", "mamba_num_heads", "n_mamba_heads")
_STATE_WIDTHS = ("mamba_d_head", "mamba_head_dim", "mamba_headdim")
_STATE_GROUPS = ("mamba_n_groups", "mamba_ngroups", "n_groups")
_NOT_BY_LAYER = ("_section", "_token_id", "architectures")  # lists of any length
_NO_WIDTH = ("vocab", "position", "head", "intermediate", "rank", "window", "chunk", "kernel")


def text_config(config):
    """The part of a config that speaks of the language model: all of it, in most models."""
    return config.get_text_config(decoder=True)


def layer_config(config, layer: int):
    """What a config says of one layer, where it gives layers settings of their own."""
    return config.per_layer_config[layer] if _differs(config) else config


def n_attention_heads(config) -> int:
    """Query heads of a layer; 0 in a model without attention."""
    heads = getattr(config, "decoder_attention_heads", None)
    return heads or getattr(config, "num_attention_heads", None) or 0


def mixer_groups(config) -> int | None:
    """Groups of a mixer's heads that share keys or input maps; None where a config tells none."""
    return next(iter(_numbers(config, ("linear_num_key_heads", *_STATE_GROUPS)).values()), None)


def depth(config) -> int:
    """The number of a model's layers, whatever its config calls it."""
    found = _numbers(config, ("decoder_layers", "num_decoder_layers")).values()
    return next(iter(found)) if found else config.num_hidden_layers


def has_window(config) -> bool:
    """Whether some attention of a model looks back over a limited number of positions."""
    return bool(_numbers(layer_config(text_config(config), 0), _WINDOWS))


def has_experts(config) -> bool:
    """Whether a router chooses among experts."""
    return bool(_numbers(layer_config(text_config(config), 0), _EXPERT_COUNTS))


def _numbers(config, names: Iterable[str]) -> dict[str, int]:
    """Those of some names under which a config holds a whole number, with it."""
    found = {name: getattr(config, name, None) for name in names}
    return {name: number for name, number in found.items() if type(number) is int}


def _differs(config) -> bool:
    return getattr(config, "is_heterogeneous", False)


def small_config(
    config, window: int | None = None, kept: Sequence[int] | None = None, narrow: bool = True
):
    """The config of the small model: the given one with smaller sizes.

    Args:
        config: of the model.
        window: a shorter window of attention; by default windows are kept.
        kept: layers whose entries are kept of lists with one entry a layer; by default the first
            and the first that differs from it.
        narrow: whether heads become fewer and the stream narrower; else layers, experts and tokens
            alone do.
    """
    whole = copy.deepcopy(config)
    small, config = text_config(whole), text_config(config)
    if kept is None:
        rows = _rows(config)
        kept = [0, next((i for i, row in enumerate(rows) if row != rows[0]), 1)]
    own = _overrides(config)
    if own:
        small.per_layer_config = None
    _cut_what_is_not_run(whole, small)
    _keep_layers(small, depth(config), kept)
    if narrow:
        wide = copy.deepcopy(small)
        _narrow(small, wide)
        own = {layer: _narrowed(values, small, wide) for layer, values in own.items()}
    few = _fewer_experts(config)
    small.update({name: min(few, n) for name, n in _numbers(small, _EXPERT_COUNTS).items()})
    if window:
        small.update({name: min(window, n) for name, n in _numbers(small, _WINDOWS).items()})
    rows = _numbers(small, ("vocab_size", "vocab_size_per_layer_input"))
    small.update(dict.fromkeys(rows, VOCABULARY))
    if (getattr(small, "pad_token_id", None) or 0) >= VOCABULARY:
        small.pad_token_id = 0  # which may be refused where it is None
    small.bos_token_id, small.eos_token_id = 1, 2
    if own:
        small.per_layer_config = {place: own.get(layer, {}) for place, layer in enumerate(kept)}
    return whole


def _fewer_experts(config) -> int:
    """A few, and twice as many as the router takes; of each group two, by which it is ranked."""
    taken = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k")
    most = max(_numbers(config, taken).values(), default=1)
    groups = max(_numbers(config, ("n_group", "num_expert_group")).values(), default=1)
    return groups * max(2, math.ceil(max(_EXPERTS, 2 * most) / groups))


def _overrides(config) -> dict[int, dict]:
    """Settings that a config gives single layers."""
    if not _differs(config):
        return {}
    return {int(i): dict(own) for i, own in config.to_dict()["per_layer_config"].items()}


def _by_layer(config) -> dict[str, list | tuple | str]:
    """What of a config has one entry a layer; a pattern has one letter a layer."""
    layers = depth(config)
    return {
        name: value
        for name, value in vars(config).items()
        if isinstance(value, str if "pattern" in name else list | tuple)
        and len(value) == layers > LAYERS
        and not name.endswith(_NOT_BY_LAYER)
    }


def _rows(config) -> list[Hashable]:
    """What a config says of every layer."""
    lists, own = _by_layer(config), _overrides(config)
    return [
        repr([value[i] for value in lists.values()] + [own.get(i)]) for i in range(depth(config))
    ]


def _cut_what_is_not_run(whole, text) -> None:
    """Leave one layer to each tower for images and sounds, which text alone does not run."""
    for part in vars(whole).values():
        if isinstance(part, PreTrainedConfig) and part is not text:
            part.update(dict.fromkeys(_numbers(part, _DEPTHS), 1))


def _keep_layers(small, layers: int, kept: Sequence[int]) -> None:
    """Keep some layers' entries of every list that has one entry a layer.

    The last layers may read the keys and values of earlier ones: those of them that are kept still
    do.
    """
    for name, value in _by_layer(small).items():
        entries = [value[layer] for layer in kept]
        setattr(small, name, "".join(entries) if isinstance(value, str) else entries)
    if getattr(small, "num_kv_shared_layers", 0):
        first = layers - small.num_kv_shared_layers
        small.num_kv_shared_layers = sum(layer >= first for layer in kept)
    for name in _DEPTHS:
        if getattr(small, name, None) == layers:
            with contextlib.suppress(AttributeError, NotImplementedError):  # computed from others
                setattr(small, name, len(kept))


def _narrow(small, config) -> None:
    """Fewer heads, and a stream that is narrower by as much."""
    heads, hidden = n_attention_heads(config), config.hidden_size
    if heads:
        n_heads = min(HEADS, heads)
        fewer = {n: _fewer_keys(keys, heads) for n, keys in _numbers(config, _KEY_HEADS).items()}
        own = ("num_attention_heads", *_SIDE_HEADS)
        small.update(fewer | {name: n_heads for name in own if getattr(config, name, None)})
        # A head's width is kept: rotary frequencies and their scalings are tied to it. Where heads
        # do not fill the stream, they still do not.
        width = getattr(config, "head_dim", None) or hidden // heads
        small.hidden_size = max(8, 8 * round(n_heads * width * hidden / (heads * width) / 8))
    else:
        small.hidden_size = min(64, hidden)
    inner = 2 * small.hidden_size
    for name in _WIDTHS:
        own = getattr(config, name, None)
        if own is not None:
            setattr(small, name, [inner] * len(own) if isinstance(own, list) else inner)
    for name, value in vars(config).items():
        width = name.endswith(("_dim", "_size", "_width")) and not any(
            word in name for word in _NO_WIDTH
        )
        if type(value) is int and value == hidden and width:
            setattr(small, name, small.hidden_size)
    _narrow_mixers(small, config)


def _fewer_keys(keys: int, heads: int) -> int:
    """Heads of keys and values in a small layer: one, some, or one for each head."""
    n_heads = min(HEADS, heads)
    return n_heads if keys == heads else 1 if keys == 1 else n_heads // 2


def _narrowed(own: dict, small, config) -> dict:
    """Settings of a single layer, as narrow as those of the whole small model."""
    heads = own.get("num_attention_heads", n_attention_heads(config))
    fewer = {name: _fewer_keys(own[name], heads) for name in _KEY_HEADS if own.get(name)}
    if "num_attention_heads" in own:
        fewer["num_attention_heads"] = min(HEADS, heads)
    return own | fewer | {name: 2 * small.hidden_size for name in _WIDTHS if own.get(name)}


def _narrow_mixers(small, config) -> None:
    """Fewer heads of linear attention and of state spaces."""
    keys = getattr(config, "linear_num_key_heads", None)
    if keys:
        small.linear_num_key_heads = min(2, keys)
        small.linear_num_value_heads = min(2, keys) * (config.linear_num_value_heads // keys)

    kinds = [_STATE_HEADS, _STATE_WIDTHS, _STATE_GROUPS]
    if hasattr(config, "state_size") and not _numbers(config, _STATE_HEADS):  # Mamba 2 alone
        kinds[:2] = ("num_heads",), ("head_dim",)
    found = (next(iter(_numbers(config, names).items()), ("", 0)) for names in kinds)
    (heads, count), (_, width), (groups, shared) = found
    if not count or not width:
        return
    fewer = max(1, round(count * small.hidden_size / config.hidden_size))
    setattr(small, heads, fewer)
    if groups and fewer % shared:
        setattr(small, groups, 1)
    if getattr(config, "mamba_d_ssm", None) == count * width:
        small.mamba_d_ssm = fewer * width


def lists_of(model: nn.Module, count: int) -> list[tuple[str, nn.ModuleList]]:
    """A model's lists of so many modules, by name."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]


def kinds_of_layers(model: nn.Module) -> list[Hashable]:
    """What every layer of a model consists of."""
    layers = depth(text_config(model.config))
    found = [(name.count("."), module) for name, module in lists_of(model, layers)]
    outermost = min((dots for dots, _ in found), default=0)
    lists = [module for dots, module in found if dots == outermost]
    return [tuple(structure(one[i]) for one in lists) for i in range(layers)]


def _choices(model: nn.Module) -> list[list[int]]:
    """Layers that may stand for all: the first of every kind, or all up to the last of these."""
    kinds = kinds_of_layers(model)
    told = list(zip(kinds, _rows(text_config(model.config)), strict=True))
    if len(set(told)) > _MOST_LAYERS // 2:
        told = kinds
    firsts = sorted({entry: told.index(entry) for entry in told}.values())
    if len(firsts) < LAYERS <= len(kinds):
        firsts.append(1)
    last = max(kinds.index(kind) for kind in kinds) + 1
    return [firsts, list(range(max(LAYERS, min(last, _MOST_LAYERS))))]


def small_model(model: nn.Module, window: int | None = None) -> nn.Module:
    """A small random model of the class and flags of `model`, on the CPU, in eval mode.

    `window` shortens the windows of its attention (`small_config`).

    Weights are normal with the variance 1 / fan-in, so that every component matters to the logits.

    Raises:
        Exception: whatever the model's code raises where no small model can be made or run.
    """
    kinds, refusal = set(kinds_of_layers(model)), None
    for narrow, kept in itertools.product((True, False), _choices(model)):
        try:
            small = _built(type(model), small_config(model.config, window, kept, narrow))
            if not kinds <= set(kinds_of_layers(small)):
                raise ValueError("it lacks a kind of the model's layers")
            with torch.no_grad():
                small(input_ids=torch.arange(3, 6)[None], use_cache=False)
            return small
        except Exception as error:  # whatever a config of unknown kind may raise
            refusal = refusal or error
    raise refusal


def _built(kind: type, config) -> nn.Module:
    """The model of a config, filled with random numbers; refused before that if it is not small."""
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"), contextlib.suppress(NotImplementedError):  # reads its numbers
            weights = sum(weight.numel() for weight in kind(copy.deepcopy(config)).parameters())
            if weights > _MOST_WEIGHTS:
                raise ValueError(f"its {weights} weights are too many to be tried")
        with torch.device("cpu"):
            torch.manual_seed(0)
            small = kind(config).float().eval()
            _fill(small)
    return small.requires_grad_(False)


@torch.no_grad()
def _fill(small: nn.Module) -> None:
    for parameter in small.parameters():
        if parameter.dim() < 2:
            parameter.add_(0.3 * torch.randn_like(parameter))
        else:
            parameter.normal_(std=parameter.shape[-1] ** -0.5)
    stored = small.state_dict()
    for name, buffer in small.named_buffers():
        if name in stored and buffer.numel() == 1 and buffer.is_floating_point():
            buffer.mul_(1.3)  # a factor that is learnt
