"""Errors of the disk end a job in plain words, whoever met them; other errors keep their trace."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from lengthlens.errors import LengthlensError
from lengthlens.workflow.job import run_job, told_of_disk


def job(folder: Path) -> SimpleNamespace:
    return SimpleNamespace(log=[folder / "logs/a.log"], rule="make_it", resources={})


def failing(error: BaseException):
    def main(snakemake):
        raise error

    return main


def test_a_full_disk_is_told_with_what_to_do(tmp_path, capsys):
    error = OSError("Can't write data (file write failed: No space left on device)")  # as HDF5 says
    with pytest.raises(SystemExit):
        run_job(failing(error), job(tmp_path))
    told = capsys.readouterr().err
    assert "make_it: the disk is full; make room and run again (make resume)" in told
    assert "Traceback" not in told + (tmp_path / "logs/a.log").read_text()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_missing_permission_names_the_file(tmp_path, capsys, code):
    with pytest.raises(SystemExit):
        run_job(failing(OSError(code, "no", "/some/file.nc")), job(tmp_path))
    assert "/some/file.nc may not be read or written" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_told_too(tmp_path, capsys):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.log").symlink_to("/dev/full")
    with pytest.raises(SystemExit):
        run_job(lambda snakemake: None, job(tmp_path))
    assert "the disk is full" in capsys.readouterr().err


def test_other_errors_keep_their_trace(tmp_path):
    with pytest.raises(KeyError):
        run_job(failing(KeyError("x")), job(tmp_path))
    assert "Traceback" in (tmp_path / "logs/a.log").read_text()
    assert told_of_disk(KeyError("x")) is None
    assert told_of_disk(FileNotFoundError(errno.ENOENT, "no", "f")) is None


def test_our_own_errors_are_told_in_their_words(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_job(failing(LengthlensError("a is b; do c")), job(tmp_path))
    assert "make_it: a is b; do c" in capsys.readouterr().err
