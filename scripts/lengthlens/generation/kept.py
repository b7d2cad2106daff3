"""Finished shards, kept under what made them, so that no answer is generated twice.

One job answers all shards of a model and language, so that the model is loaded once. Snakemake
removes the outputs of a job before it starts, and those of one that failed: an added N, or a job
killed at its last shard, would cost all of them. So every finished shard has a second name, a hard
link that takes no space, in a hidden folder beside the first. Where a job finds one there with the
identity that it is about to make, it gives the shard its first name back.

A shard's identity is a hash of all that its content depends on: the configuration it gets, the
hash of the model's files, its prompts word by word, the code, and what computes it (device,
precision, versions of packages). Beside the files stands each one's own hash: what was damaged
since is not put back, but made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lengthlens.files.identity import differences
from lengthlens.files.whole import temporary_path
from lengthlens.language.prompts import Prompt
from lengthlens.weights.checkpoints import PROMPTED

FOLDER = ".kept"
_HASHES = "sha256.json"
_COMPUTATION = "computation.json"


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def code_hash(paths: Iterable[str | Path]) -> str:
    """One hash over the content of code files, in the given order."""
    return hashlib.sha256("".join(map(file_hash, paths)).encode()).hexdigest()


def shard_identity(
    config: Mapping,
    model: Mapping,
    weights: str,
    prompts: Sequence[Prompt],
    code: str,
    computation: Mapping,
) -> str:
    """A hash of everything that a shard's content depends on.

    Args:
        config: the slice of the configuration that generation gets.
        model: the model's entry in the configuration; where its files lie does not count.
        weights: hash of the model's files, from its manifest.
        prompts: those of the shard.
        code: `code_hash` of the script and the modules that it imports.
        computation: device, precision and versions (`computation.computation`).
    """
    prompted = {key: model.get(key) for key in ("variant", *PROMPTED)}
    asked = [[prompt.id, prompt.split, prompt.text] for prompt in prompts]
    parts = [config, prompted, weights, asked, code, computation]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class KeptShards:
    """The second names of finished shards: `{folder}/{shard}/{identity}/{file}`.

    Attributes:
        folder: in the file system of the shards.
        computation: what computes the shards that are made; noted beside them, to tell why one
            that is kept cannot be used.
    """

    folder: Path
    computation: Mapping[str, str] = field(default_factory=dict)

    def unfinished(
        self, shards: Iterable[tuple[str, str, Sequence[Path]]], temporary: bool = False
    ) -> Iterator[tuple[int, Sequence[Path]]]:
        """Put back the shards that are kept, yield the others to be made, and keep those.

        Args:
            shards: name, identity and files of each; files that are made have other names.
            temporary: keep nothing once all are made, for Snakemake will delete some of the files.

        Yields:
            A shard's place and its files; when the next one is asked for, they must be there.
        """
        names = []
        for place, (name, identity, files) in enumerate(shards):
            names.append(name)
            if not self._put_back(name, identity, files):
                self._tell(name)
                yield place, files
                self._keep(name, identity, files)
        for name in names if temporary else ():
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def _put_back(self, name: str, identity: str, files: Sequence[Path]) -> bool:
        folder = self.folder / name / identity
        kept = [folder / path.name for path in files]
        if not _whole(folder, kept):
            return False
        for source, path in zip(kept, files, strict=True):
            _link(source, path)
        return True

    def _tell(self, name: str) -> None:
        """Say why a shard that is kept is made anew, where what computes it has changed."""
        for noted in sorted((self.folder / name).glob(f"*/{_COMPUTATION}")):
            try:
                before = json.loads(noted.read_text(encoding="utf-8"))
                changes = differences(before, self.computation)
            except (OSError, ValueError, AttributeError):
                continue
            if changes:
                print(f"{name} is made anew: it was made with {changes} now", file=sys.stderr)

    def _keep(self, name: str, identity: str, files: Sequence[Path]) -> None:
        """Keep a shard's files, all or none, and forget what was made in another way."""
        folder = self.folder / name
        whole = temporary_path(folder / identity)
        shutil.rmtree(whole, ignore_errors=True)
        whole.mkdir()
        for path in files:
            _link(path, whole / path.name)
        hashes = {path.name: file_hash(path) for path in files}
        (whole / _HASHES).write_text(json.dumps(hashes), encoding="utf-8")
        noted = json.dumps(dict(self.computation), sort_keys=True)
        (whole / _COMPUTATION).write_text(noted, encoding="utf-8")
        for old in folder.iterdir():
            if old != whole:
                shutil.rmtree(old)
        os.replace(whole, folder / identity)


def _whole(folder: Path, files: Sequence[Path]) -> bool:
    """Whether all files are there, and as they were when they were kept."""
    try:
        hashes = json.loads((folder / _HASHES).read_text(encoding="utf-8"))
        return all(hashes.get(path.name) == file_hash(path) for path in files)
    except (FileNotFoundError, ValueError, AttributeError):
        return False


def _link(source: Path, path: Path) -> None:
    """Give a file a second name; a copy where the file system has no hard links."""
    path.unlink(missing_ok=True)
    try:
        os.link(source, path)
    except OSError:
        shutil.copy2(source, path)
