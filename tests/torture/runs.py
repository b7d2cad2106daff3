"""Small runs of the whole workflow, in folders of their own, that can be disturbed and compared."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from study import LITTLE, copy_project, results_below, start

CONFIG = (
    """
run: torture
models: {instruct: {path: resources/pocket/instruct, variant: instruct}}
languages: [en]
n_words: [3, 5]
ablation: {k: [1], further_k: [], controls: 3, answered_controls: 2}
probes: {languages: [], n_words: [4], per_n: 2}
figures: {dpi: 60}
"""
    + LITTLE
)
NAME = "torture.yaml"
PATIENCE = 1800  # seconds


class Project:
    """A copy of the project and the small run in it.

    Args:
        folder: where to put it; one that exists is taken as it is.
        config: text of the configuration file.
        prefix: words before the command, such as those that change the user.
    """

    def __init__(self, folder: Path, config: str = CONFIG, prefix: tuple[str, ...] = ()) -> None:
        self.folder, self.prefix = folder, prefix
        if not folder.exists():
            copy_project(folder)
            (folder / NAME).write_text(config, encoding="utf-8")
        self.results = self.folder / "results"
        self.run = self.results / "torture"
        self.log = self.folder / "output.log"

    def start(self, *words: str, cores: int = 1) -> subprocess.Popen:
        """Start Snakemake as the leader of a process group of its own."""
        command = [*self.prefix, sys.executable, "-m", "snakemake", *words]
        command += ["--cores", str(cores), "--configfile", NAME]
        return start(self.folder, command, HOME="/tmp")

    def do(self, *words: str) -> int:
        return self.start(*words).wait(PATIENCE)

    def resume(self, target: str = "all") -> int:
        """What `make resume` does."""
        self.tidy()
        self.do("--unlock")
        return self.do(target, "--rerun-incomplete")

    def tidy(self) -> None:
        """Remove files that were being written when their process was killed."""
        for path in self.results.rglob(".*.tmp"):
            if path.is_file():
                path.unlink()

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def jobs(self) -> list[int]:
        """Processes of scripts of this project."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if f"{self.folder}/.snakemake/scripts/" in words:
                found.append(int(entry.name))
        return found

    def finished_shards(self) -> dict[Path, tuple[int, bytes]]:
        """Shards' files that Snakemake holds for finished: date of change, content."""
        folder = self.folder / ".snakemake/incomplete"
        marked = set()
        for path in folder.rglob("*") if folder.exists() else ():
            if path.is_file():
                name = path.relative_to(folder).as_posix().replace("/", "")
                marked.add(base64.b64decode(name.encode() + b"==", altchars=b"-_", validate=False))
        return {
            path: (path.stat().st_mtime_ns, path.read_bytes())
            for path in self.run.glob("shards/*")
            if path.is_file() and str(path.relative_to(self.folder)).encode() not in marked
        }

    def files(self) -> dict[str, bytes]:
        """Everything that the run made: name -> content.

        Without logs and what is hidden, which is this machine's: second names of shards, stamps.
        """
        return {name: (self.results / name).read_bytes() for name in results_below(self.results)}


def kill_group(process: subprocess.Popen) -> None:
    """kill -9 of Snakemake and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def differences(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    """Names of files that are not the same in both."""
    names = sorted(set(found) | set(expected))
    return [name for name in names if found.get(name) != expected.get(name)]
