"""A random checkpoint of Llama 3.1 8B's exact shape, in the files that the published one has.

bfloat16, in sharded safetensors with an index, rope scaling and stop tokens of the original,
and a tokenizer that is copied from a folder. Fewer layers make a smaller one; with `readout_only`
just the weights that attribution reads are written, 2.1 GB of the 16.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

HIDDEN, FEED_FORWARD, HEADS, KV_HEADS, HEAD = 4096, 14336, 32, 8, 128
VOCABULARY, LAYERS = 128256, 32
STOP = [128001, 128008, 128009]
SHARD_BYTES = 2_000_000_000


def write_config(folder: Path, layers: int) -> None:
    """config.json and generation_config.json."""
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 128000,
        "eos_token_id": STOP,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    generation = {"bos_token_id": 128000, "eos_token_id": STOP}
    (folder / "generation_config.json").write_text(json.dumps(generation))


def weight_shapes(layers: int, readout_only: bool) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight."""
    if not readout_only:
        yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(layers):
        block = f"model.layers.{layer}"
        yield f"{block}.self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD)
        if not readout_only:
            yield f"{block}.self_attn.q_proj.weight", (HEADS * HEAD, HIDDEN)
            yield f"{block}.self_attn.k_proj.weight", (KV_HEADS * HEAD, HIDDEN)
            yield f"{block}.self_attn.v_proj.weight", (KV_HEADS * HEAD, HIDDEN)
            yield f"{block}.mlp.gate_proj.weight", (FEED_FORWARD, HIDDEN)
            yield f"{block}.mlp.up_proj.weight", (FEED_FORWARD, HIDDEN)
            yield f"{block}.mlp.down_proj.weight", (HIDDEN, FEED_FORWARD)
            yield f"{block}.input_layernorm.weight", (HIDDEN,)
            yield f"{block}.post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def make_checkpoint(folder: Path, layers: int, tokenizer: Path, readout_only: bool = False) -> int:
    """Write the checkpoint, one shard of weights in memory at a time; returns its bytes."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, layers)
    for path in tokenizer.iterdir():
        if path.suffix in {".json", ".jinja"}:
            shutil.copy(path, folder)
    chance = torch.Generator().manual_seed(0)
    places: dict[str, str] = {}
    shard: dict[str, torch.Tensor] = {}
    total = held = 0

    def flush() -> None:
        nonlocal held
        name = f"model-{len(set(places.values())) + 1:05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        places.update(dict.fromkeys(shard, name))
        shard.clear()
        held = 0

    for name, shape in weight_shapes(layers, readout_only):
        weight = torch.empty(shape, dtype=torch.bfloat16)
        norm = len(shape) == 1
        shard[name] = weight.fill_(1) if norm else weight.normal_(0, 0.02, generator=chance)
        held += weight.nbytes
        total += weight.nbytes
        if held > SHARD_BYTES:
            flush()
    if shard:
        flush()
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return total
