"""A model's files are compared with their manifest in every job: what is noticed, what it costs."""

import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lengthlens.errors import LengthlensError
from lengthlens.files.integrity import sealed
from lengthlens.weights import unaltered
from lengthlens.weights.checkpoints import ModelSpec, weights_manifest
from lengthlens.weights.unaltered import check_unaltered, note, stamps
from lengthlens.workflow.model_job import run_model_job

WEIGHTS = "model.safetensors"


@pytest.fixture
def model(tiny_llama_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A copy of the tiny model with its manifest, all of it older than the clock is coarse."""
    folder = Path(shutil.copytree(tiny_llama_dir, tmp_path / "model"))
    spec = ModelSpec(name="tiny", variant="instruct", path=str(folder))
    manifest = weights_manifest(spec)
    beside = tmp_path / "tiny.12345678.json"
    beside.write_text(json.dumps(sealed(manifest)))
    now = time.time
    monkeypatch.setattr(unaltered.time, "time", lambda: now() + 10)
    return SimpleNamespace(spec=spec, folder=folder, manifest=manifest, beside=beside)


def check(model: SimpleNamespace) -> list[str]:
    return check_unaltered(model.spec, model.manifest, model.beside)


def test_files_are_hashed_once_and_then_known_by_their_stamps(model):
    assert check(model) == sorted(model.manifest["files"])
    assert check(model) == []
    os.utime(model.folder / WEIGHTS)
    assert check(model) == [WEIGHTS]
    assert check(model) == []


def test_what_was_noted_when_the_manifest_was_made_needs_no_hash(model):
    note(stamps(model.spec), model.beside)
    assert check(model) == []


def test_what_changed_just_now_is_not_trusted_yet(model, monkeypatch):
    monkeypatch.setattr(unaltered.time, "time", lambda: 0.0)
    assert check(model) == check(model) == sorted(model.manifest["files"])


def test_another_content_of_the_same_size_and_date_is_noticed(model):
    check(model)
    path = model.folder / WEIGHTS
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(LengthlensError, match=f"{WEIGHTS} has another content since .*tiny.12345"):
        check(model)
    content[-1] ^= 1
    path.write_bytes(content)
    assert check(model) == [WEIGHTS]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / WEIGHTS).unlink(), "is gone|no weights"),
        (lambda folder: (folder / "chat_template.jinja").unlink(), "chat_template.jinja is gone"),
        (lambda folder: (folder / "added_tokens.json").write_text("{}"), "_tokens.json was added"),
        (lambda folder: shutil.rmtree(folder), "cannot be read any more"),
    ],
)
def test_files_that_come_and_go_are_noticed(model, change, words):
    check(model)
    change(model.folder)
    with pytest.raises(LengthlensError, match=words):
        check(model)


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"a": 3}'])
def test_spoilt_notes_cost_time_only(model, content):
    check(model)
    model.beside.with_name(f".{model.beside.stem}.stamps.json").write_text(content)
    assert check(model) == sorted(model.manifest["files"])


def job_of(model: SimpleNamespace, folder: Path) -> SimpleNamespace:
    entry = {"path": str(model.folder), "variant": "instruct"}
    return SimpleNamespace(
        rule="generate_answers",
        log=[folder / "job.log"],
        resources={},
        input=SimpleNamespace(manifest=str(model.beside)),
        params=SimpleNamespace(name="tiny", model=entry),
    )


def test_a_job_does_not_begin_with_altered_weights(model, tmp_path, capsys):
    ran = []
    run_model_job(lambda snakemake: ran.append(1), job_of(model, tmp_path))
    assert ran == [1]
    (model.folder / "config.json").write_text("{}")
    with pytest.raises(SystemExit):
        run_model_job(lambda snakemake: ran.append(2), job_of(model, tmp_path))
    assert ran == [1]
    assert "config.json has another content" in capsys.readouterr().err
    assert "config.json has another content" in (tmp_path / "job.log").read_text()


def test_a_job_does_not_end_well_with_weights_that_were_altered_meanwhile(model, tmp_path, capsys):
    def main(snakemake) -> None:
        (model.folder / "tokenizer_config.json").write_text("{}")

    with pytest.raises(SystemExit):
        run_model_job(main, job_of(model, tmp_path))
    assert "tokenizer_config.json has another content" in capsys.readouterr().err
    assert "done" not in (tmp_path / "job.log").read_text()
