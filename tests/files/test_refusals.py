"""What the system or another HDF5 says against a sound file: never that it is damaged.

The errors are those that h5py 3.11 and 3.16 really raise (HDF5 1.14 and 2.0): with the system's
number where the system refused, without one where HDF5 did not understand the bytes.
"""

from __future__ import annotations

import builtins
import errno
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import psutil
import pytest
import xarray as xr
from test_activations import MADE, batch_of, tiny_model, write

from lengthlens.errors import LengthlensError
from lengthlens.files import formats
from lengthlens.files.netcdf import read_dataset, write_dataset
from lengthlens.files.provenance import check_schema
from lengthlens.files.refusals import file_system, refusal
from lengthlens.files.tables import read_table
from lengthlens.generation.activations import ActivationWriter, link_shards, open_activations
from lengthlens.weights.checkpoints import ModelSpec, check_files, read_manifest

ACCUSING = ("damaged", "delete")
# (number, what h5py puts before the system's words)
LOCKS = [
    (errno.ENOLCK, "unable to lock file"),
    (errno.EOPNOTSUPP, "unable to lock file"),
    (errno.EAGAIN, "unable to lock file"),
]
OTHERS = [
    (errno.EACCES, "unable to open file: name = 'x'"),
    (errno.EMFILE, "unable to open file: name = 'x'"),
    (errno.EIO, "file read failed: filename = 'x'"),
    (errno.ESTALE, "file read failed: filename = 'x'"),
]
NOT_UNDERSTOOD = [
    OSError("Unable to synchronously open file (bad superblock version number)"),
    KeyError(
        "Unable to synchronously open object (bad version # of encoded VDS heap information, "
        "expected 0, got 1)"
    ),
    OSError("Can't synchronously read data (required filter 'zstd' is not registered)"),
]


def hdf5_error(code: int, before: str) -> OSError:
    """As h5py raises it: the system's number, and both texts in one."""
    words = f"{before}, errno = {code}, error message = '{os.strerror(code)}'"
    return OSError(code, f"Unable to synchronously open file ({words})")


