"""What can be wrong with a model's folder, told from its files before anything is loaded.

`quick_problems` reads JSON files and the headers of safetensors files only, which takes
milliseconds whatever the model's size, so that a configuration is refused before any job;
`tokenizer_problems` also reads tokenizer.json (0.2 s for 128,000 tokens) and is asked once a run.
What only the numbers themselves can tell is found on loading (`models.load_model`).
"""

from __future__ import annotations

import filecmp
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lengthlens.errors import LengthlensError
from lengthlens.weights.chat_template import read_template, unknown_variables
from lengthlens.weights.json_files import read_json, read_mapping
from lengthlens.weights.kinds import odd_kind
from lengthlens.weights.places import odd_place
from lengthlens.weights.quantized import (
    in_words,
    method_problem,
    plain_tensors,
    quantization_of,
    summary,
)
from lengthlens.weights.shape import count_of, text_part
from lengthlens.weights.tensors import Tensor, read_header, tensor_problems, tensors_in

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
# Files of the tokenizers that transformers can load; one of them is enough.
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_SETTINGS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
_POINTER = b"version https://git-lfs"


def quick_problems(folder: Path) -> list[str]:
    """Everything wrong with a folder that small reads can tell; each with its cure."""
    if odd := odd_place(folder):
        return [odd]
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        return [
            f"{folder} has no readable config.json; legal: a folder with a model in transformers' "
            "format, as save_pretrained writes it"
        ]
    problems = [*_config_problems(config), *_unreadable(folder)]
    tensors: dict[str, Tensor] = {}
    if not problems:
        problems = [*_weight_problems(folder, tensors), *_settings_problems(folder)]
    if not problems:
        try:
            plain = plain_tensors(quantization_of(config), tensors)
            problems += tensor_problems(text_part(config), plain)
        except LengthlensError as error:
            problems.append(str(error))
    return problems + no_tokenizer(folder)


def no_tokenizer(folder: Path) -> list[str]:
    """That a folder holds no tokenizer, if so."""
    if any((folder / name).is_file() for name in VOCABULARIES):
        return []
    return [
        f"{folder} holds no tokenizer (none of {', '.join(VOCABULARIES)}); save it into the same "
        "folder with its save_pretrained"
    ]


def no_weights(folder: Path) -> str:
    """What is told of a folder without safetensors weights."""
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        return (
            f"{folder} holds only pickled weights ({', '.join(pickles[:3])}), which can run any "
            "code when loaded; convert them with save_pretrained (it writes safetensors)"
        )
    return f"{folder} holds no weights; expected {SINGLE} or {INDEX} with its files"


def template_problem(
    folder: Path, variant: str, variables: Mapping[str, Any]
) -> tuple[str, str] | None:
    """Why a model cannot be prompted as its entry says; None if it can.

    An instruct model is prompted through its tokenizer's chat template, so there must be one, valid
    and with the variables that the entry sets.

    Returns:
        The key of the entry that is wrong, `variant` or `template`, and what is wrong.
    """
    if variant != "instruct":
        if not variables:
            return None
        return "template", (
            f"template sets {', '.join(variables)}, but a base model is prompted without one; "
            "remove `template:`"
        )
    try:
        template = read_template(folder)
    except LengthlensError as error:
        return "variant", f"instruct, but {error}"
    if template is None:
        return "variant", (
            f"instruct, but the tokenizer in {folder} has no chat template; legal: base, or add a "
            "chat_template.jinja"
        )
    problem = unknown_variables(template, variables)
    return None if problem is None else ("template", problem)


def tokenizer_problems(folder: Path, stop_tokens: Sequence[str | int]) -> Iterator[str]:
    """Whether the tokenizer fits the model, and whether anything ends an answer."""
    path = folder / "tokenizer.json"
    tokenizer = read_json(path)
    if path.is_file() and not isinstance(tokenizer, dict):
        yield f"{path} is damaged: it is no JSON mapping; copy or fetch it again"
        return
    config = text_part(read_mapping(folder / "config.json"))
    known = config.get("vocab_size")
    largest = _largest_id(tokenizer) if isinstance(tokenizer, dict) else None
    if isinstance(known, int) and largest is not None and largest >= known:
        yield (
            f"the tokenizer in {folder} has tokens up to id {largest}, but the model has "
            f"{known} (vocab_size in config.json): one of them belongs to another model"
        )
    if not stop_tokens and not _says_what_ends(folder, config):
        yield (
            f"nothing in {folder} says which token ends an answer (no eos_token_id in "
            "generation_config.json or config.json, no eos_token in tokenizer_config.json); add "
            "`stop_tokens:` to this model"
        )


def number_of_heads(folder: Path) -> tuple[int, int] | None:
    """Layers and heads in each of them, as config.json tells; None where it does not."""
    config = text_part(read_mapping(folder / "config.json"))
    found = count_of(config, "layers"), count_of(config, "heads")
    return None if None in found else found


# Keys of config.json that say which shapes weights have, and how positions are told.
_SHAPE = (
    "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "intermediate_size", "vocab_size", "tie_word_embeddings", "n_embd", "n_layer",
    "n_head", "n_inner",
)  # fmt: skip


def shape_of(folder: Path) -> dict[str, Any]:
    """What config.json tells of the shapes of the weights; empty where it cannot be read."""
    config = text_part(read_mapping(folder / "config.json"))
    return {key: config[key] for key in _SHAPE if config.get(key) is not None}


def same_file(one: Path, other: Path) -> bool:
    """Whether two files are there and hold the same bytes."""
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)


