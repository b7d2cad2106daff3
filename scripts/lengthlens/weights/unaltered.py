"""A model's files are the same in every job of a run as when they were hashed.

Snakemake compares files when a run begins. A file that is replaced while it runs, between two jobs
or during one, would mix two models in one study without a word; so every job that has a model's
manifest as input compares the files with it, before it begins and again when it is done.

To hash 16 GB takes 10 s of a core that has instructions for it (1.7 GB/s), and longer from a disk:
too long for each of some hundred jobs. So the stamp of every file (size,
times of change, inode) is noted beside the manifest once its content was found to be right, as git
does in its index: a file with the same stamp was not written to since, and only one with another
stamp (touched, copied, moved, on another machine's disk) is hashed again. The time of the inode's
change (ctime) is part of it, which no tool can set back as `touch` or `cp -p` can the file's own.
A file that changed less than two seconds before it was noted is hashed again, too: the clocks of
some file systems are that coarse.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lengthlens.errors import LengthlensError
from lengthlens.files.whole import write_text
from lengthlens.weights.checkpoints import ModelSpec, file_hash, kept_files, spec_folder
from lengthlens.weights.json_files import read_mapping

_COARSE = 2.0  # seconds

Stamps = dict[str, list[int]]


def check_unaltered(spec: ModelSpec, manifest: Mapping[str, Any], beside: str | Path) -> list[str]:
    """Compare a model's files with its manifest.

    Args:
        spec: which model.
        manifest: `checkpoints.weights_manifest` of it.
        beside: the manifest's own path; the stamps are noted beside it.

    Returns:
        Names of the files that were hashed, because their stamps were new.

    Raises:
        LengthlensError: names a file that was changed, added or removed.
    """
    folder = spec_folder(spec)
    try:
        present = {path.name: path for path in kept_files(folder)}
    except OSError as error:
        raise _altered(spec, beside, f"{folder} cannot be read any more ({error})") from error
    listed = manifest["files"]
    for name in sorted(set(listed) ^ set(present)):
        change = "was added" if name in present else "is gone"
        raise _altered(spec, beside, f"{folder / name} {change}")
    known, now = read_mapping(_stamps_file(beside)), stamps(spec)
    hashed = [name for name in present if known.get(name) != now[name]]
    for name in hashed:
        path, wanted = present[name], listed[name]
        if path.stat().st_size != wanted["bytes"] or file_hash(path) != wanted["sha256"]:
            raise _altered(spec, beside, f"{path} has another content")
    if hashed:
        note(now, beside)
    return hashed


def stamps(spec: ModelSpec) -> Stamps:
    """The stamps of a model's files as they are now, by name: paths are nobody else's business."""
    return {path.name: _stamp(path) for path in kept_files(spec_folder(spec))}


def note(found: Stamps, beside: str | Path) -> None:
    """Note stamps that were taken before the files were read and found to be right."""
    settled = {
        name: stamp for name, stamp in found.items() if time.time() - stamp[2] / 1e9 > _COARSE
    }
    with contextlib.suppress(OSError):  # a folder that cannot be written to costs time only
        write_text(_stamps_file(beside), json.dumps(settled, indent=1, sort_keys=True) + "\n")


def _altered(spec: ModelSpec, beside: str | Path, change: str) -> LengthlensError:
    return LengthlensError(
        f"Model {spec.name}: {change} since its files were hashed, and answers of two models must "
        f"not be mixed. Put the old file back; or delete {beside} and run again: everything of "
        "this model is then made anew"
    )


def _stamp(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]


def _stamps_file(manifest: str | Path) -> Path:
    """results/weights/a.1234.json -> results/weights/.a.1234.stamps.json"""
    manifest = Path(manifest)
    return manifest.with_name(f".{manifest.stem}.stamps.json")