def raising(error: BaseException):
    def call(*arguments, **options):
        raise error

    return call


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    path = tmp_path / "cwa.nc"
    write_dataset(xr.Dataset({"a": ("x", np.arange(9.0))}), path, {"schema": formats.CWA})
    return path


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A file that links to two shards beside it."""
    model = tiny_model("llama")
    parts = [batch_of(model, 1, [4, 1], "a"), batch_of(model, 2, [3], "b")]
    shards = [write(tmp_path / f"shards/{i}.h5", [part]) for i, part in enumerate(parts)]
    link_shards(tmp_path / "all.h5", shards, [2, 1], MADE)
    return tmp_path / "all.h5"


def both_told(arrays: Path, linked: Path, monkeypatch, error: BaseException) -> list[str]:
    """What both readers say when HDF5 raises an error."""
    told = []
    for module, read in ((h5py, open_activations), (xr, read_dataset)):
        with monkeypatch.context() as patch, pytest.raises(LengthlensError) as caught:
            if module is h5py:
                patch.setattr(h5py, "File", raising(error))
                read(linked)
            else:
                patch.setattr(xr, "open_dataset", raising(error))
                read(arrays, formats.CWA)
        told.append(str(caught.value))
    assert "all.h5" in told[0] and "cwa.nc" in told[1]
    return told


@pytest.mark.parametrize(("code", "before"), LOCKS)
def test_a_file_that_cannot_be_locked_names_the_file_system(
    arrays, linked, monkeypatch, code, before
):
    for told in both_told(arrays, linked, monkeypatch, hdf5_error(code, before)):
        assert not any(word in told for word in ACCUSING)
        assert f"cannot be locked ({os.strerror(code)})" in told
        assert file_system(arrays) in told and "mounted at /" in told
        assert "HDF5_USE_FILE_LOCKING=FALSE" in told and "keep it" in told


@pytest.mark.parametrize(("code", "before"), OTHERS)
def test_what_the_system_refuses_is_told_in_its_words(arrays, linked, monkeypatch, code, before):
    for told in both_told(arrays, linked, monkeypatch, hdf5_error(code, before)):
        assert not any(word in told for word in ACCUSING)
        assert os.strerror(code) in told
        assert "HDF5_USE_FILE_LOCKING" not in told


@pytest.mark.parametrize("error", NOT_UNDERSTOOD)
def test_a_file_whose_checksum_fits_is_sound_whatever_hdf5_says(arrays, linked, monkeypatch, error):
    for told in both_told(arrays, linked, monkeypatch, error):
        assert not any(word in told for word in ACCUSING)
        assert "is as it was written (its checksum fits)" in told
        assert h5py.version.hdf5_version in told


@pytest.mark.parametrize("code", [errno.EACCES, errno.EMFILE, errno.EIO, errno.ENOLCK])
def test_files_of_every_kind_that_may_not_be_read(arrays, linked, tmp_path, monkeypatch, code):
    """Before any library sees them: the checksum is read first."""
    (tmp_path / "t.provenance.json").write_text("{}")
    readers = {
        "cwa.nc": lambda: read_dataset(arrays, formats.CWA),
        "all.h5": lambda: open_activations(linked),
        "t.provenance.json": lambda: read_table(tmp_path / "t.csv", formats.TABLE),
        "m.json": lambda: read_manifest(tmp_path / "m.json"),
    }
    (tmp_path / "m.json").write_text("{}")
    for name, read in readers.items():
        error = OSError(code, os.strerror(code), name)
        with monkeypatch.context() as patch, pytest.raises(LengthlensError) as caught:
            patch.setattr(builtins, "open", raising(error))
            patch.setattr(Path, "read_bytes", raising(error))
            read()
        told = str(caught.value)
        assert name in told and os.strerror(code) in told
        assert not any(word in told for word in ACCUSING)


def test_a_model_that_may_not_be_read_is_not_damaged(tiny_llama_dir, monkeypatch):
    spec = ModelSpec(name="m", variant="instruct", path=str(tiny_llama_dir))
    path = tiny_llama_dir / "tokenizer.json"
    monkeypatch.setattr(
        Path, "read_text", raising(PermissionError(errno.EACCES, "Permission denied", str(path)))
    )
    with pytest.raises(LengthlensError, match="tokenizer.json may not be read") as caught:
        check_files(spec)
    assert not any(word in str(caught.value) for word in ACCUSING)


def test_writing_where_nothing_can_be_locked_names_the_file(tmp_path, monkeypatch):
    class Refusing(h5py.File):
        def __init__(self, *arguments, **options):
            raise hdf5_error(errno.ENOLCK, "unable to lock file")

    monkeypatch.setattr(h5py, "File", Refusing)
    with pytest.raises(LengthlensError, match=r"new.h5 cannot be locked .*HDF5_USE_FILE_LOCKING"):
        ActivationWriter(tmp_path / "new.h5", MADE)
    with pytest.raises(LengthlensError, match=r"new.nc cannot be locked .*HDF5_USE_FILE_LOCKING"):
        write_dataset(xr.Dataset(), tmp_path / "new.nc", {"schema": formats.CWA})
    assert list(tmp_path.iterdir()) == []


def test_missing_files_and_full_disks_have_words_elsewhere():
    for code in (errno.ENOENT, errno.ENOSPC, errno.EDQUOT):
        assert refusal("x", OSError(code, "")) is None
    assert refusal("x", OSError("no number")) is None


def test_shards_that_hdf5_cannot_open_are_not_read_as_numbers(linked):
    """With no file left to open, HDF5 alone fills in zeros for a shard, without a word."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    with open_activations(linked) as opened:
        whole = opened.residuals()
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
            with pytest.raises(OSError):
                while True:
                    held.append(os.open(os.devnull, os.O_RDONLY))
            with pytest.raises(LengthlensError, match=r"0.h5 cannot .*Too many open files") as told:
                opened.residuals()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for one in held:
                os.close(one)
        assert "damaged" not in str(told.value)
        assert opened.residuals().head.equal(whole.head)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_other_programs_read_a_missing_shard_as_nan(dtype, tmp_path):
    import torch

    part = batch_of(tiny_model("llama", getattr(torch, dtype)), 1, [4, 1], "a")
    shards = [write(tmp_path / f"{i}.h5", [part]) for i in range(2)]
    link_shards(tmp_path / "all.h5", shards, [2, 2], MADE)
    shards[1].unlink()
    with h5py.File(tmp_path / "all.h5") as file:
        values = torch.from_numpy(file["activations/mlp"][:])
    values = values.view(torch.bfloat16) if dtype == "bfloat16" else values
    half = len(values) // 2
    assert values[:half].isfinite().all() and values[half:].isnan().all()


def test_formats_of_a_newer_version_are_kept():
    kind, version = formats.CWA.split("/")
    newer = f"{kind}/{int(version) + 1}"
    with pytest.raises(LengthlensError, match=f"{newer!r} of a newer lengthlens") as told:
        check_schema("x.nc", newer, formats.CWA)
    assert "delete" not in str(told.value)
    for older in (f"{kind}/0", f"repair/{int(version) + 1}", None, "cwa", "cwa/x"):
        with pytest.raises(LengthlensError, match="delete it and run again"):
            check_schema("x.nc", older, formats.CWA)


def test_the_innermost_mount_is_named(monkeypatch):
    """The last of two at one place hides the first."""
    mounts = [("/", "ext4"), ("/mnt", "xfs"), ("/mnt/data", "nfs4"), ("/mnt/data", "lustre")]
    found = [SimpleNamespace(mountpoint=place, fstype=kind) for place, kind in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: found)
    assert file_system("/mnt/data/x.nc") == "the file system (lustre, mounted at /mnt/data)"
    assert file_system("/mnt/database/x") == "the file system (xfs, mounted at /mnt)"
    monkeypatch.setattr(psutil, "disk_partitions", raising(PermissionError(13, "no")))
    assert file_system("/mnt/data/x.nc") == "its file system"
