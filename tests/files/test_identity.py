"""Files of different runs are refused, and both are named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

import lengthlens
from lengthlens import readers
from lengthlens.errors import LengthlensError
from lengthlens.files import formats
from lengthlens.files.identity import check_agreement, inherited, this_run
from lengthlens.files.jsonl import write_rows
from lengthlens.files.netcdf import write_dataset
from lengthlens.files.provenance import derived, provenance
from lengthlens.files.tables import write_table
from lengthlens.generation.collect import answers_of_shards
from lengthlens.language.ids import prompt_id

FIRST, SECOND = "1" * 64, "2" * 64


def made(schema: str = "x/1", sha256: str = FIRST, model: str = "m", **config) -> dict:
    weights = {"model": model, "source": "here", "sha256": sha256}
    return {"schema": schema, "model": weights, "config": config}


def test_other_weights_are_named_on_both_sides():
    with pytest.raises(LengthlensError, match="b.nc was made from other weights of m .22222222"):
        check_agreement({"a.nc": made(), "b.nc": made(sha256=SECOND)})
    with pytest.raises(LengthlensError, match="than a.nc .111111111111.; delete the older of both"):
        check_agreement({"a.nc": made(), "b.nc": {"models": {"m": SECOND}}})
    check_agreement({"a.nc": made(), "b.nc": made(sha256=SECOND, model="other")})


def test_another_configuration_is_named_on_both_sides():
    first = made(generation={"max_new_tokens": 32, "seed": 0}, n_words=[3, 5])
    second = made(generation={"max_new_tokens": 64, "seed": 0}, counting="elision")
    words = "b.nc was made with generation.max_new_tokens = 64, but a.nc with .* = 32"
    with pytest.raises(LengthlensError, match=words):
        check_agreement({"a.nc": first, "b.nc": second})
    run = this_run({"generation": {"seed": 1}})
    with pytest.raises(LengthlensError, match="seed = 0, but this run with .*delete a.nc and run"):
        check_agreement(run | {"a.nc": first})


def test_what_differs_within_a_study_may_differ():
    plans = [made(ablation={"controls": n}, dtype=d) for n, d in ((5, "float32"), (2, "bfloat16"))]
    check_agreement({"a": plans[0], "b": plans[1], "c": made(n_words=(3, 5))})
    check_agreement({"a": made(n_words=[3, 5]), "b": made(n_words=(3, 5))})


def test_files_under_the_name_of_another_are_refused(tmp_path):
    path = tmp_path / "m.en.nc"
    ids = {"sample_id": ("sample", ["it-n3-0000#0"])}
    write_dataset(xr.Dataset(coords=ids), path, made(formats.ATTRIBUTION))
    with pytest.raises(LengthlensError, match="taken for other's, but was made by m"):
        readers.open_pairs([path], [("other", "it")], readers.open_attribution)
    with pytest.raises(LengthlensError, match="taken for answers in en, but holds some in it"):
        readers.open_pairs([path], [("m", "en")], readers.open_attribution)
    assert readers.open_pairs([path], [("m", "it")], readers.open_attribution)


@pytest.mark.parametrize("code", ["en-nz", "x-n3-0007", "no", "pt-br"])
def test_a_code_that_looks_like_part_of_an_id_is_not_cut(code, tmp_path):
    """`en-nz` was read as `en`, and a sound file refused."""
    path = tmp_path / f"m.{code}.nc"
    ids = {"sample_id": ("sample", [f"{prompt_id(code, 3, 7)}#0", f"{prompt_id(code, 12, 0)}#1"])}
    write_dataset(xr.Dataset(coords=ids), path, made(formats.ATTRIBUTION))
    assert readers.open_pairs([path], [("m", code)], readers.open_attribution)
    with pytest.raises(LengthlensError, match=f"answers in en, but holds some in {code}"):
        readers.open_pairs([path], [("m", "en")], readers.open_attribution)


def test_files_of_several_kinds_are_compared(tmp_path):
    table = pd.DataFrame({"component": ["L0M"]})
    write_table(table, tmp_path / "m.en.csv", made(formats.SELECTION, sha256=SECOND))
    write_dataset(xr.Dataset(), tmp_path / "m.en.nc", made(formats.CWA))
    pair = [("m", "en")]
    files = {"cwa": [tmp_path / "m.en.nc"], "selections": [tmp_path / "m.en.csv"]}
    rankings = readers.open_pairs(files["selections"], pair, readers.open_selection)
    means = readers.open_pairs(files["cwa"], pair, readers.open_cwa)
    with pytest.raises(LengthlensError, match="m.en.csv was made from other weights.*m.en.nc"):
        readers.check_together(files, {"cwa": means, "selections": rankings})


def test_shards_of_other_weights_are_not_collected(tmp_path):
    paths = [tmp_path / f"{i}.jsonl" for i in range(2)]
    for path, sha256 in zip(paths, (FIRST, SECOND), strict=True):
        write_rows([{"prompt_id": "p"}], path, made(formats.GENERATIONS, sha256))
    run = this_run({}, {"model": "m", "sha256": FIRST})
    assert answers_of_shards(paths[:1], [1], run)[1] == [1]
    with pytest.raises(LengthlensError, match="1.jsonl was made from other weights.*this run"):
        answers_of_shards(paths, [1, 1], run)


def test_what_is_derived_has_the_configuration_of_its_sources():
    sources = [
        made(generation={"seed": 3}, ablation={"seed": 1, "controls": 5}),
        made(generation={"seed": 3}, ablation={"seed": 1, "controls": 2}, model="n"),
    ]
    found = derived(formats.TABLE, {"statistics": {"level": 0.9}}, iter(sources))
    assert found["models"] == {"m": FIRST, "n": FIRST}
    wanted = {"generation": {"seed": 3}, "ablation": {"seed": 1}, "statistics": {"level": 0.9}}
    assert found["config"] == wanted
    assert inherited({"generation": {"seed": 4}}, sources)["generation"] == {"seed": 4}


@pytest.mark.parametrize("source", ["/home/someone/models/m7", "~/models/m7", "../up/m7"])
def test_folders_of_the_machine_stay_out_of_provenance(source):
    found = provenance("x/1", {}, {"model": "m", "source": source, "sha256": FIRST})
    assert found["model"]["source"] == "…/m7"
    kept = provenance("x/1", {}, {"model": "m", "source": "resources/m7", "sha256": FIRST})
    assert kept["model"]["source"] == "resources/m7"


def test_a_copy_inside_another_repository_does_not_take_its_commit(tmp_path):
    """The commit is that of the code itself, or unknown."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    scripts = Path(lengthlens.__file__).parents[1]
    shutil.copytree(scripts / "lengthlens", tmp_path / "copy/scripts/lengthlens")
    code = "from lengthlens.files.provenance import commit; print(*commit().values(), sep='|')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path / "copy/scripts"), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    wanted = "None|None|the code is a copy, not a clone of its repository"
    assert done.stdout.strip() == wanted, done.stderr
