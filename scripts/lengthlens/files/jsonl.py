"""Reading and writing tables as JSON lines, whole and with their provenance beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from lengthlens.errors import LengthlensError
from lengthlens.files.provenance import read_with_sidecar, write_with_sidecar


def write_rows(rows: Iterable[Mapping], path: str | Path, made: Mapping) -> None:
    """Write one JSON object a line; characters of every script stay readable."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_with_sidecar(path, text, made)


def read_rows_made(path: str | Path, schema: str) -> tuple[list[dict], dict]:
    """Read a table with its provenance.

    Raises:
        LengthlensError: the file or its provenance is missing, changed, of another format, or a
            line is no JSON object.
    """
    text, made = read_with_sidecar(path, schema)
    rows = []
    # NOTE not str.splitlines, which would also cut at U+2028 inside a text.
    for number, line in enumerate(text.split("\n"), start=1):
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
    return rows, made
