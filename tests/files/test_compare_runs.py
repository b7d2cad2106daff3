"""The comparison of two runs sees every kind of difference, and none where there is none."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

SCRIPT = Path(__file__).parents[2] / "benchmarks/compare_runs.py"


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal results folders with a file of every kind."""
    before = tmp_path / "before"
    (before / "tables").mkdir(parents=True)
    table = pd.DataFrame({"model": ["a", None], "value": [0.1 + 0.2, np.nan]})
    table.to_csv(before / "tables/one.csv", index=False)
    data = xr.Dataset({"cwa": ("sample", [1.0, np.nan])}, coords={"sample": ["s", "t"]})
    data.assign_attrs(provenance="today", level=0.95).to_netcdf(before / "one.nc")
    lines = [{"tokens": [1, 2, 3], "text": "a"}, {"tokens": [4], "text": None}]
    (before / "one.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (before / "one.provenance.json").write_text("{}")
    with h5py.File(before / "one.h5", "w") as file:
        file["steps/token"] = np.arange(3)
    shutil.copytree(before, tmp_path / "after")
    return before, tmp_path / "after"


def compared(*folders: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, folders)], capture_output=True, text=True
    )
    return done.returncode, (done.stdout or done.stderr).splitlines()


def test_equal_runs_and_another_order_of_a_sum_are_equal(runs) -> None:
    before, after = runs
    (after / "one.provenance.json").write_text("[]")
    pd.DataFrame({"model": ["a", None], "value": [0.3, np.nan]}).to_csv(
        after / "tables/one.csv", index=False
    )
    assert compared(before, after) == (0, ["equal in every value"])


def test_every_difference_is_named(runs) -> None:
    before, after = runs
    table = pd.DataFrame({"model": ["a", "b"], "value": [0.3000001, np.nan], "n": [1, 2]})
    table.to_csv(after / "tables/one.csv", index=False)
    data = xr.Dataset({"cwa": ("sample", [1.0, 0.0])}, coords={"sample": ["s", "t"]})
    data.assign_attrs(provenance="now", level=0.9).to_netcdf(after / "one.nc")
    lines = [{"tokens": [1, 2, 4], "text": "a"}, {"tokens": [4], "text": None}]
    (after / "one.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with h5py.File(after / "one.h5", "w") as file:
        file["steps/token"] = np.arange(4)
    (after / "more.csv").write_text("x\n1\n")
    status, found = compared(before, after)
    assert status == 1
    assert found == [
        f"more.csv: only in {after}",
        "one.h5: steps/token differs",
        "one.jsonl: 1 differs",
        "one.nc: cwa differs",
        "one.nc: @level differs",
        "tables/one.csv: model differs",
        "tables/one.csv: value differs",
        f"tables/one.csv: n only in {after}",
    ]


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    status, found = compared(tmp_path, tmp_path / "none")
    assert status == 2 and f"{tmp_path / 'none'} is no folder" in found[-1]
