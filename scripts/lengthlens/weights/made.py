"""Models that are made on this machine: of a GGUF file, or of a model and a LoRA adapter.

Both are folders in transformers' format below `results/weights`, which runs share. A folder is
named by what it is made of, so that two models of a study with one GGUF file, or a model and its
own adapter, share what they have in common. Weights are stored in float32: the numbers that a
quantized block stands for, and a sum of weights and adapter, would be rounded in anything shorter.

Beside the weights lies `origin.json`, which says what they were made of. It is no part of the
model.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lengthlens.errors import LengthlensError
from lengthlens.settings.sections import Gguf, Model

MADE_BELOW = "results/weights"
ORIGIN = "origin.json"
PRECISION = "float32"


def key_of(source: str) -> str:
    """What stands for a source in names of files."""
    return hashlib.sha256(source.encode()).hexdigest()[:8]


def file_key(file: Gguf) -> str:
    """The same for a GGUF file; another hash means another file."""
    return key_of(file.source if file.sha256 is None else f"{file.source} {file.sha256}")


def dequantized_folder(file: Gguf) -> str:
    """The name of the folder that a GGUF file is made into."""
    return f"dequantized.{file_key(file)}"


def made_folder(entry: Model) -> str:
    """The name of the folder that a model is made into."""
    if entry.adapter is None:
        return dequantized_folder(entry.gguf)
    told = entry.source if entry.gguf is None else f"{file_key(entry.gguf)} + {entry.adapter}"
    return f"merged.{key_of(told)}"


def fetched_file(file: Gguf) -> str:
    """The name of a GGUF file that came in a package."""
    return f"fetched.{file_key(file)}.gguf"


@contextmanager
def made_whole(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder, which gets its name when the block ends without an error."""
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk of a folder, which may be missing."""
    # NOTE os.path.isdir says no where Path.is_dir raises: in a folder that may not be looked into.
    there = next(one for one in (folder, *folder.absolute().parents) if os.path.isdir(one))
    return shutil.disk_usage(there).free


def room_problem(folder: Path, numbers: int) -> str | None:
    """Whether the disk of a folder, which may be missing, has room for so many numbers."""
    needed, free = 4 * numbers, free_bytes(folder)
    if needed <= free:
        return None
    return (
        f"it takes {needed / 1e9:.2f} GB below {folder} in {PRECISION}, but {free / 1e9:.2f} GB "
        "are free; make room, or link results to a folder on a larger disk"
    )


def write_origin(folder: Path, origin: Mapping[str, Any]) -> None:
    """Say in a folder what its model was made of."""
    text = json.dumps(dict(origin), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / ORIGIN).write_text(text, encoding="utf-8")


def read_origin(folder: Path) -> dict[str, Any]:
    """What a folder says that its model was made of.

    Raises:
        LengthlensError: it does not say it.
    """
    try:
        return json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LengthlensError(
            f"{folder / ORIGIN} cannot be read ({error}); delete {folder} and run again"
        ) from error
