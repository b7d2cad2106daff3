"""Where a file comes from: what made it, from which configuration, weights, code and versions.

HDF5 and netCDF files carry their provenance in their attributes; text files (JSON lines, CSV) have
it beside them, in a file that ends in `.provenance.json`, with the SHA-256 of the text. Nothing in
it changes from run to run on the same code, or tells of a machine: no dates, no host, no user, and
of folders outside of the project only the last part.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from lengthlens import __version__
from lengthlens.errors import LengthlensError
from lengthlens.files.identity import inherited, weights_in
from lengthlens.files.integrity import SEAL, changed, check_seal, digest, sealed
from lengthlens.files.refusals import refusals
from lengthlens.files.sharing import public_path
from lengthlens.files.whole import write_json, written_whole

PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "h5py", "xarray", "snakemake")
PROJECT = Path(__file__).resolve().parents[3]
NO_CLONE = "the code is a copy, not a clone of its repository"
NOT_CODE = ":(exclude)results"
_STATUS = ("status", "--porcelain", "--untracked-files=no", "--", ".", NOT_CODE)
CONTENT = "sha256"  # key of the hash of the text that a provenance belongs to


def provenance(schema: str, config: Mapping, model: Mapping | None = None) -> dict:
    """Describe a file that is about to be written.

    Args:
        schema: name and version of the file's format, one of `formats`.
        config: the slice of the configuration that the file depends on, seeds included.
        model: manifest of the model's files (`checkpoints.weights_manifest`), if one was used; of a
            model that was made of a GGUF file or with an adapter its origin is told, too.
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
        made["model"]["source"] = public_path(made["model"]["source"])
        if "origin" in model:
            made["model"]["origin"] = model["origin"]
    return made


def derived(schema: str, config: Mapping, sources: Iterable[Mapping]) -> dict:
    """Describe a file that is made from files of the run: their models and configuration are its.

    Args:
        schema: name and version of the file's format.
        config: the slice of the configuration that the file itself depends on.
        sources: provenance of the files that it was made from.
    """
    sources = list(sources)
    made = provenance(schema, inherited(config, sources))
    made["models"] = {m: hash_ for source in sources for m, hash_ in weights_in(source).items()}
    return made


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of the packages that results depend on."""
    return {"python": platform.python_version()} | versions_of(*PACKAGES)


def versions_of(*packages: str) -> dict[str, str]:
    """Installed versions of some packages, without those that are not there."""
    found = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


@functools.cache
def commit(root: Path = PROJECT) -> dict[str, str | bool | None]:
    """The commit of the code that runs, and whether tracked files were changed since.

    Results are no part of the code: a link in the place of their folder changes nothing.

    Returns:
        `commit` and `dirty`; where the commit is not known both are None, and `no_commit` says why.
    """
    top, refused = _git(root, "rev-parse", "--show-toplevel")
    head = None
    if top is not None and Path(top).resolve() == root:  # and not a repository around a copy
        head, refused = _git(root, "rev-parse", "HEAD")
    elif top is not None:
        refused = NO_CLONE
    if head is None:
        return {"commit": None, "dirty": None, "no_commit": refused}
    changes, _ = _git(root, *_STATUS)
    return {"commit": head, "dirty": None if changes is None else bool(changes)}


def _git(root: Path, *words: str) -> tuple[str | None, str]:
    """What git says, or None; and why it does not, in words that name no folder of the machine."""
    # No locks: many jobs ask at once, and a shared checkout may not be written to.
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            env=environment,
        )
    except FileNotFoundError:
        return None, "git is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"git does not answer ({type(error).__name__})"
    if done.returncode == 0:
        return done.stdout.strip(), ""
    if "dubious ownership" in done.stderr:
        return None, (
            "git trusts no folder of another user; allow it with git config --global --add "
            "safe.directory and the path of the project"
        )
    return None, NO_CLONE if "not a git repository" in done.stderr else "git finds no commit"


def sidecar(path: str | Path) -> Path:
    """Where the provenance of a text file lies: a.en.jsonl -> a.en.provenance.json."""
    return Path(path).with_suffix(".provenance.json")


def write_with_sidecar(path: str | Path, text: str, made: Mapping) -> None:
    """Write a text file, and beside it its provenance with the text's SHA-256."""
    content = text.encode()
    beside = sealed({**made, CONTENT: digest(content)})
    write_json(sidecar(path), beside)
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


def read_with_sidecar(path: str | Path, schema: str) -> tuple[str, dict]:
    """The text of a file and its provenance, both checked.

    Raises:
        LengthlensError: one of them is missing, was changed, or is of another schema.
    """
    beside = sidecar(path)
    try:
        with refusals(beside):
            made = json.loads(beside.read_bytes())
    except FileNotFoundError:
        raise LengthlensError(
            f"{path} has no provenance ({beside.name} is missing beside it), so nothing says what "
            "made it; delete it and run again"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise LengthlensError(f"{beside} is not JSON ({error}); delete it and run again") from error
    if not isinstance(made, dict):
        raise LengthlensError(f"{beside} holds no object; delete it and run again")
    check_schema(path, made.get("schema"), schema)
    check_seal(beside, made)
    try:
        with refusals(path):
            content = Path(path).read_bytes()
    except FileNotFoundError:
        raise LengthlensError(f"{path} does not exist; run the stage that makes it") from None
    if digest(content) != made[CONTENT]:
        raise changed(path)
    text = content.decode()
    return text, {key: value for key, value in made.items() if key not in (CONTENT, SEAL)}


def check_schema(path: str | Path, found: str | None, expected: str) -> None:
    """Refuse a file of another format.

    Raises:
        LengthlensError: naming both formats.
    """
    if found == expected:
        return
    if _version(found, expected) > _version(expected, expected):
        raise LengthlensError(
            f"{path} has the format {found!r} of a newer lengthlens, but this version reads "
            f"{expected!r}; keep it, and read it with the newer one"
        )
    raise LengthlensError(
        f"{path} has the format {found!r}, but this version reads {expected!r}; delete it and "
        "run again"
    )


def _version(schema: object, expected: str) -> int:
    """The version of a format, if it is of the expected kind, else 0."""
    kind, _, version = str(schema).partition("/")
    return int(version) if kind == expected.partition("/")[0] and version.isdigit() else 0
