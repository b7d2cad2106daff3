"""Damage is noticed: flipped bytes, missing and exchanged parts, in every kind of data file."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from architectures import tiny_model
from test_activations import batch_of, two_shards, write

from lengthlens import readers
from lengthlens.errors import LengthlensError
from lengthlens.files import formats
from lengthlens.files.integrity import append_digest, check_digest, sealed
from lengthlens.files.jsonl import write_rows
from lengthlens.files.netcdf import read_dataset, write_dataset
from lengthlens.files.tables import read_table, write_table
from lengthlens.generation.activations import link_shards, open_activations
from lengthlens.weights.checkpoints import read_manifest


def made(schema: str, **more) -> dict:
    return {"schema": schema, "commit": "abc"} | more


def flipped(content: bytes, place: int, bit: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def flips(path: Path, count: int, seed: int = 0):
    """Random single-bit flips of a file, one after another; the file is whole again at the end."""
    content = path.read_bytes()
    chance = random.Random(seed)
    try:
        for _ in range(count):
            place, bit = chance.randrange(len(content)), chance.randrange(8)
            path.write_bytes(flipped(content, place, bit))
            yield place, bit
    finally:
        path.write_bytes(content)


def test_every_bit_of_a_table_and_of_what_made_it_counts(tmp_path):
    """A flip is refused, or the same table and provenance are read (blanks between JSON keys)."""
    path = tmp_path / "t.csv"
    write_table(pd.DataFrame({"a": [1.5, 2.25], "b": ["x", "y"]}), path, made(formats.TABLE))
    whole = read_table(path, formats.TABLE)
    refused = 0
    for part in (path, path.with_suffix(".provenance.json")):
        content = part.read_bytes()
        for place in range(len(content)):
            part.write_bytes(flipped(content, place, place % 8))
            try:
                found = read_table(path, formats.TABLE)
            except LengthlensError as error:
                assert path.stem in str(error)
                refused += 1
            else:
                pd.testing.assert_frame_equal(found, whole)
                assert found.attrs == whole.attrs
        part.write_bytes(content)
    assert refused >= len(path.read_bytes())


def test_lines_that_were_exchanged_are_noticed(tmp_path):
    path = tmp_path / "a.en.jsonl"
    rows = [{"sample_id": str(i)} for i in range(3)]
    write_rows(rows, path, made(formats.TOKENS))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(reversed(lines)))
    with pytest.raises(LengthlensError, match="a.en.jsonl was changed after it was written"):
        readers.open_tokens(path)


def test_provenance_without_a_seal_or_that_is_no_object_is_refused(tmp_path):
    path = tmp_path / "a.en.jsonl"
    write_rows([], path, made(formats.TOKENS))
    beside = path.with_suffix(".provenance.json")
    beside.write_text(json.dumps(made(formats.TOKENS)))
    with pytest.raises(LengthlensError, match="a.en.provenance.json has no seal"):
        readers.open_tokens(path)
    beside.write_text("[]")
    with pytest.raises(LengthlensError, match="holds no object"):
        readers.open_tokens(path)
    beside.write_bytes(b"\xff\xfe")
    with pytest.raises(LengthlensError, match="is not JSON"):
        readers.open_tokens(path)


def test_arrays_keep_their_checksum_behind_them(tmp_path):
    """netCDF readers of others do not mind the last line, and every flip is refused."""
    path = tmp_path / "x.nc"
    write_dataset(xr.Dataset({"a": ("x", np.arange(300.0))}), path, made(formats.CWA))
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        np.testing.assert_array_equal(opened["a"], np.arange(300.0))
    for _ in flips(path, 60):
        with pytest.raises(LengthlensError, match="x.nc.*(was changed|does not end)"):
            read_dataset(path, formats.CWA)
    read_dataset(path, formats.CWA)
    for size in (0, 5, 91, path.stat().st_size - 1):
        cut = tmp_path / "cut.nc"
        cut.write_bytes(path.read_bytes()[:size])
        with pytest.raises(LengthlensError, match="cut.nc does not end in its checksum"):
            read_dataset(cut, formats.CWA)


def test_digests_of_files_of_many_blocks(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(bytes(9_000_000))
    append_digest(path)
    check_digest(path)
    with path.open("r+b") as stream:
        stream.seek(8_500_000)
        stream.write(b"\1")
    with pytest.raises(LengthlensError, match="was changed"):
        check_digest(path)


def test_manifests_are_sealed(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps(sealed({"model": "m", "bytes": 5})))
    assert read_manifest(path)["bytes"] == 5
    path.write_text(path.read_text().replace("5", "6", 1))
    with pytest.raises(LengthlensError, match="m.json was changed"):
        read_manifest(path)
    path.write_text("3")
    with pytest.raises(LengthlensError, match="not a manifest"):
        read_manifest(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A folder with two shards and the file that links to them."""
    folder = tmp_path_factory.mktemp("run")
    shards = two_shards(folder)
    link_shards(folder / "all.h5", shards, [3, 2], made(formats.ACTIVATIONS))
    return folder


def everything(path: Path) -> list[bytes]:
    """All that a file of activations gives."""
    with open_activations(path) as opened:
        columns = [column.tobytes() for column in opened.steps().columns().values()]
        terms = [v.numpy().tobytes() for v in vars(opened.residuals()).values() if v is not None]
        rest = json.dumps([opened.samples.sample_id, opened.provenance], sort_keys=True)
        return [*columns, *terms, rest.encode()]


@pytest.mark.parametrize("name", ["shards/0.h5", "all.h5"])
def test_flipped_bits_of_activations_are_refused_or_harmless(run, name):
    path = run / name
    whole = everything(path)
    refused = 0
    for place in flips(path, 120):
        try:
            found = everything(path)
        except LengthlensError as error:
            assert path.name in str(error)
            refused += 1
        else:
            assert found == whole, place
    assert refused > 30
    assert everything(path) == whole


def test_flips_in_a_shard_are_noticed_through_the_link(run):
    """HDF5 alone reads zeros where a shard cannot be opened, and damaged numbers elsewhere."""
    whole = everything(run / "all.h5")
    refused = 0
    for place in flips(run / "shards/1.h5", 120, seed=1):
        try:
            found = everything(run / "all.h5")
        except LengthlensError as error:
            assert "1.h5" in str(error) or "all.h5" in str(error)
            refused += 1
        else:
            assert found == whole, place
    assert refused > 30


def test_every_number_of_the_large_arrays_is_protected(run):
    """Each byte of every activation: a flip is found when it is read."""
    path = run / "shards/0.h5"
    content = path.read_bytes()
    with open_activations(path) as opened:
        values = {n: opened.file[f"activations/{n}"][:] for n in ("embed", "head", "mlp")}
    for array in values.values():
        start = content.index(array[0].tobytes())
        for place in range(start, start + array[0].nbytes, 31):
            path.write_bytes(flipped(content, place, place % 8))
            with pytest.raises(LengthlensError, match="0.h5 is damaged"):
                everything(path)
    path.write_bytes(content)


def test_a_shard_that_was_replaced_is_refused_with_both_identities(run, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    other = batch_of(tiny_model("gemma2"), 3, [3, 5], "b")
    write(folder / "shards/1.h5", [other])
    with pytest.raises(
        LengthlensError, match=r"all.h5 \(.*\) links to shards/1.h5 as it was .* another one"
    ):
        open_activations(folder / "all.h5")
    (folder / "shards/1.h5").write_bytes(b"no HDF5")
    with pytest.raises(LengthlensError, match=r"shards/1.h5 does not end in its checksum"):
        open_activations(folder / "all.h5")
