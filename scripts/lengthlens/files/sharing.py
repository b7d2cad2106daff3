"""What may leave the machine: paths without users, hosts, and folders outside of the project."""

from __future__ import annotations

from pathlib import Path


def public_path(path: str) -> str:
    """A relative path as it is; of another the last part, which names no user and no machine."""
    parts = Path(path).parts
    if Path(path).is_absolute() or path.startswith("~") or ".." in parts:
        return f"…/{parts[-1]}"
    return path
