"""Where a file comes from: what made it, from which configuration, weights, code and versions.

HDF5 and netCDF files carry their provenance in their attributes; text files (JSON lines, CSV) have
it beside them, in a file that ends in `.provenance.json`. Nothing in it changes from run to run on
the same code: no dates, no host, no user.
"""

from __future__ import annotations

import functools
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from lengthlens import __version__
from lengthlens.errors import LengthlensError
from lengthlens.files import write_text

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "h5py", "xarray", "snakemake")


def provenance(schema: str, config: Mapping, model: Mapping | None = None) -> dict:
    """Describe a file that is about to be written.

    Args:
        schema: name and version of the file's format, such as "attribution/1".
        config: the slice of the configuration that the file depends on, seeds included.
        model: manifest of the model's files (`checkpoints.weights_manifest`), if one was used.
    """
    made = {
        "schema": schema,
        "lengthlens": __version__,
        "config": dict(config),
        "versions": versions(),
        **commit(),
    }
    if model is not None:
        made["model"] = {key: model[key] for key in ("model", "source", "sha256")}
    return made


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def commit() -> dict[str, str | bool | None]:
    """The commit of the code that runs, and whether tracked files were changed since."""
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=30
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    changes = None if head is None else git("status", "--porcelain", "--untracked-files=no")
    return {"commit": head, "dirty": None if changes is None else bool(changes)}


def sidecar(path: str | Path) -> Path:
    """Where the provenance of a text file lies: a.en.jsonl -> a.en.provenance.json."""
    return Path(path).with_suffix(".provenance.json")


def write_sidecar(path: str | Path, made: Mapping) -> None:
    """Write the provenance of a text file beside it."""
    write_text(sidecar(path), json.dumps(made, indent=1, sort_keys=True) + "\n")


def read_sidecar(path: str | Path, schema: str) -> dict:
    """Read and check the provenance of a text file.

    Raises:
        LengthlensError: it is missing, or of another schema.
    """
    beside = sidecar(path)
    try:
        made = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LengthlensError(
            f"{path} has no provenance ({beside.name} is missing beside it), so nothing says what "
            "made it; delete it and run again"
        ) from None
    check_schema(path, made.get("schema"), schema)
    return made


def check_schema(path: str | Path, found: str | None, expected: str) -> None:
    """Refuse a file of another format.

    Raises:
        LengthlensError: naming both formats.
    """
    if found != expected:
        raise LengthlensError(
            f"{path} has the format {found!r}, but this version reads {expected!r}; delete it and "
            "run again"
        )
