"""Where a model's files are, and what exactly they are.

A model is named by a folder, by a repository of the Hugging Face hub at a fixed revision, or by a
GGUF file; a LoRA adapter may come on top of each. All end up as a local folder in transformers'
format: a hub model must have been fetched into the hub's cache, and what is made of a GGUF file or
an adapter lies below `results/weights` (`made`), for nothing here uses the network. Nothing imports
torch or transformers either, so that the manifest of a model costs no more than reading its files
once.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lengthlens.errors import LengthlensError
from lengthlens.files.formats import WEIGHTS
from lengthlens.files.integrity import check_seal
from lengthlens.files.refusals import refusal, refusals
from lengthlens.files.sharing import public_path
from lengthlens.files.validation import model_problems, plain_copy
from lengthlens.settings.sections import Model
from lengthlens.weights.checks import (
    INDEX,
    SINGLE,
    VOCABULARIES,
    no_tokenizer,
    no_weights,
    quantized,
    quick_problems,
    template_problem,
    tokenizer_problems,
)
from lengthlens.weights.hub_cache import expected_hash, how_to_fetch, snapshot_folder
from lengthlens.weights.made import (
    MADE_BELOW,
    ORIGIN,
    fetched_file,
    made_folder,
    read_origin,
)
from lengthlens.weights.places import odd_place
from lengthlens.weights.shape import Shape

# How a model is prompted and stopped, beside its variant: keys of its entry, and their defaults.
PROMPTED = {
    key: field.default
    for key, field in Model.model_fields.items()
    if key not in ("path", "hub", "revision", "gguf", "adapter", "variant", "series", "step")
}


class ModelSpec(Model):
    """One model of the study: an entry of `models` in the configuration, with its name.

    Exactly one of `path` (a folder), `hub` with `revision` (a repository and one of its commits)
    and `gguf` is set, and `adapter` beside it or not. Relative paths start from `root`; what is
    made of a GGUF file or an adapter lies below `made_below`, relative to the working directory.
    """

    name: str
    root: str = "."
    made_below: str = MADE_BELOW

    def __init__(
        self,
        name: str,
        variant: str | None = None,
        root: str = ".",
        made_below: str = MADE_BELOW,
        **entry: Any,
    ) -> None:
        entry["variant"] = variant
        entry = {key: value for key, value in entry.items() if value is not None}
        if not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise LengthlensError(
                f"The model name {name!r} is used in file names: "
                "use letters, digits and hyphens only."
            )
        values, problems = plain_copy(entry)
        if problems := problems + model_problems(values, Model):
            raise LengthlensError(f"Model {name}: {'; '.join(map(str, problems))}")
        super().__init__(name=name, root=root, made_below=made_below, **entry)
        given = {key: entry.get(key) for key in ("path", "hub", "gguf")}
        if sum(value is not None for value in given.values()) != 1:
            told = ", ".join(f"{key}: {value!r}" for key, value in given.items())
            raise LengthlensError(
                f"Model {name}: give either a path, a hub repository or a GGUF file ({told})."
            )
        if self.hub is not None and not self.revision:
            raise LengthlensError(
                f"Model {name}: {self.hub} has no revision, so its weights could change "
                "between two runs; add `revision:` with the commit that you mean."
            )

    @classmethod
    def from_config(cls, name: str, entry: Mapping[str, Any]) -> "ModelSpec":
        """The model `name` as described by its entry of `models` in the configuration."""
        return cls(**entry, name=name)

    @property
    def public_source(self) -> str:
        """Its `source`, of folders outside of the project only the last part."""
        public = {
            key: public_path(value)
            for key in ("path", "adapter")
            if (value := getattr(self, key)) is not None
        }
        if self.gguf is not None:
            public["gguf"] = self.gguf.model_copy(update={"file": public_path(self.gguf.file)})
        return self.model_copy(update=public).source

    @property
    def base(self) -> "ModelSpec":
        """The model without its adapter, whose chat template may be the adapter's own."""
        return self.model_copy(update={"adapter": None, "variant": "base", "template": {}})


def local_folder(path: str, root: str | Path) -> Path:
    """The folder that a model's `path` names: relative to the project's folder, or absolute.

    Everything that looks for a local model asks here.
    """
    return Path(root) / os.path.expanduser(path)


def gguf_path(spec: ModelSpec) -> Path:
    """Where the GGUF file of a model lies, or is going to lie once its package was fetched."""
    if spec.gguf.pip is not None:
        return Path(spec.made_below) / fetched_file(spec.gguf)
    return local_folder(spec.gguf.file, spec.root)


def spec_folder(spec: ModelSpec) -> Path:
    """The local folder of a model, unchecked; that of a hub model lies in the hub's cache.

    Raises:
        LengthlensError: a hub model was not fetched (`fetching.fetch_model` does).
    """
    if spec.is_made:
        return Path(spec.made_below) / made_folder(spec)
    if spec.path is not None:
        return local_folder(spec.path, spec.root)
    folder = snapshot_folder(spec.hub, spec.revision)
    if folder is None:
        raise LengthlensError(
            f"Model {spec.name}: {spec.source} is not in the hub's cache; "
            f"{how_to_fetch(spec.hub, spec.revision)}"
        )
    return folder


