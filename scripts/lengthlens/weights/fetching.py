"""Fetching a model from the Hugging Face hub; with `packages` the only place that uses the network.

The hub's library goes on where a connection broke, and gives a file its name only when it is whole:
after a killed fetch the finished files stay, and the one that it was in starts anew. What was
fetched is recorded with names and sizes, so that a job can tell a snapshot that lacks a file from a
whole one.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lengthlens.errors import LengthlensError
from lengthlens.weights.chat_template import first_line
from lengthlens.weights.checkpoints import ModelSpec, model_folder, spec_folder
from lengthlens.weights.hub_cache import (
    cache_folder,
    endpoint,
    how_to_do_without,
    how_to_fetch,
    how_to_get_access,
)

# What transformers may read, and nothing else: no pickled weights, no other formats' copies.
PATTERNS = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
# NOTE "*" also matches "/": without this, files that some repositories keep in a subfolder, such
# as the original weights, would come along.
IGNORED = ["*/*"]

ANSWER_SECONDS = 10  # that the hub has to begin its answer

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


def bytes_on_hub(spec: ModelSpec) -> int:
    """Size of the files of a hub model that would be fetched; fetches none.

    Raises:
        LengthlensError: the hub cannot be reached or does not give the model; says what to do.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import filter_repo_objects

    with _in_words(spec):
        api = HfApi()
        # NOTE without a timeout the library waits for ever where a firewall swallows packets.
        found = api.model_info(
            spec.hub, revision=spec.revision, files_metadata=True, timeout=ANSWER_SECONDS
        )
        if found.gated:  # what it holds is public, but to fetch it takes a licence
            api.auth_check(spec.hub)
        sizes = {file.rfilename: file.size or 0 for file in found.siblings}
        kept = filter_repo_objects(sizes, allow_patterns=PATTERNS, ignore_patterns=IGNORED)
        return sum(sizes[name] for name in kept)


def fetch_model(spec: ModelSpec) -> dict:
    """Fetch a hub model into the cache, or complete what is there, with progress bars.

    Returns:
        The record of the fetch, ready for JSON: `model`, `source`, the `commit`, and `files`, the
        size in bytes of each.

    Raises:
        LengthlensError: the hub cannot be reached or does not give the model; says what to do.
    """
    from huggingface_hub import snapshot_download

    with _in_words(spec):
        snapshot_download(
            spec.hub,
            revision=spec.revision,
            allow_patterns=PATTERNS,
            ignore_patterns=IGNORED,
        )
    folder = model_folder(spec)
    return {
        "model": spec.name,
        "source": spec.source,
        "commit": folder.name,
        "files": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }


def check_fetched(spec: ModelSpec, record: dict) -> None:
    """Check that the cache still holds what was fetched.

    Raises:
        LengthlensError: a file is gone or has another size.
    """
    folder = spec_folder(spec)
    for name, size in record["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise LengthlensError(
                f"Model {spec.name}: {path} is not the file of {size} bytes that was fetched; "
                f"{how_to_fetch(spec.hub, spec.revision)}"
            )


@contextmanager
def _in_words(spec: ModelSpec) -> Iterator[None]:
    """What goes wrong while the hub is asked comes back in words that say what to do."""
    try:
        yield
    except Exception as error:  # the library lets through whatever its network library raises
        raise LengthlensError(f"Model {spec.name}: {_told(spec, error)}") from error


def _told(spec: ModelSpec, error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return f"{spec.hub} is gated; {how_to_get_access(spec.hub)}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{spec.hub} has no revision {spec.revision}; correct `revision:`"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{endpoint()} knows no model {spec.hub}, or does not show it to you; correct `hub:`, "
            f"or if it is private or gated, {how_to_get_access(spec.hub)}"
        )
    said = first_line(error)
    if getattr(error, "errno", None) in _DISK:
        return (
            f"{spec.source} cannot be written to {cache_folder()} ({said}); free some space or set "
            "HF_HOME to another folder, and run again: what is there already is kept"
        )
    reason = f"({type(error).__name__}: {said})"
    without = how_to_do_without(spec.hub, spec.revision)
    if is_unreachable(error):
        return (
            f"{spec.source} is not all in the cache {cache_folder()}, and {endpoint()} cannot be "
            f"reached from here {reason}. With a network, run again: it goes on where it stopped "
            f"(behind a proxy, set HTTPS_PROXY). Without, {without}"
        )
    return (
        f"{endpoint()} did not give {spec.source} {reason}. Run again to continue where it "
        f"stopped; without a network, {without}"
    )


def is_unreachable(error: BaseException | None) -> bool:
    """Whether no answer came: no such name, no connection, or nothing for `ANSWER_SECONDS`.

    Told by what lies below the network library's own errors, for the hub's has changed before.
    """
    while error is not None:
        if isinstance(error, socket.gaierror | ConnectionError | TimeoutError):
            return True
        error = error.__cause__ or error.__context__
    return False
