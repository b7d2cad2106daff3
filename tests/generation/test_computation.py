"""What computes a shard's numbers is known before the model is loaded, and is never mixed."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
import xarray as xr

from lengthlens.attribution.recorded import SUMS, joined_scores
from lengthlens.errors import LengthlensError
from lengthlens.files.formats import ATTRIBUTION, GENERATIONS
from lengthlens.files.identity import check_computation
from lengthlens.files.jsonl import write_rows
from lengthlens.files.netcdf import write_dataset
from lengthlens.generation.collect import answers_of_shards
from lengthlens.generation.computation import computation
from lengthlens.generation.shards import ShardJob

AUTO = {"device": "auto", "dtype": "auto"}
CPU = {"device": "cpu", "dtype": "float32", "torch": "2.9.0"}
GPU = {"device": "cuda", "dtype": "bfloat16", "torch": "2.9.0"}


def test_auto_means_what_this_machine_has(monkeypatch):
    """The same configuration computes in float32 on a CPU, and as the checkpoint says on a GPU."""
    manifest = {"shape": {"dtype": "bfloat16"}}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = computation(AUTO, manifest)
    assert (found["device"], found["dtype"]) == ("cpu", "float32")
    assert found["numpy"] == numpy.__version__
    assert found["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert {"transformers", "tokenizers"} < set(found)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    there = computation(AUTO, manifest)
    assert (there["device"], there["dtype"]) == ("cuda", "bfloat16")
    assert computation(AUTO, {"shape": None})["dtype"] == "the checkpoint's own"
    assert computation(AUTO | {"dtype": "float16"}, manifest)["dtype"] == "float16"


def test_a_shard_that_is_kept_from_another_device_is_made_anew(tmp_path, monkeypatch):
    """`device: auto`, first on a CPU, then on a machine with a GPU: the CPU's is not put back."""
    manifest = tmp_path / "m.json"
    monkeypatch.setattr(
        "lengthlens.generation.shards.read_manifest",
        lambda path: {"sha256": "0" * 64, "shape": {"dtype": "bfloat16"}},
    )
    config = {"generation": AUTO, "prompts": {"seed": 0}, "counting": "whitespace"}
    language = Path(__file__).parents[2] / "resources/languages/en.yaml"
    shard = {"name": "m.en.n3.0", "n": 3, "start": 0, "stop": 2}

    def made() -> list[str]:
        """The shards that a job makes; Snakemake has removed its outputs before."""
        (tmp_path / "m.en.n3.0.jsonl").unlink(missing_ok=True)
        job = ShardJob("m", {"variant": "base"}, config, language, manifest, [shard], [language])
        names = []
        for part, (file,) in job.unfinished([[tmp_path / "m.en.n3.0.jsonl"]]):
            file.write_text("answers")
            names.append(part["name"])
        return names

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (made(), made()) == (["m.en.n3.0"], [])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (made(), made()) == (["m.en.n3.0"], [])
    monkeypatch.setattr(
        "lengthlens.generation.computation.versions", lambda: {"torch": "0", "numpy": "0"}
    )
    assert (made(), made()) == (["m.en.n3.0"], [])


def test_shards_that_were_computed_in_another_way_are_named_on_both_sides():
    assert check_computation({"a": {"computation": CPU}, "b": {"computation": CPU}}) == CPU
    assert check_computation({"a": {}, "b": {}}) == {}
    words = (
        "b was made with device cuda instead of cpu, dtype bfloat16 instead of float32 as a: .*"
        "delete those shards that you do not want to keep"
    )
    with pytest.raises(LengthlensError, match=words):
        check_computation({"a": {"computation": CPU}, "b": {"computation": GPU}})
    with pytest.raises(LengthlensError, match="b was made with torch 2.10 instead of 2.9.0 as a"):
        other = {"computation": CPU | {"torch": "2.10"}}
        check_computation({"a": {"computation": CPU}, "b": other})
    with pytest.raises(LengthlensError, match="b was made with device unknown instead of cpu"):
        check_computation({"a": {"computation": CPU}, "b": {}})


@pytest.mark.parametrize("second", [GPU, CPU | {"torch": "2.10"}])
def test_answers_of_two_devices_or_versions_are_not_collected(tmp_path, second):
    paths = [tmp_path / f"{i}.jsonl" for i in range(2)]
    for path, computed in zip(paths, (CPU, second), strict=True):
        write_rows([{"prompt_id": "p"}], path, {"schema": GENERATIONS, "computation": computed})
    assert answers_of_shards(paths[:1], [1])[2] == CPU
    with pytest.raises(LengthlensError, match="1.jsonl was made with .* instead of .*0.jsonl"):
        answers_of_shards(paths, [1, 1])


def test_scores_of_two_precisions_are_not_joined(tmp_path):
    """Attributed while generating, first in float32 on a CPU and then in bfloat16 on a GPU."""
    paths = [tmp_path / f"{i}.nc" for i in range(2)]
    numbers = {name: ((), 1.0) for name in SUMS} | {"cwa": ("sample", [1.0])}
    for path, computed in zip(paths, (CPU, GPU), strict=True):
        made = {"schema": ATTRIBUTION, "computation": computed}
        write_dataset(xr.Dataset(numbers, {"sample_id": ("sample", [path.stem])}), path, made)
    assert joined_scores(paths[:1])[0].sizes == {"sample": 1}
    with pytest.raises(LengthlensError, match="1.nc was made with device cuda instead of cpu, dty"):
        joined_scores(paths)