def model_folder(spec: ModelSpec) -> Path:
    """The local folder with the model's files, checked.

    Raises LengthlensError where the folder, the configuration, the safetensors weights or the
    tokenizer are missing, or where a hub model was not fetched.
    """
    folder = spec_folder(spec)
    if odd := odd_place(folder):
        raise LengthlensError(f"Model {spec.name}: {odd}")
    if not folder.is_dir() and spec.is_made:
        raise LengthlensError(
            f"Model {spec.name}: {folder}, which is made of {spec.source}, is not there; if "
            f"{folder.parent} has a manifest {spec.name}.*.json, delete it and run again"
        )
    if not folder.is_dir():
        raise LengthlensError(
            f"Model {spec.name}: there is no folder {spec.path!r} "
            f"(looked for {str(folder.absolute())!r}); correct `path:` of this model."
        )
    if not (folder / "config.json").is_file():
        raise LengthlensError(
            f"Model {spec.name}: {folder} holds no config.json; "
            "save the model with transformers' save_pretrained."
        )
    missing = [] if weight_files(folder) else [no_weights(folder)]
    if problems := missing + no_tokenizer(folder):
        raise LengthlensError(f"Model {spec.name}: {problems[0]}.")
    return folder


def check_files(spec: ModelSpec) -> Path:
    """The local folder of a model, every file of it checked as far as that goes without loading.

    Raises:
        LengthlensError: lists everything wrong, each with its cure.
    """
    folder = spec_folder(spec)
    if not folder.is_dir():
        return model_folder(spec)  # which says where it was looked for
    try:
        problems = quick_problems(folder)
        if wrong := template_problem(folder, spec.variant, spec.template):
            problems.append(f"variant is {wrong[1]}" if wrong[0] == "variant" else wrong[1])
        problems = problems or list(tokenizer_problems(folder, spec.stop_tokens))
    except OSError as error:
        told = refusal(error.filename or folder, error) or str(error)
        raise LengthlensError(f"Model {spec.name}: {told}") from error
    if problems:
        listed = problems[0] if len(problems) == 1 else "".join(f"\n  - {p}" for p in problems)
        raise LengthlensError(f"Model {spec.name}: {listed}")
    return folder


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that transformers loads from `folder`, sorted by name.

    One `model.safetensors`, or the shards named by `model.safetensors.index.json`.
    """
    index, single = folder / INDEX, folder / SINGLE
    if single.is_file():
        return [single]
    if not index.is_file():
        return []
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LengthlensError(
            f"{index} is damaged: it names no weights ({error}); copy or fetch it again"
        ) from error
    missing = [name for name in shards if not (folder / name).is_file()]
    if missing:
        raise LengthlensError(
            f"{index} names weight files that are not there: {missing}; copy or fetch them again."
        )
    return [folder / name for name in shards]


def weights_manifest(spec: ModelSpec) -> dict[str, Any]:
    """What the model is made of, byte for byte, as a dictionary ready for JSON.

    Returns:
        `schema`; `model` and `source` (of a folder outside of the project its last part); `files`:
        for each weight, configuration and tokenizer file its `sha256` and size in `bytes`; `bytes`:
        their total; `weights_sha256` and `sha256`: one hash over the weight files and one over all
        files; `shape`: numbers of layers, heads and so on (`shape.Shape`), null where config.json
        does not tell; `origin`: of a model that was made of a GGUF file or with an adapter, from
        what and how (`made`); `quantization`: of a quantized one, how (`quantized.summary`). A
        model that was moved to another folder keeps its hashes; a hub model keeps them wherever its
        cache lies.
    """
    folder = check_files(spec)
    files = {
        path.name: {"sha256": file_hash(path), "bytes": path.stat().st_size}
        for path in kept_files(folder)
    }
    shape = Shape.from_config(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    return {
        "schema": WEIGHTS,
        "model": spec.name,
        "source": spec.public_source,
        "shape": None if shape is None else shape.values(),
        **({"origin": read_origin(folder)} if spec.is_made else {}),
        **({} if (found := quantized(folder)) is None else {"quantization": found}),
        "files": files,
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "weights_sha256": _combined({p.name: files[p.name] for p in weight_files(folder)}),
        "sha256": _combined(files),
    }


def kept_files(folder: Path) -> list[Path]:
    """The files of a model that a manifest lists, by name: all that transformers may read.

    These are the weights in use, JSON, templates and vocabularies. README and other texts that
    change nothing stay out, and so do unused weights.
    """
    named = {"merges.txt", *VOCABULARIES}
    others = {
        path
        for path in folder.iterdir()
        if path.suffix in {".json", ".jinja", ".model"} or path.name in named
    }
    found = others.union(weight_files(folder)) - {folder / ORIGIN}
    return sorted(path for path in found if path.is_file())


def file_hash(path: Path) -> str:
    """SHA-256 of a file; one of the hub's cache must be what the hub said it is."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    wanted, found = expected_hash(path), digest
    if wanted is not None and len(wanted) == 40:
        content = path.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if wanted not in (None, found):
        raise LengthlensError(
            f"{path} is damaged: its content does not have the hash {wanted} of the hub; delete "
            f"{path.resolve()} and fetch the model again"
        )
    return digest


def read_manifest(path: str | Path) -> dict[str, Any]:
    """The manifest of a model's files, or the record of their fetch.

    Raises:
        LengthlensError: it is missing, not JSON, or was changed.
    """
    try:
        with refusals(path):
            values = json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise LengthlensError(f"{path} does not exist; run again") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise LengthlensError(
            f"{path} is not a manifest ({error}); delete it and run again"
        ) from error
    if not isinstance(values, dict):
        raise LengthlensError(f"{path} is not a manifest; delete it and run again")
    check_seal(path, values)
    return values


def _combined(files: Mapping[str, Mapping[str, Any]]) -> str:
    """One hash over names and hashes, in the format of sha256sum's lists."""
    lines = "".join(f"{entry['sha256']}  {name}\n" for name, entry in files.items())
    return hashlib.sha256(lines.encode()).hexdigest()
