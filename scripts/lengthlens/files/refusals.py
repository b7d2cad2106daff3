"""Why a file cannot be opened, in words, where that is no fault of the file.

An error with a number comes from the operating system: no permission, no locks, too many open
files. It says nothing of what is in the file. A file whose checksum fits holds what was written,
so an HDF5 that cannot read it is the wrong one. Neither file may be called damaged, nor may
anybody be told to delete it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import psutil

from lengthlens.errors import LengthlensError

SOUND = "the file may well be sound: keep it"
_LOCKING = re.compile("unable to lock file")  # HDF5's words
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS}
_FAILING = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ENXIO, errno.ENODEV}
# What HDF5 says of bytes that do not fit their Fletcher-32 sum.
_DAMAGE = re.compile(r"filter returned failure|fletcher32|checksum", re.IGNORECASE)


@contextlib.contextmanager
def refusals(path: str | Path) -> Iterator[None]:
    """Turn the operating system's errors on a file into words.

    Raises:
        LengthlensError: for an error with a number, those aside that say that the file is not
            there or that the disk is full; these and others pass.
    """
    try:
        yield
    except OSError as error:
        if (told := refusal(path, error)) is None:
            raise
        raise LengthlensError(told) from error


def refusal(path: str | Path, error: OSError) -> str | None:
    """What the operating system has against a file, and the cure; None where it said nothing."""
    code = error.errno
    if code is None or code in (errno.ENOENT, errno.ENOSPC, errno.EDQUOT):
        return None
    reason = os.strerror(code)
    if code in _NO_LOCKS or _LOCKING.search(str(error)):
        return _locking(path, code, reason)
    if code in (errno.EMFILE, errno.ENFILE):
        cure = "raise the limit (`ulimit -n 65536`) and run again"
    elif code in (errno.EACCES, errno.EPERM, errno.EROFS):
        cure = "give this user the permission (ls -l shows who has it) and run again (make resume)"
        return f"{path} may not be read or written ({reason}); {cure}"
    elif code in _FAILING:
        cure = f"{file_system(path)} failed; see that it is mounted and run again"
    else:
        cure = "mend that and run again"
    return f"{path} cannot be read or written ({reason}); {SOUND}; {cure}"


def unreadable(path: str | Path, error: BaseException) -> LengthlensError:
    """The error for a file that HDF5 cannot read although its checksum fits."""
    if isinstance(error, OSError) and (told := refusal(path, error)) is not None:
        return LengthlensError(told)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, MemoryError):
        return LengthlensError(f"{path} does not fit into memory ({reason}); {SOUND}")
    if _DAMAGE.search(reason):
        return LengthlensError(
            f"{path} is damaged, or a shard that it links to ({reason}); delete it and run again"
        )
    return LengthlensError(
        f"{path} is as it was written (its checksum fits), but {_library()} cannot read it "
        f"({reason}); keep it, and read it with the versions of envs/requirements.txt or newer ones"
    )


def file_system(path: str | Path) -> str:
    """The kind of file system that a path lies on and where it is mounted, as far as known."""
    place = Path(path).resolve()
    with contextlib.suppress(OSError):
        # The last of equals: it hides the others.
        mounts = [
            mount
            for mount in reversed(psutil.disk_partitions(all=True))
            if place.is_relative_to(mount.mountpoint)
        ]
        if mounts:
            found = max(mounts, key=lambda mount: len(mount.mountpoint))
            return f"the file system ({found.fstype}, mounted at {found.mountpoint})"
    return "its file system"


def _locking(path: str | Path, code: int, reason: str) -> str:
    if code in _NO_LOCKS:
        cause = f"{file_system(path)} has no locks"
    else:
        cause = f"another program may have it open for writing, or {file_system(path)} says so"
    return (
        f"{path} cannot be locked ({reason}): {cause}; {SOUND}; where nothing else writes it, set "
        "HDF5_USE_FILE_LOCKING=FALSE in the environment and run again"
    )


def _library() -> str:
    import h5py  # only needed for the name

    return f"this HDF5 ({h5py.version.hdf5_version}, h5py {h5py.__version__})"
