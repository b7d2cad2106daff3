"""What the header of a GGUF file tells: whether it can be turned into a model without any loss.

transformers reads GGUF files, but leaves out what it does not know without a word: settings of the
header, tensors, and the rule by which text is split before it is tokenized. So only architectures
are taken for which it is known what belongs to them, and everything else in a file is refused by
name. Read with the library `gguf`; no weights are read, and torch is not needed.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAGIC = b"GGUF"
# Architectures as GGUF calls them; Llama's is also that of SmolLM, Mistral and others.
ARCHITECTURES = ("llama", "qwen2", "qwen3")
# Rules by which byte-level tokenizers split text, as GGUF calls them. Where transformers knows none
# of a name, it takes that of GPT-2.
DIGIT_SPLITS = ("smollm",)  # as GPT-2, but each digit by itself
WHOLE_SPLITS = ("llama-bpe",)  # Llama 3: texts begin with a token, and known words are not merged
SPLITS = (*DIGIT_SPLITS, *WHOLE_SPLITS, "gpt-2", "qwen2")
_NEEDED = {
    "block_count",
    "feed_forward_length",
    "embedding_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.layer_norm_rms_epsilon",
    "rope.freq_base",
}
_READ = {*_NEEDED, "context_length", "vocab_size"}
_OF_TOKENIZER = (".model", ".pre", ".eos_token_id", ".bos_token_id", ".add_bos_token")
_HEAD_SIZES = ("attention.key_length", "attention.value_length", "rope.dimension_count")
_QWEN3_HEAD = 128  # which transformers takes for granted
_TENSOR = re.compile(
    r"(token_embd|output|output_norm)\.weight|blk\.\d+\."
    r"(attn_(norm|q|k|v|output|q_norm|k_norm)|ffn_(norm|gate|up|down))\.(weight|bias)"
)
INSTALL = "pip install -r envs/requirements.txt (or make .venv/runtime.stamp)"
_CURE = "give the checkpoint in transformers' format (safetensors) that the file was made from"


@dataclass(frozen=True)
class Header:
    """What a file's header tells."""

    settings: dict[str, Any]
    tensors: dict[str, tuple[int, ...]]  # name -> shape, as torch tells it
    types: dict[str, int]  # how many tensors of each type

    @property
    def numbers(self) -> int:
        """How many numbers all tensors have."""
        return sum(math.prod(shape) for shape in self.tensors.values())

    @property
    def architecture(self) -> str:
        return str(self.settings.get("general.architecture"))

    def of_architecture(self) -> dict[str, Any]:
        """The settings of the architecture, without its name."""
        before = f"{self.architecture}."
        return {
            key.removeprefix(before): value
            for key, value in self.settings.items()
            if key.startswith(before)
        }


def file_problem(path: Path) -> str | None:
    """What is wrong with a file that its first bytes tell."""
    if not path.is_file():
        return f"there is no file {path}; give a GGUF file"
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            return f"{path} is no GGUF file (it does not begin with GGUF); copy or fetch it again"
    return None


def read_header(path: Path) -> Header:
    """The header of a GGUF file."""
    from gguf import GGUFReader

    reader = GGUFReader(path)
    # NOTE lists, such as the vocabulary, are long, and no setting of an architecture is one.
    settings = {
        key: field.contents()
        for key, field in reader.fields.items()
        if not key.startswith("tokenizer.ggml.") or key.endswith(_OF_TOKENIZER)
    }
    return Header(
        settings,
        {str(one.name): tuple(int(size) for size in reversed(one.shape)) for one in reader.tensors},
        dict(Counter(tensor.tensor_type.name for tensor in reader.tensors)),
    )


def gguf_problem(path: Path) -> str | None:
    """Why a GGUF file cannot be turned into a model, with the cure; None if it can."""
    if problem := file_problem(path):
        return problem
    if importlib.util.find_spec("gguf") is None:
        return f"{path} is read with the package gguf, which is not installed; run {INSTALL}"
    try:
        header = read_header(path)
    except Exception as error:  # the library raises plain ones where a file is cut short
        return f"{path} is damaged or cut short ({error}); copy or fetch it again"
    return next(_problems(path, header), None)


def _problems(path: Path, header: Header) -> Iterator[str]:
    if header.architecture not in ARCHITECTURES:
        yield (
            f"{path} is of the architecture {header.architecture!r}, and only GGUF files of "
            f"{', '.join(ARCHITECTURES)} are read here; {_CURE}"
        )
        return
    if header.settings.get("split.count", 1) > 1:
        yield f"{path} is one of {header.settings['split.count']} parts of a model; join them first"
    found = header.of_architecture()
    if missing := sorted(_NEEDED - set(found)):
        yield f"{path} does not tell {', '.join(missing)} of its model; fetch a newer version of it"
        return
    yield from _settings_problems(path, header, found)
    if odd := sorted(name for name in header.tensors if not _TENSOR.fullmatch(name)):
        scaled = " (scaled rotary positions)" if "rope_freqs.weight" in odd else ""
        yield (
            f"{path} holds {len(odd)} tensors that would be left out, such as {odd[0]!r}{scaled}; "
            f"{_CURE}"
        )
    yield from _tokenizer_problems(path, header)


def _settings_problems(path: Path, header: Header, found: dict[str, Any]) -> Iterator[str]:
    size = found["embedding_length"] // found["attention.head_count"]
    if header.architecture == "qwen3":
        size = _QWEN3_HEAD
    elif header.architecture == "llama":
        size = found.get("rope.dimension_count", size)
    for key, value in found.items():
        if key in _HEAD_SIZES and value != size:
            yield f"{path} has heads of size {value} ({key}), but {size} would be used; {_CURE}"
        elif key not in {*_READ, *_HEAD_SIZES}:
            yield f"{path} sets {key} to {str(value)[:40]}, which would be left out; {_CURE}"


def _tokenizer_problems(path: Path, header: Header) -> Iterator[str]:
    if "tokenizer.ggml.eos_token_id" not in header.settings:
        yield f"{path} names no token that ends answers (tokenizer.ggml.eos_token_id); {_CURE}"
    kind = header.settings.get("tokenizer.ggml.model")
    split = header.settings.get("tokenizer.ggml.pre")
    begins = header.settings.get("tokenizer.ggml.add_bos_token", split in WHOLE_SPLITS)
    if kind not in ("gpt2", "llama"):
        yield f"{path} has a tokenizer of the kind {kind!r}, which cannot be read; {_CURE}"
    elif begins and "tokenizer.ggml.bos_token_id" not in header.settings:
        yield f"{path} does not tell with which token texts begin (bos_token_id); {_CURE}"
    elif kind == "gpt2" and split not in SPLITS:
        yield (
            f"{path} splits text by the rule {split!r} (tokenizer.ggml.pre), and only "
            f"{', '.join(SPLITS)} are known here: prompts might be read as other tokens; {_CURE}"
        )
