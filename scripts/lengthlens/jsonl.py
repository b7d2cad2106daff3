"""Reading and writing tables as JSON lines, whole and with their provenance beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from lengthlens.errors import LengthlensError
from lengthlens.files import write_text
from lengthlens.provenance import read_sidecar, write_sidecar


def write_rows(rows: Iterable[Mapping], path: str | Path, made: Mapping) -> None:
    """Write one JSON object a line; characters of every script stay readable."""
    write_sidecar(path, made)
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_rows(path: str | Path, schema: str) -> list[dict]:
    """Read a table and check its format.

    Raises:
        LengthlensError: the file or its provenance is missing, of another format, or a line is
            no JSON object.
    """
    read_sidecar(path, schema)
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise LengthlensError(f"{path} does not exist; run the stage that makes it") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if line:
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise LengthlensError(
                    f"{path}, line {number}: not JSON ({error}); delete it and run again"
                ) from error
            if not isinstance(row, dict):
                raise LengthlensError(
                    f"{path}, line {number}: {line[:60]} is no object; delete it and run again"
                )
            rows.append(row)
    return rows
