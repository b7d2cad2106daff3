"""Versions of formats have one home, and files are laid out for libraries of every age."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from lengthlens.files import formats
from lengthlens.files.netcdf import read_dataset, write_dataset

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = [value for value in vars(formats).values() if re.fullmatch(r"\w+/\d+", str(value))]
SUPERBLOCK = 8  # place of its version in an HDF5 file


def test_every_format_has_a_version_of_its_own():
    kinds = [version.split("/")[0] for version in VERSIONS]
    assert len(kinds) == len(set(kinds)) > 15


def test_no_other_place_writes_a_version_down():
    """Two modules once named an older one beside it. Tests may name version 0, which none has."""
    kinds = "|".join(version.split("/")[0] for version in VERSIONS)
    literal = re.compile(rf"""["'`]({kinds})/[1-9]\d*["'`]""")
    found = []
    for folder in ("scripts", "rules", "tests", "examples", "benchmarks", "docs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".smk", ".md", ".j2", ".js") and path.name != "formats.py":
                found += [f"{path.name}: {m[0]}" for m in literal.finditer(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("name", "dims"), [("head", ("layer", "head")), ("n", ("sample",)), ("n", ())]
)
def test_a_variable_named_like_a_dimension_is_not_written(name, dims, tmp_path):
    """Older xarray refuses to open such a file; R's ncdf4 takes the variable for coordinates."""
    sizes = {"layer": 2, "head": 3, "sample": 4, "n": 5}
    wrong = xr.Dataset({"x": (tuple(sizes), np.zeros(tuple(sizes.values())))})
    wrong._variables[name] = xr.Variable(dims, np.zeros([sizes[dim] for dim in dims]))
    with pytest.raises(ValueError, match=rf"named like a dimension: {name} \("):
        write_dataset(wrong, tmp_path / "x.nc", {"schema": formats.CWA})
    assert not list(tmp_path.iterdir())


def test_coordinates_have_the_name_of_their_dimension(tmp_path):
    right = xr.Dataset({"x": ("n", [1.0, 2.0])}, coords={"n": [3, 5]})
    write_dataset(right, tmp_path / "x.nc", {"schema": formats.CWA})
    assert read_dataset(tmp_path / "x.nc", formats.CWA).sel(n=5)["x"] == 2
    assert (tmp_path / "x.nc").read_bytes()[SUPERBLOCK] == 0
