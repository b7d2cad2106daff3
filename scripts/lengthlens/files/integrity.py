"""Checksums: a byte that changed after a file was written is noticed when the file is opened.

Text files and JSON are sealed by SHA-256: a file's provenance holds that of its content, and a
`seal` over the provenance itself. netCDF and HDF5 files end in a line with the SHA-256 of all that
stands before it, which is compared before anything interprets them: HDF5 crashes on some damaged
files. Other programs do not look behind the end of the data. Large arrays that have checksums of
their own (`activations`) are left out of the hash, so that opening a file does not read it all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from lengthlens.errors import LengthlensError
from lengthlens.files.refusals import refusals

SEAL = "seal"
_MARK = b"\nlengthlens "
_DIGITS = 12  # of the length of the list of parts that are left out
_TRAILER = len(_MARK) + _DIGITS + 1 + 64 + 1  # mark, length, blank, SHA-256, line break
_BLOCK = 2**22


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sealed(values: Mapping) -> dict:
    """The values with a hash of their own under `seal`."""
    rest = {key: value for key, value in values.items() if key != SEAL}
    return rest | {SEAL: digest(json.dumps(rest, sort_keys=True).encode())}


def check_seal(path: str | Path, values: Mapping) -> None:
    """Check values read from JSON against their seal.

    Raises:
        LengthlensError: they have none, or were changed.
    """
    if values.get(SEAL) is None:
        raise LengthlensError(
            f"{path} has no seal: it was changed, or made by an older version; delete it and run "
            "again"
        )
    if sealed(values)[SEAL] != values[SEAL]:
        raise changed(path)


def changed(path: str | Path) -> LengthlensError:
    """The error for a file whose content is not what was written."""
    return LengthlensError(
        f"{path} was changed after it was written, or the disk damaged it: its checksum does not "
        "fit; delete it and run again"
    )


def append_digest(path: str | Path, left_out: Iterable[tuple[int, int]] = ()) -> None:
    """Append to a binary file the line with the hash of its content.

    Args:
        path: the file.
        left_out: (first byte, number of bytes) of the parts that protect themselves.
    """
    parts = sorted(left_out)
    listed = json.dumps(parts).encode() if parts else b""
    with open(path, "r+b") as stream:
        end = stream.seek(0, 2)
        stream.write(listed)
        found = _hash(stream, end, parts, listed)
        stream.seek(0, 2)
        stream.write(_trailer(listed, found))


def check_digest(path: str | Path) -> str:
    """Check a file that `append_digest` finished, before anything interprets its bytes.

    Returns:
        The hash, which identifies the file.

    Raises:
        LengthlensError: it has no checksum, or another one, or may not be read.
        FileNotFoundError: there is no such file.
    """
    with refusals(path), open(path, "rb") as stream:
        end = stream.seek(0, 2) - _TRAILER
        stream.seek(max(end, 0))
        trailer = stream.read(_TRAILER)
        length = trailer[len(_MARK) : len(_MARK) + _DIGITS]
        if end < 0 or not trailer.startswith(_MARK) or not length.isdigit():
            raise LengthlensError(
                f"{path} does not end in its checksum: it was cut off or changed, or made by an "
                "older version; delete it and run again"
            )
        end -= int(length)
        if end < 0:
            raise changed(path)
        stream.seek(end)
        listed = stream.read(int(length))
        try:
            parts = [(int(start), int(size)) for start, size in json.loads(listed or b"[]")]
        except (ValueError, TypeError):
            raise changed(path) from None
        found = _hash(stream, end, parts, listed)
    if trailer != _trailer(listed, found):
        raise changed(path)
    return found


def _trailer(listed: bytes, found: str) -> bytes:
    return _MARK + f"{len(listed):0{_DIGITS}d} {found}\n".encode()


def _hash(stream: BinaryIO, end: int, parts: Iterable[tuple[int, int]], listed: bytes) -> str:
    """SHA-256 of the first `end` bytes without the given parts, and of the list of these."""
    running = hashlib.sha256()
    for start, stop in _between(parts, end):
        stream.seek(start)
        while start < stop and (block := stream.read(min(stop - start, _BLOCK))):
            running.update(block)
            start += len(block)
    running.update(listed)
    return running.hexdigest()


def _between(parts: Iterable[tuple[int, int]], end: int) -> Iterator[tuple[int, int]]:
    """(first byte, byte behind the last) of what lies between the parts."""
    at = 0
    for start, size in parts:
        yield at, min(start, end)
        at = start + size
    yield at, end
