"""Do two results folders hold the same values? For changes of the code that must change none.

    PYTHONPATH=scripts python benchmarks/compare_runs.py results/before results/after

Tables, JSON, NetCDF and HDF5 files are compared value by value: every column, key, variable and
dataset that only one side has, or that differs, is named. Numbers may differ by a relative 1e-12,
so that sums may be taken in another order. Drawings (SVG) are compared letter by letter. What says
when and where something was made, logs, pixels and the page are left out. Exit status 1 on any
difference.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr

RELATIVE = 1e-12
ENDINGS = (".csv", ".nc", ".json", ".jsonl", ".h5", ".svg")
LEFT_OUT = "provenance.json"
NOT_VALUES = ("provenance", "schema", "seal")  # attributes, and keys of JSON
_MADE = re.compile(r"<metadata>.*?</metadata>|<!-- sha256 \w+ -->", re.DOTALL)


def values_of(path: Path) -> dict[Any, Any]:
    """Everything that a file holds, by name; lines of JSON by their number."""
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        return {name: table[name].to_numpy() for name in table}
    if path.suffix == ".nc":
        with xr.open_dataset(path) as data:
            found = {str(name): data[name].to_numpy() for name in data.variables}
            attributes = {f"@{name}": value for name, value in data.attrs.items()}
        told = (name for name in attributes if not any(word in name for word in NOT_VALUES))
        return found | {name: attributes[name] for name in told}
    if path.suffix == ".h5":
        return _datasets(path)
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".svg":
        return {"drawing": _MADE.sub("", text)}
    if path.suffix == ".json":
        content = json.loads(text)
        if isinstance(content, dict):
            content = {key: value for key, value in content.items() if key not in NOT_VALUES}
        return {"content": content}
    return dict(enumerate(map(json.loads, text.splitlines()), start=1))


def _datasets(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:

        def keep(name: str, item: h5py.Dataset | h5py.Group) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = item[()]

        file.visititems(keep)
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two values agree: numbers nearly, all else exactly, NaN with NaN."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        return False
    if all(np.issubdtype(part.dtype, np.number) for part in (a, b)):
        return bool(np.allclose(a, b, rtol=RELATIVE, atol=0, equal_nan=True))
    missing = pd.isna(a) & pd.isna(b)
    return bool(np.all(missing | (a == b)))


def differences(before: Path, after: Path) -> Iterator[str]:
    """What differs between two results folders, a line each."""
    names = [
        {
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if path.suffix in ENDINGS
            and not path.name.endswith(LEFT_OUT)
            and ".kept" not in path.parts  # a store, whose names hold versions of packages
        }
        for folder in (before, after)
    ]
    for name in sorted(names[0] ^ names[1]):
        yield f"{name}: only in {before if name in names[0] else after}"
    for name in sorted(names[0] & names[1]):
        one, other = values_of(before / name), values_of(after / name)
        for key in dict.fromkeys((*one, *other)):
            if key not in one or key not in other:
                yield f"{name}: {key} only in {before if key in one else after}"
            elif not same(one[key], other[key]):
                yield f"{name}: {key} differs"


def main() -> int:
    """Compare the two folders of the command line, and name what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    folders = parser.parse_args()
    for folder in vars(folders).values():
        if not folder.is_dir():
            parser.error(f"{folder} is no folder: give two results folders, results/{{run}}")
    found = list(differences(folders.before, folders.after))
    print("\n".join(found) if found else "equal in every value")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
