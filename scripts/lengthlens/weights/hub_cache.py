"""What the Hugging Face hub's cache on this machine holds, read without importing its library.

The layout, which the library documents: below `$HF_HUB_CACHE` (or `$HF_HOME/hub`) every repository
has a folder `models--{owner}--{name}` with `snapshots/{commit}/` (what was fetched of a commit),
`refs/{branch or tag}` (the commit it meant) and `blobs/` (the files themselves, each under its
hash; an unfinished one ends in `.incomplete` and has no entry among the snapshots).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

PUBLIC = "https://huggingface.co"
_TRUE = {"1", "ON", "YES", "TRUE"}


def cache_folder() -> Path:
    """Where the hub's library keeps repositories: HF_HUB_CACHE, HF_HOME or its default."""
    return _named("HF_HUB_CACHE") or _home() / "hub"


def _home() -> Path:
    above = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _named("HF_HOME") or Path(above).expanduser() / "huggingface"


def _named(variable: str) -> Path | None:
    """The path that a variable of the environment names."""
    found = os.environ.get(variable)
    return Path(os.path.expandvars(found)).expanduser() if found else None


def repository_folder(hub: str) -> Path:
    """The folder of a repository in the cache, whether it is there or not."""
    return cache_folder() / f"models--{hub.replace('/', '--')}"


def snapshot_folder(hub: str, revision: str) -> Path | None:
    """The folder with a revision's files, or None; it may lack files of an interrupted fetch."""
    repository = repository_folder(hub)
    commit = revision
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        reference = repository / "refs" / revision
        if not reference.is_file():
            return None
        commit = reference.read_text(encoding="utf-8").strip()
    folder = repository / "snapshots" / commit
    return folder if folder.is_dir() else None


def expected_hash(path: Path) -> str | None:
    """What a file of the cache should hash to, by the name of its blob.

    Returns:
        The SHA-256 of a large file, git's hash of a small one (40 digits); None where the file is
        not a link into `blobs/`.
    """
    blob = path.resolve()
    there = path.is_symlink() and blob.parent.name == "blobs"
    return blob.name if there and re.fullmatch("[0-9a-f]{64}|[0-9a-f]{40}", blob.name) else None


def endpoint() -> str:
    """The hub that is asked: HF_ENDPOINT, or the public one."""
    return (os.environ.get("HF_ENDPOINT") or PUBLIC).rstrip("/")


def is_offline() -> bool:
    """Whether the hub's library is told not to use the network."""
    named = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return named.upper() in _TRUE


def has_token() -> bool:
    """Whether there is an access token; its value is not looked at."""
    if os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN"):
        return True
    path = _named("HF_TOKEN_PATH") or _home() / "token"
    return path.is_file() and path.stat().st_size > 0


def how_to_fetch(hub: str, revision: str) -> str:
    """What to do about a model that is not in the cache, in one sentence."""
    return (
        f"run `hf download {hub} --revision {revision}` with the same HF_HOME (the cache here is "
        f"{cache_folder()}), or give this model a local folder in the configuration (`path:`)"
    )


def how_to_do_without(hub: str, revision: str) -> str:
    """The same for a machine that cannot reach the hub."""
    return (
        f"run `hf download {hub} --revision {revision}` on a machine that has one (a gated model "
        f"takes accepting its licence at {endpoint()}/{hub} and `hf auth login` first) and copy "
        f"the cache from there to {cache_folder()} (HF_HOME says where that is); or give this "
        "model a local folder in the configuration (`path:`)"
    )


def how_to_get_access(hub: str) -> str:
    """What to do about a model that the hub does not give."""
    token = (
        "a token is set, so it must belong to an account that was given access and allow reading"
        if has_token()
        else "then log in with `hf auth login` or set HF_TOKEN (there is no token now)"
    )
    return f"accept its licence at {endpoint()}/{hub}; {token}"
