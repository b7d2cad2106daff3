"""Bad input, as the user meets it: stopped early, told in one message, and nothing is mixed."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from study import copy_project, snakemake

pytestmark = pytest.mark.slow

CONFIG = """
run: bad
models: {instruct: {path: model, variant: instruct}}
languages: [en]
n_words: [3, 9]
prompts: {per_n: 4, shard: 4}
jobs: {shards: one}
"""
SHARD = "results/bad/shards/instruct.en.n{n}.0.jsonl"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = copy_project(tmp_path / "project")
    shutil.copytree(project / "resources/pocket/instruct", project / "model")
    (project / "bad.yaml").write_text(CONFIG)
    return project


def run(project: Path, *words: str) -> tuple[int, str]:
    done = snakemake(project, *words, "--configfile", "bad.yaml")
    return done.returncode, done.stdout + done.stderr


def spoil(project: Path, factor: float) -> None:
    """Multiply one weight, keeping the file's size and date."""
    path = project / "model/model.safetensors"
    before = path.stat()
    weights = load_file(path)
    weights["model.layers.3.mlp.down_proj.weight"][0, 0] *= factor
    save_file(weights, path, metadata={"format": "pt"})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def made_with(project: Path, n: int) -> str:
    path = (project / SHARD.format(n=n)).with_suffix(".provenance.json")
    return json.loads(path.read_text())["model"]["sha256"]


def test_two_models_are_never_mixed(project: Path):
    """The weights change after the first shard, unseen by Snakemake; the cure told works."""
    assert run(project, SHARD.format(n=3))[0] == 0
    old = made_with(project, 3)
    spoil(project, 0.5)
    code, output = run(project, SHARD.format(n=9))
    assert code == 1
    assert "model.safetensors has another content since its files were hashed" in output
    assert not (project / SHARD.format(n=9)).exists()
    [manifest] = project.glob("results/weights/[!.]*.json")
    assert f"delete results/weights/{manifest.name} and run again" in output
    manifest.unlink()
    assert run(project, SHARD.format(n=3), SHARD.format(n=9))[0] == 0
    assert made_with(project, 3) == made_with(project, 9) != old


def test_a_failing_job_ends_in_its_message(project: Path):
    spoil(project, float("nan"))
    code, output = run(project, SHARD.format(n=3))
    message = "1 of the 45056 numbers of 'model.layers.3.mlp.down_proj.weight' are not finite"
    assert code == 1
    assert message in output and "Traceback" not in output
    assert message in (project / "results/bad/logs/prove_model/instruct.log").read_text()


def test_bad_input_is_told_by_a_dry_run(project: Path):
    """All of it in one list, though it is in four files."""
    weights = project / "model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    path = project / "resources/languages/en.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("{n}", "{m}"), encoding="utf-8")
    (project / "bad.yaml").write_text(CONFIG + "counting: word\nn_words: [3]\nprobs: {per_n: 3}\n")
    code, output = run(project, "-n")
    assert code == 1 and "Traceback" not in output
    for words in (
        "counting: 'word' is not legal",
        "languages[0]: ",
        "no topic has the form {m}",
        "models.instruct.path: ",
        "it is not whole",
        "n_words: given twice in ",
        "bad.yaml, in lines 5 and 9, of which the last would count",
        "probs: unknown key (value {per_n: 3}); did you mean probes?",
    ):
        assert words in output, output
    assert not (project / "results").exists()


def test_a_gpu_that_is_not_there_is_told_before_any_job(project: Path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (project / "bad.yaml").write_text(CONFIG + "generation: {device: cuda}\n")
    code, output = run(project, SHARD.format(n=3))
    assert code == 1
    assert "No job was started: generation.device is cuda, but torch finds no GPU" in output
    assert not list(project.glob("results/**/*.json"))


def test_a_file_of_the_future_is_told_before_any_job(project: Path):
    """Every result would look older than it, which Snakemake finds after the first job."""
    language = project / "resources/languages/en.yaml"
    os.utime(language, (time.time() + 7200, time.time() + 7200))
    code, output = run(project, "prompts")
    assert code == 1
    assert "No job was started: resources/languages/en.yaml is dated 2.0 hours in" in output
    assert not list(project.glob("results/**/*.jsonl"))
    os.utime(language)
    assert run(project, "prompts")[0] == 0


def test_numbers_are_read_as_they_are_written(project: Path):
    """YAML would make 8 of 010; and the command line gives numbers without quotes."""
    (project / "bad.yaml").write_text(CONFIG.replace("[3, 9]", "[3, 010]"))
    code, output = run(project, "-n")
    assert code == 1
    assert "n_words[1]: 010 is read as 8 by the rules of YAML; write 10, or" in output
    assert "(bad.yaml, line 5)" in output
    (project / "bad.yaml").write_text(CONFIG)
    code, output = run(project, "prompts", "-n", "--config", "n_words=[4,0]")
    assert code == 1 and "n_words[1]: 0 is not legal" in output
    assert "(given by --config)" in output
    assert run(project, "prompts", "-n", "--config", "n_words=[4,5]")[0] == 0
