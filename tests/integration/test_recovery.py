"""Killed jobs, a killed Snakemake, a full disk: `make resume` goes on, nothing broken is used."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from study import ROOT, copy_project, start

import lengthlens

pytestmark = pytest.mark.slow

CONFIG = """
run: broken
models: {instruct: {path: resources/pocket/instruct, variant: instruct}}
languages: [en]
n_words: [3, 9]
prompts: {per_n: 24, shard: 24}
"""
SHARDS = ("instruct.en.n3.0", "instruct.en.n9.0")


def project_in(folder: Path) -> Path:
    project = copy_project(folder)
    shutil.copy2(ROOT / "Makefile", project)
    (project / "small.yaml").write_text(CONFIG)
    return project


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "1", *words]


GENERATE = command("generate", "--configfile", "small.yaml")
# The environment is there already: make must not build another.
RESUME = [
    *("make", "-o", ".venv/runtime.stamp", f"RUN={sys.executable}", "CORES=1"),
    *("CONFIG=small.yaml", "ARGS=generate", "resume"),
]


def run(project: Path, words: list[str]) -> int:
    return start(project, words).wait(300)


def output(project: Path) -> str:
    return (project / "output.log").read_text()


def recording_process(project: Path) -> int | None:
    """The process that generates in this project, once it has begun to write its activations."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(word.endswith("generate_answers.py") and str(project) in word for word in words):
            begun = list(project.glob(f"results/broken/shards/.*.{folder.name}.tmp"))
            return int(folder.name) if begun else None
    return None


def wait_for(condition, project: Path):
    end = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < end, output(project)[-3000:]
        time.sleep(0.02)
    return found


def check_whole(project: Path) -> None:
    """Every file under its final name can be opened and is complete."""
    for shard in SHARDS:
        path = project / f"results/broken/shards/{shard}.jsonl"
        if path.exists():
            assert len(lengthlens.open_generations(path)) == 24
        recorded = path.with_suffix(".h5")
        if recorded.exists():
            with lengthlens.open_activations(recorded) as opened:
                assert len(opened.samples) == 24


def check_finished(project: Path) -> None:
    check_whole(project)
    assert (
        len(lengthlens.open_generations(next(project.glob("results/broken/generations/*.jsonl"))))
        == 48
    )
    assert not list((project / "results").rglob("*.tmp"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> bytes:
    """The answers of a run that nothing disturbed."""
    project = project_in(tmp_path_factory.mktemp("whole") / "project")
    assert run(project, GENERATE) == 0, output(project)[-3000:]
    return (project / "results/broken/generations/instruct.en.jsonl").read_bytes()


def test_a_killed_job_and_a_killed_snakemake(tmp_path, reference):
    project = project_in(tmp_path / "project")
    first = start(project, GENERATE)
    os.kill(wait_for(lambda: recording_process(project), project), signal.SIGKILL)
    assert first.wait(120) != 0
    check_whole(project)

    second = start(project, GENERATE)
    job = wait_for(lambda: recording_process(project), project)
    second.send_signal(signal.SIGKILL)
    second.wait()
    os.kill(job, signal.SIGKILL)
    check_whole(project)
    assert run(project, GENERATE) != 0  # the lock of the killed one
    assert "--unlock" in output(project)

    assert run(project, RESUME) == 0, output(project)[-3000:]
    check_finished(project)
    assert (project / "results/broken/generations/instruct.en.jsonl").read_bytes() == reference


def test_finished_shards_stay(tmp_path, reference):
    project = project_in(tmp_path / "project")
    first = start(project, GENERATE)
    shards = project / "results/broken/shards"
    [kept] = wait_for(lambda: list(shards.glob(".kept/*/[!.]*/sha256.json")), project)
    job = wait_for(lambda: recording_process(project), project)
    first.kill()
    first.wait()
    os.kill(job, signal.SIGKILL)
    finished = {path.name: path.stat().st_ino for path in kept.parent.glob("i*")}
    assert run(project, RESUME) == 0, output(project)[-3000:]
    assert len(finished) == 3
    for name, inode in finished.items():
        assert (shards / name).stat().st_ino == inode, name  # the same file, not one made again
    check_finished(project)
    assert (project / "results/broken/generations/instruct.en.jsonl").read_bytes() == reference


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system of our own needs root")
def test_a_full_disk(tmp_path, reference):
    project = project_in(tmp_path / "project")
    results = project / "results"
    results.mkdir()
    small = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(results)]
    if subprocess.run(small, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        assert run(project, GENERATE) != 0
        assert "disk is full" in output(project), output(project)[-3000:]
        check_whole(project)
        subprocess.run(["mount", "-o", "remount,size=500m", str(results)], check=True)
        assert run(project, RESUME) == 0, output(project)[-3000:]
        check_finished(project)
        whole = (results / "broken/generations/instruct.en.jsonl").read_bytes()
        assert whole == reference
        provenance = next(results.rglob("instruct.en.provenance.json"))
        assert json.loads(provenance.read_text())["schema"]
    finally:
        subprocess.run(["umount", "--lazy", str(results)], check=True)
