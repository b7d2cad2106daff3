"""JSON files of a model's folder, which may be missing, damaged or of any content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The content of a JSON file; None where it is not there or not JSON.

    Raises:
        OSError: it may not be read, which says nothing of its content.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
        return None


def read_mapping(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty where it cannot be read or is no mapping."""
    try:
        content = read_json(path)
    except OSError:
        return {}
    return content if isinstance(content, dict) else {}
