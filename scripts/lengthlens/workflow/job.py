"""What every script does around its one function: logging, and errors in plain words.

The log file is opened before a script's own imports run, so that a failing import reaches it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from lengthlens.errors import LengthlensError
from lengthlens.files.refusals import refusal
from lengthlens.workflow.gpus import claim_gpu

# Set before any import: the hub's library reads it once.
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_OF_FILES = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE),
    *(errno.ENOLCK, errno.EOPNOTSUPP),
}
QUIET = {"TRANSFORMERS_VERBOSITY": "error", "TOKENIZERS_PARALLELISM": "false"}


def run_job(main: Callable, snakemake, online: bool = False) -> None:
    """Run `main(snakemake)`; an error ends the job with its message on screen and in the log.

    A `LengthlensError` is the user's to mend and is told in its own words, and so is a disk that is
    full or may not be written to; anything else is ours, and comes with its traceback. Unless it is
    `online`, a job does not ask the hub for anything: what it computes depends on the fetched files
    alone.
    """
    os.environ.update({key: value for key, value in QUIET.items() if key not in os.environ})
    if not online:
        os.environ.update(OFFLINE)
    try:
        _run_logged(main, snakemake)
    except OSError as error:
        if (told := told_of_disk(error)) is None:
            raise
        print(f"\n{snakemake.rule}: {told}\n", file=sys.stderr)
        raise SystemExit(1) from None


def _run_logged(main: Callable, snakemake) -> None:
    log = Path(str(snakemake.log[0]))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        print(f"{snakemake.rule}: started", file=stream, flush=True)
        wanted = snakemake.resources.get("gpu")
        if wanted and (gpu := claim_gpu(count=wanted)) is not None:
            print(f"{snakemake.rule}: on GPU {gpu}", file=stream, flush=True)
        try:
            with _warnings_to(stream):
                main(snakemake)
        except BaseException as error:
            told = str(error) if isinstance(error, LengthlensError) else told_of_disk(error)
            if told is not None:
                print(f"\n{snakemake.rule}: {told}\n", file=sys.stderr)
                with contextlib.suppress(OSError):  # the log may lie on a full disk
                    print(f"{snakemake.rule}: {told}", file=stream, flush=True)
                raise SystemExit(1) from None
            with contextlib.suppress(OSError):
                traceback.print_exc(file=stream)
            raise
        print(f"{snakemake.rule}: done", file=stream, flush=True)


@contextlib.contextmanager
def _warnings_to(stream: TextIO) -> Iterator[None]:
    """Write what the package warns of to the log."""
    logger, handler = logging.getLogger("lengthlens"), logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def told_of_disk(error: BaseException | None) -> str | None:
    """In words what the disk refused; None where the error is of another kind."""
    found = list(_of_system(error))
    # HDF5 has the system's words in its message, but not the number.
    if any(
        one.errno in (errno.ENOSPC, errno.EDQUOT) or os.strerror(errno.ENOSPC) in str(one)
        for one in found
    ):
        return f"the disk is full; make room and run again (make resume) ({error})"
    refused = next((one for one in found if one.errno in _OF_FILES), None)
    return None if refused is None else refusal(refused.filename or "a file", refused)


def _of_system(error: BaseException | None) -> Iterator[OSError]:
    """The errors of the operating system among an error and those that led to it."""
    while error is not None:
        if isinstance(error, OSError):
            yield error
        error = error.__cause__ or error.__context__
