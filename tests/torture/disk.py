"""A disk that is full, a folder that may not be written to, and two runs at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from cases import FAILED, RECOVERED, REFUSED, Ledger
from runs import CONFIG, NAME, Project, differences

UNBOUND = "-dac_override,-dac_read_search"  # capabilities that let root write anywhere


def full_disk(ledger: Ledger, folder: Path, expected: dict, sizes: list[int]) -> None:
    """Results on a file system of `size` kB that fills up; then there is room, and it goes on."""
    kind = "full disk"
    if os.geteuid() != 0:
        return ledger.skip(kind, "a small file system of our own needs root")
    for size in sizes:
        project = Project(folder / f"full-{size}")
        project.results.mkdir()
        mounted = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(project.results)]
        if subprocess.run(mounted, capture_output=True).returncode:
            return ledger.skip(kind, "this machine lets nobody mount a file system")
        try:
            what = f"{size} kB"
            if project.do("all") == 0:
                ledger.add(kind, what, FAILED, "it did not fill up")
                continue
            told = project.output()
            named = "disk is full" in told and "run again" in told
            words = "" if named else f"not in plain words: {told[-400:]!r}"
            ledger.add(kind, what, REFUSED if named else FAILED, words)
            again = ["mount", "-o", "remount,size=500m", str(project.results)]
            subprocess.run(again, check=True)
            _resumed(ledger, "room made on the full disk, then resumed", what, project, expected)
        finally:
            subprocess.run(["umount", "--lazy", str(project.results)], check=True)


def permissions(ledger: Ledger, folder: Path, expected: dict) -> None:
    """A folder of results may not be written to; then it may, and it goes on."""
    kind = "missing permission"
    prefix = ()
    if os.geteuid() == 0:  # whom permissions do not bind, unless root gives up that privilege
        if shutil.which("setpriv") is None:
            return ledger.skip(kind, "root needs setpriv to be bound by permissions")
        prefix = ("setpriv", f"--bounding-set={UNBOUND}", f"--inh-caps={UNBOUND}")
    for place in ("shards", "tables"):
        project = Project(folder / f"denied-{place}", prefix=prefix)
        denied = project.run / place
        denied.mkdir(parents=True)
        keeper = denied / ".keep"  # Snakemake removes empty folders of failed jobs
        keeper.touch()
        denied.chmod(0o555)
        failed = project.do("all") != 0
        denied.chmod(0o755)
        keeper.unlink()
        told = project.output()
        named = f"results/torture/{place}" in told and "may not be read or written" in told
        if failed and named and "Traceback (most recent call last)" not in told:
            ledger.add(kind, place, REFUSED)
        else:
            words = f"not in plain words: {told[-400:]!r}" if failed else "nobody minded"
            ledger.add(kind, place, FAILED, words)
        _resumed(ledger, "permission given, then resumed", place, project, expected)


def _resumed(ledger: Ledger, kind: str, what: str, project: Project, expected: dict) -> None:
    left = project.resume()
    other = differences(project.files(), expected)
    good = left == 0 and not other
    words = "" if good else f"exit {left}, {other}, {project.output()[-300:]!r}"
    ledger.add(kind, what, RECOVERED if good else FAILED, words)


def two_at_once(ledger: Ledger, folder: Path, expected: dict) -> None:
    """The same run twice at once is refused; another run in the same folder works or is refused."""
    project = Project(folder / "twice")
    first = project.start("all")
    while first.poll() is None and not project.jobs():
        time.sleep(0.05)
    before = len(project.output())
    refused = project.do("all") != 0
    told = project.output()[before:]
    named = refused and "lock" in told.lower()
    kind = "two runs at once"
    ledger.add(kind, "the same run", REFUSED if named else FAILED, "" if named else told[-300:])
    (project.folder / "other.yaml").write_text(CONFIG.replace("run: torture", "run: other"))
    before = len(project.output())
    second = project.do("generate", "--configfile", NAME, "other.yaml")
    told = project.output()[before:]
    what = "another run in the same folder"
    if second == 0:
        ledger.add(kind, what, RECOVERED)
    else:
        named = "lock" in told.lower()
        ledger.add(kind, what, REFUSED if named else FAILED, "" if named else told[-300:])
    first.wait()
    left = project.resume()
    found = {n: c for n, c in project.files().items() if not n.startswith("other/")}
    other = differences(found, expected)
    good = left == 0 and not other
    ledger.add(
        kind, "the first of both, at its end", RECOVERED if good else FAILED, "; ".join(other)
    )
