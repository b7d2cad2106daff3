"""Jobs and whole runs killed with kill -9 at random moments."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path

from cases import FAILED, RECOVERED, Ledger
from runs import Project, differences, kill_group

MOST = 15  # kills of one run

KIND = {"job": "kill -9 of a job", "group": "kill -9 of Snakemake and its jobs"}


def torture(
    ledger: Ledger, folder: Path, expected: dict[str, bytes], kills: int, seed: int
) -> None:
    """Kill until `kills` are done, over as many runs as it takes; compare each run at its end."""
    chance = random.Random(seed)
    done = run = 0
    while done < kills:
        project = Project(folder / f"killed-{run}")
        happened, lost, over = [], [], False
        while not over and len(happened) < min(MOST, kills - done):
            kind = chance.choice(list(KIND))
            before = project.finished_shards()
            at = _kill_once(project, kind, chance)
            lost += _lost(project, before)
            over = at is None
            if at is not None:
                happened.append((kind, at))
            if kind == "group":
                project.tidy()
                project.do("--unlock")
        before = project.finished_shards()
        if project.resume() != 0:
            lost.append(f"resume failed: {project.output()[-300:]!r}")
        lost += _lost(project, before)
        found = project.files()
        lost += differences(found, expected) + [n for n in found if n.endswith(".tmp")]
        for kind, at in happened:
            words = "; ".join(lost)[:400]
            ledger.add(KIND[kind], f"run {run}, {at}", FAILED if lost else RECOVERED, words)
        done += len(happened)
        run += 1


def _kill_once(project: Project, kind: str, chance: random.Random) -> str | None:
    """Start the run and kill something; None where the run ended before."""
    process = project.start("all", "--rerun-incomplete")
    wanted = chance.randrange(1, 3)  # the first or second job of this start
    delay = chance.uniform(0.0, 4.0)  # [s]
    seen: set[int] = set()
    while process.poll() is None:
        seen |= (running := set(project.jobs()))
        if len(seen) >= wanted and running:
            break
        time.sleep(0.05)
    end = time.monotonic() + delay
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    if process.poll() is not None:
        return None
    jobs = project.jobs()
    if kind == "job" and jobs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(jobs), signal.SIGKILL)
        process.wait()
    else:
        kill_group(process)
    return f"job {wanted} after {delay:.1f} s" + ("" if jobs else ", between two jobs")


def _lost(project: Project, before: dict) -> list[str]:
    """Finished shards that are gone or were made again."""
    return [
        f"lost or made again: {path.name}"
        for path, kept in before.items()
        if not path.exists() or (path.stat().st_mtime_ns, path.read_bytes()) != kept
    ]
