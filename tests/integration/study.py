"""A copy of the project in a folder of its own, and Snakemake running in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FORKED = Path(__file__).with_name("forked.py")
PARTS = (
    "Snakefile",
    "config.yaml",
    "config",
    "envs",
    "profiles",
    "resources",
    "rules",
    "scripts",
)
# The smallest sizes of the stages that trace the mechanism, as lines of a configuration.
LITTLE_MECHANISM = """
circuits: {per_n: 4}
tracing: {per_n: 2}
transplant: {per_n: 1, every: 3, scales: [0.5], controls: 1, across_per_n: 1, answer_layers: false}
paths: {per_n: 2, most: 4}
contrasts: {per_n: 1}
count: {per_n: 4, draws: 2, neurons: [1, 8]}
"""
# A few short answers, and little of the rest.
LITTLE = (
    """
prompts: {per_n: 4, shard: 4}
generation: {max_new_tokens: 16}
statistics: {resamples: 200}
"""
    + LITTLE_MECHANISM
)


def copy_project(folder: Path) -> Path:
    """Copy what the workflow needs, without results."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / part)
    return folder


def snakemake(folder: Path, *words: str, forked: bool = False) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in the folder, on two cores; `forked` spares its scripts the imports."""
    program = [str(FORKED)] if forked else ["-m", "snakemake"]
    return subprocess.run(
        [sys.executable, *program, "--cores", "2", *words],
        cwd=folder,
        env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
    )


def finished_study(folder: Path, config: str) -> Path:
    """A copy of the project in which the whole study of `config` was run once, in small.yaml."""
    copy_project(folder)
    (folder / "small.yaml").write_text(config)
    done = snakemake(folder, "all", "--configfile", "small.yaml", forked=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder


def start(folder: Path, command: Sequence[str], **environment: str) -> subprocess.Popen:
    """Start a command in the folder, as the leader of a process group; it prints to output.log."""
    with (folder / "output.log").open("a") as log:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")} | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def results_below(folder: Path) -> list[str]:
    """Names of the results in a folder, sorted; not the logs, nor what is hidden."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        str(name)
        for name in names
        if "logs" not in name.parts and not any(part.startswith(".") for part in name.parts)
    )
