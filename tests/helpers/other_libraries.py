"""Files read by the libraries and programs that other people have, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

OLD_H5PY = "3.11.0"  # HDF5 1.14
# Debian's and Ubuntu's packages of the programs.
PROGRAMS = {"ncdump": "netcdf-bin", "h5dump": "hdf5-tools"}

_SUM = """
import json, sys
import numpy as np

def total(values):
    values = np.ma.filled(np.ma.asarray(values), np.nan)
    numbers = values.dtype.kind in "iufb"
    return float(np.nansum(values.astype(float))) if numbers else len(values.ravel())

found = {}
"""
_H5PY = (
    _SUM
    + """
import h5py
with h5py.File(sys.argv[1], "r") as file:
    def add(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = total(item[()])
    file.visititems(add)
print(json.dumps(found))
"""
)
_NETCDF4 = (
    _SUM
    + """
import netCDF4
with netCDF4.Dataset(sys.argv[1]) as file:
    file.set_auto_mask(False)
    def add(group, above):
        for name, item in group.variables.items():
            found[above + name] = total(item[...])
        for name, inner in group.groups.items():
            add(inner, f"{above}{name}/")
    add(file, "")
print(json.dumps(found))
"""
)


def sums_by_h5py(path: Path) -> dict[str, float]:
    """Sum of every dataset of numbers, size of every one of texts, by the h5py of this process.

    Without what h5netcdf writes for a dimension that has no coordinates.
    """
    found: dict[str, float] = {}

    def add(name: str, item: h5py.Dataset | h5py.Group) -> None:
        mark = getattr(item, "attrs", {}).get("NAME", b"")
        if isinstance(item, h5py.Dataset) and b"not a netCDF variable" not in bytes(mark):
            values = item[()]
            numbers = values.dtype.kind in "iufb"
            found[name] = float(np.nansum(values.astype(float))) if numbers else values.size

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return found


def sums_by_old_h5py(path: Path, folder: Path) -> dict[str, float]:
    """The same by h5py in a folder (`install_old_h5py`)."""
    return _sums(_H5PY, path, os.environ | {"PYTHONPATH": str(folder)})


def sums_by_netcdf4(path: Path) -> dict[str, float]:
    """The same by netCDF4-python, which is netCDF-C."""
    return _sums(_NETCDF4, path, dict(os.environ))


def install_old_h5py(folder: Path) -> Path:
    """Install h5py of 2024 into a folder; skips where it cannot be had."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run(
        [*command, str(folder), f"h5py=={OLD_H5PY}"], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"h5py {OLD_H5PY} cannot be installed here: {done.stderr.strip()[-300:]}")
    return folder


def dumped(program: str, *words: str | Path) -> str:
    """What a program prints of a file; skips where it is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here: install the package {PROGRAMS[program]} to run this test")
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, f"{program} {words}: {done.stderr}"
    return done.stdout


def _sums(script: str, path: Path, environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, f"{path}: {done.stderr}"
    return json.loads(done.stdout)
