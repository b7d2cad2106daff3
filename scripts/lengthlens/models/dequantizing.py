"""A GGUF file as a model in transformers' format, in float32.

transformers dequantizes the weights and builds the tokenizer. A block of GGUF stands for products
and sums of short numbers, which are computed in float32; 16 bits would round them. Beside what
`weights.gguf_header` finds in the header, it is checked here that every tensor of the file went
into the model and that the model lacks none.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from lengthlens.errors import LengthlensError
from lengthlens.files.provenance import versions_of
from lengthlens.files.sharing import public_path
from lengthlens.settings.sections import Gguf
from lengthlens.weights.checkpoints import file_hash
from lengthlens.weights.gguf_header import (
    DIGIT_SPLITS,
    WHOLE_SPLITS,
    Header,
    gguf_problem,
    read_header,
)
from lengthlens.weights.made import PRECISION, made_whole, room_problem, write_origin
from lengthlens.weights.packages import check_hash


def dequantize(file: Gguf, path: Path, folder: Path) -> None:
    """Make a model's folder of a GGUF file.

    Args:
        file: as the configuration declares it.
        path: where it lies.
        folder: of the model; appears when it is whole.

    Raises:
        LengthlensError: the file has another hash or cannot be read as it is, or the disk is full.
    """
    if problem := gguf_problem(path):
        raise LengthlensError(problem)
    digest = file_hash(path)
    check_hash(file, digest)
    header = read_header(path)
    if problem := room_problem(folder.parent, header.numbers):
        raise LengthlensError(f"{file.source}: {problem}")
    transformers_logging.disable_progress_bar()
    # NOTE alone in a folder: transformers also reads what lies beside a file.
    with tempfile.TemporaryDirectory() as alone, made_whole(folder) as made:
        (Path(alone) / "model.gguf").symlink_to(path.absolute())
        try:
            tokenizer, model = _tokenizer(alone, header), _model(alone, header, path)
        except LengthlensError:
            raise
        except (ValueError, KeyError, RuntimeError) as error:
            raise LengthlensError(f"transformers cannot read {path} ({error})") from error
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        write_origin(made, _origin(file, header, digest, path.stat().st_size))


def _tokenizer(folder: str, header: Header) -> PreTrainedTokenizerBase:
    tokenizer = AutoTokenizer.from_pretrained(
        folder, gguf_file="model.gguf", local_files_only=True, trust_remote_code=False
    )
    read, split = tokenizer.backend_tokenizer, header.settings.get("tokenizer.ggml.pre")
    if split in DIGIT_SPLITS:
        digits = pre_tokenizers.Digits(individual_digits=True)
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
        read.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    if split in WHOLE_SPLITS:
        read.model.ignore_merges = True  # what the vocabulary holds as a whole is one token
    begins = header.settings.get("tokenizer.ggml.add_bos_token", split in WHOLE_SPLITS)
    if header.settings["tokenizer.ggml.model"] == "gpt2":
        bos = tokenizer.bos_token
        single, special = f"{bos} $A", [(bos, tokenizer.bos_token_id)]
        if not begins:
            single, special = "$A", []
        read.post_processor = TemplateProcessing(single=single, special_tokens=special)
    return tokenizer


def _model(folder: str, header: Header, path: Path) -> PreTrainedModel:
    """The model of a file, as one that never was quantized."""
    read, report = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file="model.gguf",
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    state = read.state_dict()
    tied = read.config.tie_word_embeddings and "lm_head.weight" in state
    taken = len(state) - tied
    if missing := sorted(
        name for name in report["missing_keys"] if not (tied and "lm_head" in name)
    ):
        raise LengthlensError(
            f"{path} lacks {len(missing)} weights of its model, such as {missing[0]}; copy or "
            "fetch it again"
        )
    if taken != len(header.tensors):
        raise LengthlensError(
            f"{path} holds {len(header.tensors)} tensors, and its model has a place for {taken}: "
            "the others would be left out; give the checkpoint in transformers' format instead"
        )
    values = read.config.to_dict()
    values.pop("quantization_config", None)
    config = type(read.config)(**values)
    with torch.device("meta"):
        model = type(read)(config)
    model.load_state_dict(state, assign=True)
    model.tie_weights()
    model.generation_config = GenerationConfig.from_model_config(config)
    return model


def _origin(file: Gguf, header: Header, digest: str, size: int) -> dict[str, Any]:
    types = ", ".join(f"{count} {kind}" for kind, count in sorted(header.types.items()))
    source = file.model_copy(update={"file": public_path(file.file)}).source
    return {
        "gguf": {
            "source": source,
            "sha256": digest,
            "bytes": size,
            "name": header.settings.get("general.name", ""),
            "architecture": header.architecture,
            "tensors": header.types,
        },
        "precision": PRECISION,
        "versions": versions_of("gguf", "transformers", "torch"),
        "notes": [
            f"its weights come from the GGUF file {source} ({types} tensors), dequantized into "
            f"{PRECISION}"
        ],
    }
