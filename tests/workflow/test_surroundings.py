"""What would make jobs fail later is told before the first one."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from pathlib import Path

import pytest

from lengthlens.workflow import doctor, surroundings
from lengthlens.workflow.surroundings import (
    date_problems,
    disk_problem,
    path_problems,
    space_warning,
)

PYTHON = "/opt/venv/bin/python"
WORK = Path("/studies")


@pytest.mark.parametrize("name", ["a b", "a'b", 'a"b', "a{b", "a}b", "a$b", "a;b", "a(b", "a&b"])
def test_the_environments_path(name: str):
    [problem] = path_problems(WORK, WORK, f"/opt/{name}/bin/python")
    assert f"/opt/{name}/bin/python" in problem and "make VENV=" in problem


@pytest.mark.parametrize("name", ["venv", ".venv-3.11", "ümläut", "a_b", "a+b", "a@b"])
def test_paths_that_do_no_harm(name: str):
    assert not list(path_problems(WORK / name, WORK / name, f"/opt/{name}/bin/python"))
    assert not list(path_problems(WORK / "a b", WORK / "it's", PYTHON))


def test_braces_between_the_working_folder_and_the_project():
    [problem] = path_problems(WORK / "a{b}", WORK, PYTHON)
    start = "the project is /studies/a{b}, and seen from the working folder /studies"
    assert problem.startswith(start)
    assert "brace ({)" in problem and "without braces" in problem
    inside = WORK / "a{b}/project"
    assert not list(path_problems(inside, inside, PYTHON))
    assert not list(path_problems(inside, inside / "c", PYTHON))


def test_files_of_the_future(tmp_path: Path):
    files = [tmp_path / name for name in ("now", "soon", "late", "gone")]
    for file in files[:3]:
        file.write_text("")
    os.utime(files[1], (time.time() + 2, time.time() + 2))  # clocks of file servers differ a little
    assert not list(date_problems(files))
    os.utime(files[2], (time.time() + 7200, time.time() + 7200))
    [problem] = date_problems([*files, files[2]])
    assert problem.startswith(f"{files[2]} is dated 2.0 hours in the future")
    os.utime(files[1], (time.time() + 60, time.time() + 60))
    [problem] = date_problems(files)
    assert problem.startswith(f"{files[2]} (and 1 more) is dated")


def test_a_folder_that_can_be_written_to(tmp_path: Path):
    assert disk_problem(tmp_path / "still/to/be/made") is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "results").write_text("")
    assert "results is no folder" in disk_problem(tmp_path / "results/pocket")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert "link is no folder" in disk_problem(tmp_path / "link/pocket")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; make room"),
        (errno.EDQUOT, "the disk is full; make room"),
        (errno.EROFS, "may not be read or written (Read-only file system)"),
        (errno.EACCES, "give this user the permission"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_disk_that_refuses(tmp_path: Path, monkeypatch, number: int, words: str):
    def refuse(file: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(surroundings.os, "fsync", refuse)
    problem = disk_problem(tmp_path / "results")
    assert problem.startswith(f"nothing can be written to {tmp_path}: ") and words in problem
    assert list(tmp_path.iterdir()) == []


def test_more_space_than_there_is(tmp_path: Path):
    assert space_warning(tmp_path / "results", 1) is None
    assert "may need up to 1000000000.0 GB" in space_warning(tmp_path / "results", 10**12)


def test_the_doctor_looks_at_all_of_it(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(surroundings.sys, "executable", "/opt/a b/python")
    monkeypatch.setattr(doctor, "path_problems", lambda *folders: ["odd path"])
    monkeypatch.setattr(doctor, "commit", lambda: {"commit": None, "no_commit": "for a reason"})
    monkeypatch.setattr(doctor, "_project_files", lambda: [])
    assert list(doctor.check_surroundings()) == [
        (doctor.WRONG, "odd path"),
        (doctor.ABSENT, "results will not name the commit of the code: for a reason"),
    ]
    monkeypatch.setattr(doctor, "disk_problem", lambda folder: "read-only")
    found = [text for state, text in doctor.check_machine() if state == doctor.WRONG]
    assert len(found) == 2 and found[0].startswith("read-only; or move the project")


def test_the_doctor_speaks_in_any_locale(monkeypatch):
    """A terminal that knows ASCII alone gets the other characters escaped."""
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    for name in ("versions", "gpu", "machine", "surroundings", "hub", "slurm"):
        monkeypatch.setattr(doctor, f"check_{name}", lambda: iter([(doctor.OK, "topics × é")]))
    monkeypatch.setattr(doctor, "check_study", lambda files: iter([(doctor.WRONG, "≥ 1")]))
    assert doctor.main([]) == 1
    sys.stdout.flush()
    assert shown.getvalue().decode("ascii").splitlines()[-2:] == [
        "ok  topics \\xd7 \\xe9",
        "!!  \\u2265 1",
    ]
