"""Readers: what they return, and that they refuse what is broken, foreign or of unknown origin."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import lengthlens
from lengthlens import readers
from lengthlens.configuration.pairs import model_pairs
from lengthlens.errors import LengthlensError
from lengthlens.files import formats
from lengthlens.files.integrity import append_digest
from lengthlens.files.jsonl import write_rows
from lengthlens.files.netcdf import write_dataset
from lengthlens.files.provenance import write_with_sidecar
from lengthlens.files.tables import write_table

ANSWER = {
    "sample_id": "en-n3-0000#0",
    "prompt_id": "en-n3-0000",
    "language": "en",
    "n": 3,
    "topic": "sea",
    "template": "plain",
    "split": "select",
    "text": "Waves; 海, \u2028 über.",
    "tokens": [5, 6, 7],
    "words": 4,
    "error": 1,
    "stopped": True,
    "truncated": False,
    "thinking_tokens": 0,
    "cut_thinking": False,
}
PROMPT = {
    "id": "en-n3-0000",
    "language": "en",
    "n": 3,
    "topic": "sea",
    "template": "plain",
    "split": "select",
    "text": "Write 3 words.",
}
ARRAYS = {
    "open_attribution": formats.ATTRIBUTION,
    "open_cwa": formats.CWA,
    "open_ablation": formats.ABLATION,
    "open_repair": formats.REPAIR,
    "open_patching": formats.PATCHING,
    "open_circuits": formats.CIRCUITS,
    "open_tracing": formats.TRACING,
    "open_attention": formats.ATTENTION,
    "open_paths": formats.PATHS,
    "open_contrasts": formats.CONTRASTS,
}


def made(schema):
    return {"schema": schema, "commit": None}


@pytest.fixture
def answers(tmp_path):
    path = tmp_path / "a.en.jsonl"
    write_rows([ANSWER], path, made(formats.GENERATIONS))
    return path


def test_generations_keep_every_character_and_their_provenance(answers):
    table = lengthlens.open_generations(answers)
    assert table.loc[0, "text"] == ANSWER["text"]
    assert table.loc[0, "tokens"] == [5, 6, 7]
    assert table.attrs["provenance"] == made(formats.GENERATIONS)


def test_prompts(tmp_path):
    path = tmp_path / "en.jsonl"
    write_rows([PROMPT], path, made(formats.PROMPTS))
    assert readers.open_prompts(path).to_dict("records") == [PROMPT]


def test_a_truncated_file_is_refused_with_its_line(answers):
    text = answers.read_text(encoding="utf-8")
    cut = text + text[: len(text) // 2]
    write_with_sidecar(answers, cut, made(formats.GENERATIONS))
    with pytest.raises(LengthlensError, match="line 2.*delete it and run again"):
        readers.open_generations(answers)


def test_a_row_without_a_column_is_refused(tmp_path):
    path = tmp_path / "a.en.jsonl"
    write_rows([ANSWER, {"n": 3}], path, made(formats.GENERATIONS))
    with pytest.raises(LengthlensError, match="row 2: sample_id, .* missing"):
        readers.open_generations(path)


def test_a_row_that_is_no_object_is_refused(tmp_path):
    path = tmp_path / "a.en.jsonl"
    write_with_sidecar(path, "3\n", made(formats.GENERATIONS))
    with pytest.raises(LengthlensError, match="line 1: 3 is no object"):
        readers.open_generations(path)


def test_text_files_need_their_provenance(answers):
    answers.with_suffix(".provenance.json").unlink()
    with pytest.raises(LengthlensError, match="no provenance"):
        readers.open_generations(answers)


def test_text_files_of_another_format_are_refused(tmp_path):
    path = tmp_path / "a.en.jsonl"
    write_rows([ANSWER], path, made("generations/0"))
    with pytest.raises(LengthlensError, match=f"generations/0.*{formats.GENERATIONS}"):
        readers.open_generations(path)


def test_no_answers_at_all_still_have_columns(tmp_path):
    path = tmp_path / "a.en.jsonl"
    write_rows([], path, made(formats.GENERATIONS))
    assert "error" in readers.open_generations(path).columns


def test_selection_keeps_missing_heads_and_ranks_missing(tmp_path):
    path = tmp_path / "s.csv"
    table = pd.DataFrame({"component": ["L0H1", "L0M"], "head": [1, None], "rank": [1, None]})
    write_table(table, path, made(formats.SELECTION))
    found = readers.open_selection(path)
    assert found["head"].to_list() == [1, pd.NA]
    assert str(found["rank"].dtype) == "Int64"


def test_claims_have_empty_texts_where_there_are_none(tmp_path):
    path = tmp_path / "claims.csv"
    table = pd.DataFrame({"id": ["a"], "reason": [None], "model": ["m"], "value": [np.nan]})
    write_table(table, path, made(formats.CLAIMS))
    found = readers.open_claims(path)
    assert found.loc[0, "reason"] == ""
    assert np.isnan(found.loc[0, "value"])


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_with_their_provenance(tmp_path, name):
    path = tmp_path / "x.nc"
    write_dataset(xr.Dataset({"a": ("x", [1.0, np.nan])}), path, made(ARRAYS[name]))
    found = getattr(lengthlens, name)(path)
    np.testing.assert_array_equal(found["a"], [1.0, np.nan])
    assert found.attrs["provenance"]["schema"] == ARRAYS[name]


@pytest.mark.parametrize("name", ARRAYS)
def test_cut_off_arrays_are_refused(tmp_path, name):
    path = tmp_path / "x.nc"
    write_dataset(xr.Dataset({"a": ("x", np.arange(5000.0))}), path, made(ARRAYS[name]))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(LengthlensError, match="x.nc.*delete it and run again"):
        getattr(lengthlens, name)(path)


def test_arrays_of_another_format_are_refused(tmp_path):
    path = tmp_path / "x.nc"
    write_dataset(xr.Dataset({"a": ("x", [1.0])}), path, made(formats.CWA))
    with pytest.raises(LengthlensError, match=f"{formats.CWA}.*{formats.ATTRIBUTION}"):
        readers.open_attribution(path)


@pytest.mark.parametrize("broken", [None, "{"])
def test_arrays_need_their_provenance(tmp_path, broken):
    path = tmp_path / "x.nc"
    dataset = xr.Dataset({"a": ("x", [1.0])}, attrs={"schema": formats.CWA})
    if broken is not None:
        dataset.attrs["provenance"] = broken
    dataset.to_netcdf(path, engine="h5netcdf")
    append_digest(path)
    with pytest.raises(LengthlensError, match="does not say what made it"):
        readers.open_cwa(path)


def test_every_reader_of_one_file_is_at_the_front():
    """`open_{kind}`: but for those that open many files at once for the workflow itself."""
    own = {name for name in vars(readers) if name.startswith("open_")}
    many = {"open_pairs", "open_answers", "open_source", "open_sources"}
    assert own - many == {name for name in lengthlens.__all__ if name.startswith("open_")}


@pytest.mark.parametrize("name", [name for name in lengthlens.__all__ if name.startswith("open_")])
def test_a_missing_file_is_named(tmp_path, name):
    path = tmp_path / "none.nc"
    path.with_suffix(".provenance.json").write_text(json.dumps(made("x/1")))
    with pytest.raises(LengthlensError, match="none"):
        getattr(lengthlens, name)(path)


def test_activations_that_are_no_hdf5_are_refused(tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(b"not HDF5")
    with pytest.raises(LengthlensError, match="cannot be opened"):
        readers.open_activations(path)


def test_answers_of_all_models_stand_under_one_another(tmp_path, answers):
    second = tmp_path / "b.it.jsonl"
    write_rows([ANSWER | {"language": "it"}], second, made(formats.GENERATIONS))
    table = readers.open_answers([answers, second], [("a", "en"), ["b", "it"]])
    assert table[["model", "language"]].to_numpy().tolist() == [["a", "en"], ["b", "it"]]
    assert set(table.attrs["provenance"]) == {"a.en", "b.it"}


def test_models_are_paired_by_name():
    """In tests/configuration/test_pairs.py is more; never by their order."""
    variants = {"b1": "base", "i1": "instruct", "i2": "instruct"}
    named = [{"untuned": "b1", "tuned": "i2"}]
    pair, alone = {"untuned": "b1", "tuned": "i2"}, {"tuned": "i1"}
    assert model_pairs(variants, named) == [pair, alone]
    assert model_pairs({"i": "instruct"}, []) == [{"tuned": "i"}]


def test_a_table_without_columns_is_not_written(tmp_path):
    """No reader could tell it from a broken file, and the run would never get past it."""
    made = {"schema": formats.TABLE}
    with pytest.raises(LengthlensError, match="a.csv would have no columns"):
        write_table(pd.DataFrame([]), tmp_path / "a.csv", made)
    assert not (tmp_path / "a.csv").exists()
    write_table(pd.DataFrame(columns=["n", "value"]), tmp_path / "a.csv", made)
    found = readers.open_table(tmp_path / "a.csv")
    assert found.empty and found.columns.tolist() == ["n", "value"]
