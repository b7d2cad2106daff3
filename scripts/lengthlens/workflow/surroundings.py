"""What would make jobs fail that is known before the first one: paths, dates and disks.

The Snakefile asks `path_problems` before it names any file, and the others before jobs start;
`make doctor` asks for all of them.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lengthlens.weights.made import free_bytes
from lengthlens.workflow.job import told_of_disk

PROBE_BYTES = 2**20
CLOCKS_DIFFER = 5.0  # seconds by which a file server's clock may be ahead
# Snakemake writes the path of the interpreter into a command of the shell without quoting it, and
# takes braces in the names of input files for wildcards. Results are named relative to the working
# folder, so its own name does no harm.
_SHELL = re.compile(r"""[^\w/.,:=@%+~^-]""")
_FORMAT = re.compile(r"[{}]")


def path_problems(project: Path, work: Path, python: str = sys.executable) -> Iterator[str]:
    """What is wrong with the names of folders, with the cure.

    Args:
        project: the folder of the Snakefile.
        work: the working folder, below which results are written.
        python: the interpreter that runs the jobs.
    """
    if found := _SHELL.search(python):
        yield (
            f"the environment's Python is {python}, and the jobs' commands cannot hold a "
            f"{_named(found[0])}; make the environment in a folder of letters, digits, hyphens and "
            "dots (make VENV=/path/to/folder …)"
        )
    if found := _FORMAT.search(os.path.relpath(project, work)):
        yield (
            f"the project is {project}, and seen from the working folder {work} its path holds a "
            f"{_named(found[0])}, which Snakemake takes for a wildcard; move it to a folder "
            "without braces, or start Snakemake inside of it"
        )


def _named(character: str) -> str:
    names = {" ": "space", "'": "quote (')", '"': 'quote (")', "{": "brace ({)", "}": "brace (})"}
    return names.get(character, f"{character!r}")


def date_problems(files: Iterable[str | Path]) -> Iterator[str]:
    """Files that are dated in the future: every result would look older than what it is made of."""
    now, wrong = time.time(), []
    for file in dict.fromkeys(map(str, files)):
        try:
            ahead = os.stat(file).st_mtime - now
        except OSError:  # not there yet, or told of elsewhere
            continue
        if ahead > CLOCKS_DIFFER:
            wrong.append((ahead, file))
    if wrong:
        ahead, file = max(wrong)
        when = f"{ahead / 3600:.1f} hours" if ahead > 3600 else f"{ahead:.0f} seconds"
        others = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        yield (
            f"{file}{others} is dated {when} in the future, so that every result would look older "
            "than what it is made of; correct the clock, or give such files the present date: "
            "find . -newermt now -type f -exec touch {} +"
        )


def disk_problem(folder: Path) -> str | None:
    """Whether a file can be written below a folder, which may still be missing; None if it can.

    A megabyte is written and removed again: permissions, a read-only file system, a quota and a
    full disk look alike in no other way.
    """
    there = folder.absolute()
    while not there.is_dir():
        if there.exists() or there.is_symlink():
            return f"{there} is no folder, so nothing can be written there; remove or rename it"
        there = there.parent
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".lengthlens-") as file:
            file.write(b"\0" * PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"nothing can be written to {there}: {told_of_disk(error) or error}"
    return None


def space_warning(folder: Path, needed_mb: int) -> str | None:
    """A line where the jobs ask for more space than there is; their requests are upper bounds."""
    free = free_bytes(folder) / 1e6
    if needed_mb <= free:
        return None
    return (
        f"The jobs may need up to {needed_mb / 1000:.1f} GB below {folder}, where "
        f"{free / 1000:.1f} GB are free; activations: {{keep: temp}} or false takes less."
    )
