"""Files are laid out for HDF5 1.10 and later, and other people's programs read what we read."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from other_libraries import (
    dumped,
    install_old_h5py,
    sums_by_h5py,
    sums_by_netcdf4,
    sums_by_old_h5py,
)
from synthetic_attribution import make_attribution
from test_activations import MADE, two_shards

from lengthlens.attribution.cwa import aggregate_attribution
from lengthlens.files import formats
from lengthlens.files.netcdf import write_dataset
from lengthlens.generation.activations import link_shards
from lengthlens.statistics import Bootstrap

SUPERBLOCK = 8  # place of its version in an HDF5 file; 0 is that of HDF5 1.0 to 1.8
FILES = ("all.h5", "shards/0.h5", "shards/1.h5", "attribution.nc", "cwa.nc", "conditions.nc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A file of every layout: shards, what links to them, numbers, texts, labels, booleans."""
    folder = tmp_path_factory.mktemp("files")
    shards = two_shards(folder)
    link_shards(folder / "all.h5", shards, [3, 1], MADE)
    one = make_attribution(3, layers=2, heads=3).dataset
    means = aggregate_attribution({("m", "en-nz"): one}, Bootstrap(resamples=80))
    long = {"schema": formats.CWA, "config": {"long": "x" * 100_000}}  # more than an HDF5 header
    conditions = xr.Dataset(
        {
            "removed_head": (("condition", "layer", "head"), np.eye(3, dtype=bool)[None]),
            "drop": (("condition", "sample"), np.array([[1.5, np.nan]], dtype=np.float32)),
        },
        coords={"components": ("condition", ["L0H1;L2M"]), "sample_id": ("sample", ["घर", ""])},
    )
    for name, dataset in {"attribution": one, "cwa": means, "conditions": conditions}.items():
        write_dataset(dataset, folder / f"{name}.nc", long)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_the_layout_is_the_oldest(folder, name):
    with h5py.File(folder / name) as file:
        versions = {item.id.get_create_plist().get_layout() for item in datasets(file)}
    assert (folder / name).read_bytes()[SUPERBLOCK] == 0
    assert (h5py.h5d.VIRTUAL in versions) == (name == "all.h5")


def datasets(file: h5py.File) -> list[h5py.Dataset]:
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if hasattr(item, "shape") else None)
    return found


def versions_of_links(path: Path) -> list[bytes]:
    """First byte of each list of sources: HDF5 1.10 to 1.14 read 0 alone, HDF5 2 also 1."""
    starts = rb"(.)\x02\0{7}.?shards/0\.h5\0"  # version, number of sources, flags of version 1
    return re.findall(starts, path.read_bytes(), re.DOTALL)


def test_links_are_written_as_hdf5_1_10_reads_them(folder, tmp_path, monkeypatch):
    assert versions_of_links(folder / "all.h5") == [b"\0"] * 3
    copy = shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.setattr("lengthlens.generation.activations.HDF5_LAYOUTS", "latest")
    shards = [copy / f"shards/{i}.h5" for i in range(2)]
    link_shards(copy / "all.h5", shards, [3, 1], MADE)
    assert versions_of_links(copy / "all.h5") == [b"\1"] * 3  # so that the test can see one


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".nc")])
def test_netcdf_c_reads_the_same_numbers(folder, name):
    ours = sums_by_h5py(folder / name)
    found = sums_by_netcdf4(folder / name)
    assert len(ours) >= 4 and found == pytest.approx(ours, rel=1e-6)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".nc")])
def test_ncdump_shows_every_variable(folder, name):
    shown = dumped("ncdump", "-h", folder / name)
    listed = set(re.findall(r"^\t\w+ (\w+)(?:\(.*\))? ;$", shown, re.MULTILINE))
    assert listed == set(sums_by_h5py(folder / name))
    assert "_nc4_non_coord_" not in shown
    assert "data:" in dumped("ncdump", folder / name)


def test_ncdump_shows_texts_of_every_script(folder):
    assert 'sample_id = "घर", ' in dumped("ncdump", folder / "conditions.nc")


@pytest.mark.parametrize("name", FILES)
def test_h5dump_reads_everything(folder, name):
    shown = dumped("h5dump", "-m", "%.9g", folder / name)
    assert shown.count("DATASET") >= len(sums_by_h5py(folder / name))
    if name.endswith(".h5"):
        shown = dumped("h5dump", "-d", "/activations/embed", "-w", "0", "-m", "%.9g", folder / name)
        with h5py.File(folder / name) as file:
            expected = file["activations/embed"][:]
        rows = re.findall(r"^\s*\(\d+,\d+\): (.*)$", shown, re.MULTILINE)
        values = [float(value) for row in rows for value in row.rstrip(",").split(", ")]
        np.testing.assert_allclose(values, expected.ravel(), rtol=1e-6)


@pytest.mark.slow
def test_an_old_h5py_reads_the_same_numbers(folder, tmp_path):
    old = install_old_h5py(tmp_path / "old")
    for name in FILES:
        ours, found = sums_by_h5py(folder / name), sums_by_old_h5py(folder / name, old)
        assert {key: found[key] for key in ours} == pytest.approx(ours, rel=1e-6), name
