"""The tiny study on a real Slurm, with a job, Snakemake and a node's daemon killed on the way.

Every result must be the same, bit for bit, as that of a run on this machine without Slurm.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster import running_slurm
from study import copy_project, results_below, snakemake

pytestmark = pytest.mark.slow
pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs envs/requirements-slurm.txt")

TARGETS = ("ablate", "attribute")
CONFIG = ("--configfile", "config/tiny.yaml", "one.yaml")
ONE_LANGUAGE = "languages: [en]\n"  # the tiny study, half of it, to keep to minutes
ON_SLURM = (
    "--workflow-profile",
    "profiles/slurm",
    "--set-resources",
    "generate_answers:gpu=1",
    "ablate_components:gpu=1",
    "--slurm-init-seconds-before-status-checks",
    "2",
    "--seconds-between-status-checks",
    "2",
    "--latency-wait",
    "10",
)


def project_in(folder: Path) -> Path:
    project = copy_project(folder)
    (project / "one.yaml").write_text(ONE_LANGUAGE)
    return project


def start(project: Path, *words: str) -> subprocess.Popen:
    with (project / "snakemake.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "2", *TARGETS, *CONFIG, *words],
            cwd=project,
            env=os.environ | {"XDG_CACHE_HOME": str(project / "cache")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def log_of(project: Path) -> str:
    """What Snakemake has printed in this project so far."""
    return (project / "snakemake.log").read_text()


def script_processes(project: Path, rule: str) -> list[int]:
    """Processes that run the rule's script in this project."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            here = (folder / "cwd").resolve() == project.resolve()
        except OSError:
            continue
        if here and any(word.endswith(f"{rule}.py") for word in words):
            found.append(int(folder.name))
    return found


def wait_for(condition, process: subprocess.Popen, project: Path, seconds: float = 300):
    end = time.monotonic() + seconds
    while not (found := condition()):
        if process.poll() is not None or time.monotonic() > end:
            pytest.fail(log_of(project)[-5000:])
        time.sleep(0.1)
    return found


def test_slurm_gives_what_a_laptop_gives_whatever_is_killed(tmp_path):
    project = project_in(tmp_path / "cluster")
    with running_slurm(tmp_path / "slurm") as slurm:
        first = start(project, *ON_SLURM)
        [job, *_] = wait_for(lambda: script_processes(project, "generate_answers"), first, project)
        assert len(script_processes(project, "generate_answers")) == 1  # there is one GPU
        os.kill(job, 9)
        slurm.kill_node()
        slurm.start_node()
        wait_for(lambda: "Error in rule generate_answers" in log_of(project), first, project)
        wait_for(lambda: list(project.glob("results/tiny/shards/*.h5")), first, project)
        first.kill()
        first.wait()
        slurm.cancel()
        slurm.wait_until_idle()

        unlock = snakemake(project, "--unlock", *CONFIG)
        assert unlock.returncode == 0, unlock.stderr
        second = start(project, "--rerun-incomplete", *ON_SLURM)
        assert second.wait(1800) == 0, log_of(project)[-5000:]

    local = project_in(tmp_path / "local")
    done = snakemake(local, *TARGETS, *CONFIG)
    assert done.returncode == 0, done.stderr
    on_slurm, here = project / "results", local / "results"
    names = results_below(here)
    assert results_below(on_slurm) == names
    assert [n for n in names if (on_slurm / n).read_bytes() != (here / n).read_bytes()] == []
