"""The commit in a file's provenance is that of the code, or the file says why there is none."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lengthlens.files import provenance
from lengthlens.files.provenance import commit
from lengthlens.reporting.public import public_provenance

GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with code and, as ours, a folder of results that holds one tracked file."""
    folder = (tmp_path / "clone").resolve()
    for name in ("scripts/code.py", "results/.gitkeep"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("")
    subprocess.run([*GIT, str(folder), "init", "-q"], check=True)
    subprocess.run([*GIT, str(folder), "add", "."], check=True)
    subprocess.run([*GIT, str(folder), "commit", "-q", "-m", "x"], check=True)
    return folder


def head(folder: Path) -> str:
    words = [*GIT, str(folder), "rev-parse", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_the_commit_and_changes_of_tracked_files(clone: Path):
    assert commit(clone) == {"commit": head(clone), "dirty": False}
    (clone / "scripts/code.py").write_text("changed")
    commit.cache_clear()
    assert commit(clone) == {"commit": head(clone), "dirty": True}


def test_a_link_in_the_place_of_results_changes_no_code(clone: Path, tmp_path: Path):
    shutil.rmtree(clone / "results")
    (tmp_path / "large-disk").mkdir()
    (clone / "results").symlink_to(tmp_path / "large-disk")
    assert commit(clone) == {"commit": head(clone), "dirty": False}


def test_a_shared_checkout_says_why_its_commit_is_missing(clone: Path, monkeypatch):
    """Git itself is made to take the folder for another user's."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    found = commit(clone)
    assert (found["commit"], found["dirty"]) == (None, None)
    assert "git config --global --add safe.directory" in found["no_commit"]
    assert str(clone) not in found["no_commit"]  # provenance tells of no machine
    assert public_provenance(found)["no_commit"] == found["no_commit"]
    monkeypatch.setattr(provenance, "commit", lambda: found)
    assert provenance.provenance("x/1", {})["no_commit"] == found["no_commit"]


def test_without_git(clone: Path, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(clone) == {"commit": None, "dirty": None, "no_commit": "git is not installed"}


def test_a_repository_without_a_commit(tmp_path: Path):
    subprocess.run([*GIT, str(tmp_path), "init", "-q"], check=True)
    assert commit(tmp_path.resolve())["no_commit"] == "git finds no commit"