def token_ids(folder: Path) -> dict[str, int]:
    """The id of every token that tokenizer.json lists; empty where it cannot be read."""
    tokenizer = read_mapping(folder / "tokenizer.json")
    vocabulary = _vocabulary(tokenizer)
    if isinstance(vocabulary, list):
        vocabulary = {entry[0]: place for place, entry in enumerate(vocabulary)}
    added = tokenizer.get("added_tokens") or []
    return dict(vocabulary or {}) | {token["content"]: token["id"] for token in added}


def _config_problems(config: dict) -> Iterator[str]:
    quantization = quantization_of(config)
    if quantization is not None and (problem := method_problem(quantization)):
        yield problem
    if odd := odd_kind(config):
        yield odd
    kind = config.get("model_type")
    if config.get("auto_map") and not _is_in_transformers(kind):
        yield (
            f"its architecture {kind!r} comes as code of its own (auto_map in config.json), which "
            "is never run; give a model that transformers itself knows"
        )


def _is_in_transformers(kind: object) -> bool:
    """Whether transformers has a folder for a model type; without importing it."""
    found = importlib.util.find_spec("transformers")
    if found is None or not isinstance(kind, str):
        return False
    models = Path(found.submodule_search_locations[0]) / "models"
    name = kind.replace("-", "_")
    names = (name, name.removesuffix("_text"), name.partition("_")[0])
    return any((models / folder).is_dir() for folder in names if folder)


def header_tensors(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder's weight files, as far as their headers can be read."""
    tensors: dict[str, Tensor] = {}
    list(_weight_problems(folder, tensors))
    return tensors


def quantized(folder: Path) -> dict[str, Any] | None:
    """How a folder's weights are quantized (`quantized.summary`); None for plain ones."""
    found = quantization_of(read_mapping(folder / "config.json"))
    return None if found is None else summary(found, header_tensors(folder))


def quantized_notes(folder: Path, dtype: str) -> list[str]:
    """The same as sentences; none for plain weights. `dtype`: in which they are used."""
    found = quantized(folder)
    return [] if found is None else [in_words(found, dtype)]


def _unreadable(folder: Path) -> Iterator[str]:
    """Files that this user may not read."""
    kept = (".json", ".jinja", ".model", ".safetensors")
    for path in sorted(folder.iterdir()):
        if path.suffix in kept and not os.access(path, os.R_OK):
            state = "may not be read by you" if path.exists() else "is a link that leads nowhere"
            yield f"{path} {state}; correct its permissions or copy it again"


def _weight_problems(folder: Path, tensors: dict[str, Tensor]) -> Iterator[str]:
    """What is wrong with the weight files; the tensors that they hold are added to `tensors`."""
    single, index = folder / SINGLE, folder / INDEX
    if single.is_file():
        yield from file_problems(single, None, tensors)
    elif index.is_file():
        where = read_mapping(index).get("weight_map")
        if not isinstance(where, dict) or not where:
            yield f"{index} is damaged: it names no weights; copy or fetch it again"
            return
        for name in sorted(set(map(str, where.values()))):
            expected = {tensor for tensor, shard in where.items() if shard == name}
            if Path(name).name != name:
                yield f"{index} names the weight file {name}, which lies elsewhere; copy it beside"
            elif not (folder / name).is_file():
                yield (
                    f"{index} names the weight file {name}, which is not there; copy or fetch it "
                    "again"
                )
            else:
                yield from file_problems(folder / name, expected, tensors)
    else:
        yield no_weights(folder)


def file_problems(
    path: Path, expected: set[str] | None, tensors: dict[str, Tensor]
) -> Iterator[str]:
    """A safetensors file must be as long as its header says and hold the expected tensors."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            yield f"{path} is a pointer of Git LFS, not the weights; run `git lfs pull`"
            return
    found = read_header(path)
    if found is None:
        yield f"{path} is damaged or cut short ({size} bytes, no header); copy or fetch it again"
        return
    length, header = found
    try:
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
        whole = 8 + length + max(ends, default=0)
    except (TypeError, KeyError, IndexError, ValueError, OverflowError):
        yield f"{path} is damaged: its header does not say where tensors lie; copy it again"
        return
    tensors |= tensors_in(header)
    if size != whole:
        yield f"{path} has {size} bytes instead of {whole}: it is not whole; copy or fetch it again"
    if absent := sorted((expected or set()) - set(header)):
        yield (
            f"{path} lacks {len(absent)} tensors that {INDEX} looks for there, such as "
            f"{absent[0]!r}; copy or fetch both again"
        )


def _settings_problems(folder: Path) -> Iterator[str]:
    for name in _SETTINGS:
        path = folder / name
        if path.is_file() and not isinstance(read_json(path), dict):
            yield f"{path} is damaged: it is no JSON mapping; copy or fetch it again"


def _largest_id(tokenizer: dict) -> int | None:
    """The largest id of the vocabulary itself; tokens may be added that no model row stands for."""
    found = _vocabulary(tokenizer) or {}
    ids = found.values() if isinstance(found, dict) else range(len(found))
    return max((token for token in ids if isinstance(token, int)), default=None)


def _vocabulary(tokenizer: Mapping) -> dict[str, int] | list | None:
    """Token -> id, or a list of tokens with their scores; None where there is neither."""
    model = tokenizer.get("model")
    found = model.get("vocab") if isinstance(model, dict) else None
    return found if isinstance(found, dict | list) else None


def _says_what_ends(folder: Path, config: dict) -> bool:
    generation, tokenizer, special = (read_mapping(folder / name) for name in _SETTINGS)
    ids = (generation.get("eos_token_id"), config.get("eos_token_id"))
    tokens = (tokenizer.get("eos_token"), special.get("eos_token"))
    # A tokenizer of SentencePiece keeps its end in tokenizer.model.
    elsewhere = not (folder / "tokenizer.json").is_file()
    return elsewhere or any(found is not None for found in (*ids, *tokens))
