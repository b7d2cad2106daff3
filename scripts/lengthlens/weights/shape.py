"""The size of a model, as its config.json tells it, and the bytes that follow from it.

Read from the file alone: neither torch nor transformers is needed, so that rules can ask for memory
before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

ITEMSIZE = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
# Numbers of the residual stream that attribution works on at a time, 0.5 GB in bfloat16: what keeps
# its memory the same however many tokens there are. 1008 tokens of Llama 3.1 8B.
BLOCK_ELEMENTS = 2**28
MAX_ROWS = 256  # of a batch, however much memory there is

# What transformers' configurations call the same number.
_NAMES = {
    "layers": ("num_hidden_layers", "n_layer"),
    "d_model": ("hidden_size", "n_embd"),
    "heads": ("num_attention_heads", "n_head"),
    "d_head": ("head_dim",),
    "kv_heads": ("num_key_value_heads", "num_attention_heads", "n_head"),
    "vocabulary": ("vocab_size",),
}


def text_part(config: Mapping) -> Mapping:
    """The part of a config.json that speaks of the language model."""
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def count_of(config: Mapping, key: str) -> int | None:
    """A number that a config.json tells under any of its names; None where it does not."""
    values = (config.get(name) for name in _NAMES[key])
    return next((value for value in values if type(value) is int and value > 0), None)


@dataclass(frozen=True)
class Shape:
    """Numbers of layers, heads and so on; `dtype` is the precision of the stored weights."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_head: int
    vocabulary: int
    dtype: str

    @classmethod
    def from_config(cls, config: Mapping) -> Shape | None:
        """Read a config.json (that of the text part, if there are several); None if it is odd."""
        config = text_part(config)
        found = {key: count_of(config, key) for key in _NAMES}
        d_head = found.pop("d_head")
        if None in found.values():
            return None
        d_head = d_head or found["d_model"] // found["heads"]
        dtype = str(config.get("dtype") or config.get("torch_dtype") or "float32")
        return cls(**found, d_head=d_head, dtype=dtype.removeprefix("torch."))

    def values(self) -> dict:
        """As a dictionary ready for JSON; `Shape(**values)` reads it back."""
        return asdict(self)

    def step_bytes(self, itemsize: int) -> int:
        """Bytes recorded for one generated token: heads' inputs, MLPs and the embedding."""
        return itemsize * (self.layers * (self.heads * self.d_head + self.d_model) + self.d_model)

    def cache_bytes(self, positions: int, itemsize: int) -> int:
        """Bytes of the keys and values of one answer."""
        return 2 * self.layers * self.kv_heads * self.d_head * positions * itemsize

    def row_bytes(self, positions: int, new_tokens: int, itemsize: int, captured: bool) -> int:
        """Bytes of one answer in a batch, with what is `captured` of its residual stream.

        Args:
            positions: of prompt and answer.
            new_tokens: of the answer.
        """
        # NOTE twice: compaction copies the cache, and rows are cut out of the recorded buffers.
        held = self.cache_bytes(positions, itemsize)
        held += new_tokens * self.step_bytes(itemsize) if captured else 0
        return 2 * held + 16 * self.vocabulary  # logits in float32, and those of watched classes

    def readout_bytes(self, itemsize: int) -> int:
        """Bytes of the output projections and the unembedding: what attribution reads."""
        projections = self.layers * self.d_model * self.heads * self.d_head
        return itemsize * (projections + self.vocabulary * self.d_model)


def rows_that_fit(row_bytes: int, memory_gb: float) -> int:
    """Answers that are decoded together in so much memory: 0, or `MAX_ROWS` at most."""
    return min(int(memory_gb * 1e9 // row_bytes), MAX_ROWS)
