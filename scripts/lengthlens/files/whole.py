"""Files that appear only when they are whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from lengthlens.errors import LengthlensError


def temporary_path(path: str | Path) -> Path:
    """Where a file is written before it gets its name: beside it, hidden, one a process."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path, and move the file to `path` when the block ends without an error."""
    temporary = temporary_path(path)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, values: Mapping) -> None:
    """Write values as JSON for people, keys in order; whole or not at all."""
    write_text(path, json.dumps(values, indent=1, sort_keys=True) + "\n")


def check_space(path: str | Path, needed: int) -> None:
    """Check that the disk has room for what is about to be written.

    Args:
        path: an existing file.
        needed: what it will grow by. [bytes]

    Raises:
        LengthlensError: it has not.
    """
    free = shutil.disk_usage(path).free
    if needed > free:
        raise LengthlensError(
            f"the disk is full: {path} needs {needed / 1e6:.1f} MB more, but {free / 1e6:.1f} MB "
            "are free; make room and run again (make resume), or set activations.keep to false"
        )
