"""From recorded shards to an attribution file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import tiny_model
from toys import NO_STOP, as_batch, ragged_prompts

from lengthlens.attribution import dla as attribution
from lengthlens.attribution.dla import attribute_steps
from lengthlens.attribution.per_sample import attribute_batches, attribution_file
from lengthlens.attribution.recorded import joined_scores, recorded_batches, recorded_dtype
from lengthlens.decoding.decode import Decoder
from lengthlens.errors import LengthlensError
from lengthlens.files.formats import ATTRIBUTION
from lengthlens.files.netcdf import write_dataset
from lengthlens.generation import records
from lengthlens.generation.activations import ActivationWriter
from lengthlens.generation.records import Batch, Samples
from lengthlens.models.anatomy import dissect
from lengthlens.models.readout import readout_of

MANIFEST = {"model": "tiny", "sha256": "0" * 64}
LIMITS = [3, 5, 2, 4]


def provenance(**changes) -> dict:
    return {"config": {"dtype": "float32"}, "model": MANIFEST} | changes


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def batches(model) -> list[Batch]:
    """Two shards of four answers each, `0-0` to `1-3`, with signs of both kinds."""
    made = []
    for shard in range(2):
        prompts = ragged_prompts([4, 6, 3, 5], seed=40 + shard)
        decoded = Decoder(model, dissect(model), NO_STOP).decode(prompts, LIMITS, capture=True)
        signs = [{"sign": np.where(np.arange(n) < 2, 1, -1).astype(np.int8)} for n in LIMITS]
        batch = as_batch(decoded, signs)
        columns = vars(batch.samples) | {"sample_id": [f"{shard}-{i}" for i in range(4)]}
        made.append(Batch(Samples(**columns), batch.steps, batch.residuals))
    return made


def answers(names: list[str]) -> list[dict]:
    """Rows of a generations file, as far as an attribution file holds them."""
    labels = {"topic": "sea", "template": "a", "words": 4, "error": 0}
    flags = {"stopped": False, "truncated": True}
    return [
        {"sample_id": name, "split": "select" if int(name[-1]) % 2 else "evaluate"} | labels | flags
        for name in names
    ]


def shards(folder: Path, batches: list[Batch], **changes) -> list[Path]:
    paths = []
    for i, batch in enumerate(batches):
        paths.append(folder / f"{i}.h5")
        with ActivationWriter(paths[-1], provenance(**(changes if i else {}))) as writer:
            writer.write(batch)
    return paths


def test_files_hold_the_answers_asked_for_in_their_order(model, batches, tmp_path: Path) -> None:
    """Sums of the answers of two shards, reordered and without one; completeness <= 5e-6."""
    names = ["1-1", "0-3", "0-0", "1-2", "0-1", "1-0", "1-3"]
    rows = answers(names)
    selected = {row["sample_id"] for row in rows if row["split"] == "select"}
    stream = recorded_batches(shards(tmp_path, batches), set(names))
    scores, sums, _ = attribute_batches(readout_of(model), stream, selected)
    dataset = attribution_file(scores, sums, rows)
    assert dataset["sample_id"].to_numpy().tolist() == names
    assert dataset["split"].to_numpy().tolist() == [row["split"] for row in rows]
    assert float(dataset["completeness_error"].max()) <= 5e-6
    for place, name in enumerate(names):
        batch, sample = batches[int(name[0])], int(name[2])
        mine = batch.steps.sample == sample
        dla = attribute_steps(readout_of(model), batch.steps, batch.residuals).mlp[:, mine]
        expected = (dla * batch.steps.sign[mine][None, :, None]).sum(1)
        found = dataset["cwa_mlp"].isel(sample=place).to_numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    # select answers: 0-1, 0-3, 1-1, 1-3, with 5 and 4 steps each
    assert dataset["count"].to_numpy().tolist() == [4, 2 * (4 + 3)]
    assert all(dataset[name].attrs["long_name"] for name in ("cwa_head", "end_contrast_mlp"))


def test_scores_of_shards_attributed_while_generating_are_the_same(
    model, batches, tmp_path
) -> None:
    selected = {"0-1", "0-3", "1-1", "1-3"}
    whole = attribute_batches(readout_of(model), batches, selected)
    paths = []
    for i, batch in enumerate(batches):
        scores, sums, _ = attribute_batches(readout_of(model), [batch], selected)
        paths.append(tmp_path / f"{i}.nc")
        write_dataset(scores.merge(sums), paths[-1], {"schema": ATTRIBUTION})
    joined = joined_scores(paths)
    for ours, expected in zip(joined, whole[:2], strict=True):
        assert set(ours.data_vars) == set(expected.data_vars)
        for name, values in expected.data_vars.items():
            np.testing.assert_allclose(
                ours[name].transpose(*values.dims), values, rtol=1e-12, err_msg=name
            )


def test_answers_without_activations_are_named(model, batches) -> None:
    scores, sums, _ = attribute_batches(readout_of(model), batches[:1], set())
    with pytest.raises(LengthlensError, match="2 answers have no recorded activations, 1-0 among"):
        attribution_file(scores, sums, answers(["0-0", "1-0", "1-1"]))


def test_every_shard_must_be_of_the_same_weights_and_precision(batches, tmp_path: Path) -> None:
    paths = shards(tmp_path, batches)
    assert recorded_dtype(paths, MANIFEST) == "float32"
    with pytest.raises(LengthlensError, match=r"0.h5 was recorded from other weights \(0000"):
        recorded_dtype(paths, MANIFEST | {"sha256": "1" * 64})
    paths = shards(tmp_path, batches, model=MANIFEST | {"sha256": "2" * 64})
    with pytest.raises(LengthlensError, match=r"1.h5 was recorded from other weights"):
        recorded_dtype(paths, MANIFEST)
    paths = shards(tmp_path, batches, config={"dtype": "bfloat16"})
    with pytest.raises(LengthlensError, match=r"1.h5 was recorded in bfloat16, but .*in float32"):
        recorded_dtype(paths, MANIFEST)


def test_shards_without_a_wanted_answer_are_passed_over(batches, tmp_path: Path) -> None:
    paths = shards(tmp_path, batches)
    found = list(recorded_batches(paths, {"1-2"}))
    assert [batch.samples.sample_id for batch in found] == [["1-0", "1-1", "1-2", "1-3"]]
    assert torch.equal(found[0].residuals.embed, batches[1].residuals.embed)


def test_large_batches_are_worked_on_in_blocks_of_whole_answers(
    model, batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of 3, 5, 2 and 4 steps, seven steps at a time or one longer answer: the same sums."""
    selected = {"0-1", "0-3", "1-1", "1-3"}
    paths = shards(tmp_path, batches)
    every = {sample for batch in batches for sample in batch.samples.sample_id}
    whole = attribute_batches(readout_of(model), batches, selected)
    seen = []

    def watched(readout, steps, residuals):
        seen.append(len(steps))
        return attribute_steps(readout, steps, residuals)

    monkeypatch.setattr(attribution, "attribute_steps", watched)
    for most, lengths in ((7, [3, 7, 4] * 2), (4, [3, 5, 2, 4] * 2)):
        elements = most * batches[0].residuals.step_elements
        monkeypatch.setattr(records, "BLOCK_ELEMENTS", elements)
        for stream in (batches, recorded_batches(paths, every)):
            seen.clear()
            scores, sums, pushes = attribute_batches(readout_of(model), stream, selected)
            assert seen == lengths
            assert scores["sample_id"].equals(whole[0]["sample_id"])
            for ours, expected in ((scores, whole[0]), (sums, whole[1])):
                for name, values in expected.data_vars.items():
                    np.testing.assert_allclose(
                        ours[name], values, rtol=1e-5, atol=1e-6, err_msg=name
                    )
            assert [row["sample_id"] for row in pushes] == [row["sample_id"] for row in whole[2]]
            assert [row["token"] for row in pushes] == [row["token"] for row in whole[2]]
