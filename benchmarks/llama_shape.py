"""A random checkpoint of Llama 3.1 8B's exact shape, in the files that the published one has.

bfloat16, in sharded safetensors with an index, rope scaling and stop tokens of the original,
and a tokenizer that is copied from a folder. Fewer layers make a smaller one; with `readout_only`
just the weights that attribution reads are written, 2.1 GB of the 16.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

HIDDEN, FEED_FORWARD, HEADS, KV_HEADS, HEAD = 4096, 14336, 32, 8, 128
VOCABULARY, LAYERS = 128256, 32
BEGIN, STOP = 128000, [128001, 128008, 128009]
READOUT = ("o_proj.weight", "model.norm.weight", "lm_head.weight")  # what attribution reads
SHARD_BYTES = 2_000_000_000


def shape(layers: int):
    """The configuration, in transformers' form."""
    from transformers import LlamaConfig

    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD,
        vocab_size=VOCABULARY,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        bos_token_id=BEGIN,
        eos_token_id=STOP,
        dtype="bfloat16",
    )


def make_checkpoint(folder: Path, layers: int, tokenizer: Path, readout_only: bool = False) -> int:
    """Write the checkpoint, one shard of weights in memory at a time; returns its bytes."""
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaForCausalLM

    folder.mkdir(parents=True, exist_ok=True)
    for path in tokenizer.iterdir():  # before the rest: it may be the folder of a whole model
        if path.suffix in {".json", ".jinja"}:
            shutil.copy(path, folder)
    config = shape(layers)
    config.save_pretrained(folder)
    generation = {"bos_token_id": BEGIN, "eos_token_id": STOP}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    with torch.device("meta"):
        weights = LlamaForCausalLM(config).state_dict()
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

    for name, unfilled in weights.items():
        if readout_only and not name.endswith(READOUT):
            continue
        weight = torch.empty(unfilled.shape, dtype=torch.bfloat16)
        norm = weight.ndim == 1
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
