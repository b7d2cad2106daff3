"""Activation files: everything comes back as it was written, or an error says why not."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from architectures import tiny_model
from toys import NO_STOP, as_batch, ragged_prompts

from lengthlens.decoding.capture import Residuals
from lengthlens.decoding.decode import Decoder
from lengthlens.errors import LengthlensError
from lengthlens.files.formats import ACTIVATIONS
from lengthlens.files.integrity import append_digest
from lengthlens.generation.activations import ActivationWriter, link_shards, open_activations
from lengthlens.generation.records import Batch, Samples
from lengthlens.models.anatomy import dissect

MADE = {"schema": ACTIVATIONS, "config": {"seed": 0}}


def batch_of(model, seed: int, lengths: list[int], name: str = "") -> Batch:
    """A captured batch whose answers have the given lengths, with marks of every kind."""
    prompts = ragged_prompts([5, 3, 7, 4, 6][: len(lengths)], seed=seed)
    decoded = Decoder(model, dissect(model), NO_STOP).decode(prompts, lengths, capture=True)
    rng = np.random.default_rng(seed)
    marks = [
        {
            "sign": rng.choice(np.array([-1, 1], dtype=np.int8), n),
            "boundary": rng.random(n) < 0.5,
            "decision": np.arange(n) == n - 1,
            "is_stop": np.arange(n) == n - 1,
            "words_before": np.arange(n, dtype=np.int32),
            "words_after": np.arange(n, dtype=np.int32) + 1,
        }
        for n in lengths
    ]
    batch = as_batch(decoded, marks)
    ids = [f"{name}é{i}#0" for i in range(len(lengths))]
    return dataclasses.replace(batch, samples=dataclasses.replace(batch.samples, sample_id=ids))


def joined(batches: list[Batch]) -> Batch:
    """Several batches as one."""
    columns, residuals = {}, {}
    first, sample = 0, 0
    samples: dict[str, list] = {"sample_id": [], "n": [], "first_step": [], "n_steps": []}
    for batch in batches:
        for name, column in batch.steps.columns().items():
            shifted = column + sample if name == "sample" else column
            columns.setdefault(name, []).append(shifted)
        for name, value in vars(batch.residuals).items():
            residuals.setdefault(name, []).append(value)
        samples["sample_id"] += batch.samples.sample_id
        samples["n"].append(batch.samples.n)
        samples["first_step"].append(batch.samples.first_step + first)
        samples["n_steps"].append(batch.samples.n_steps)
        first, sample = first + len(batch.steps), sample + len(batch.samples)
    return Batch(
        Samples(samples.pop("sample_id"), *(np.concatenate(v) for v in samples.values())),
        type(batches[0].steps)(**{k: np.concatenate(v) for k, v in columns.items()}),
        Residuals(**{k: None if v[0] is None else torch.cat(v) for k, v in residuals.items()}),
    )


def write(path: Path, batches: list[Batch], precision: str = "native") -> Path:
    with ActivationWriter(path, MADE, precision) as writer:
        for batch in batches:
            writer.write(batch)
    return path


def two_shards(folder: Path) -> list[Path]:
    """Files of a random model's batches, of three and of two answers."""
    model = tiny_model("gemma2")
    parts = [batch_of(model, 1, [4, 1, 6], "a"), batch_of(model, 2, [3, 5], "b")]
    return [write(folder / f"shards/{i}.h5", [part]) for i, part in enumerate(parts)]


def assert_same(found: Batch, expected: Batch, dtype: torch.dtype | None = None) -> None:
    """All columns equal, residual terms bit for bit (after rounding to `dtype`)."""
    assert found.samples.sample_id == expected.samples.sample_id
    for name in ("n", "first_step", "n_steps"):
        a, b = getattr(found.samples, name), getattr(expected.samples, name)
        np.testing.assert_array_equal(a, b)
    for name, column in expected.steps.columns().items():
        np.testing.assert_array_equal(found.steps.columns()[name], column, name)
    for name, value in vars(expected.residuals).items():
        got = getattr(found.residuals, name)
        if value is None:
            assert got is None
            continue
        wanted = value.to(dtype) if dtype and name in ("embed", "head", "mlp") else value
        assert got.dtype == wanted.dtype, name
        assert torch.equal(got.view(torch.uint8), wanted.view(torch.uint8)), name


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    """Two batches of a model with norms after attention, whose scales are stored too."""
    model = tiny_model("gemma2")
    return [batch_of(model, 1, [4, 1, 6], "a"), batch_of(model, 2, [3, 5], "b")]


@pytest.mark.parametrize("precision", ["native", "float32", "float16"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_round_trip(dtype: torch.dtype, precision: str, tmp_path: Path) -> None:
    """What any model computed comes back; bfloat16 and float16 bit for bit."""
    model = tiny_model("llama", dtype)
    parts = [batch_of(model, 1, [4, 1, 6], "a"), batch_of(model, 2, [3, 5], "b")]
    path = write(tmp_path / "x.h5", parts, precision)
    stored = dtype if precision == "native" else getattr(torch, precision)
    with open_activations(path) as opened:
        assert opened.provenance == MADE | {"batches": []}
        assert opened.n_steps == 19
        whole = Batch(opened.samples, opened.steps(), opened.residuals())
    assert_same(whole, joined(parts), stored)
    assert whole.residuals.head.dtype == stored
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]


@pytest.mark.parametrize("max_steps", [1, 6, 7, 11, 4096])
def test_batches_cover_every_sample_once(batches, max_steps: int, tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5", batches)
    with open_activations(path) as opened:
        parts = list(opened.batches(max_steps))
    for part in parts:
        assert len(part.steps) <= max_steps or len(part.samples) == 1
        assert part.samples.first_step[0] == 0
        assert set(part.steps.sample) == set(range(len(part.samples)))
    for one, other in zip(parts, parts[1:], strict=False):  # as many as fit
        assert len(one.steps) + other.samples.n_steps[0] > max_steps
    assert_same(joined(parts), joined(batches))


def test_written_twice_is_byte_for_byte_the_same(batches, tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5", batches).read_bytes()
    time.sleep(1.1)  # HDF5 could store times, in seconds
    assert write(tmp_path / "b.h5", batches).read_bytes() == first


@pytest.mark.parametrize("counts", [(3, 2), (3, 1), (1, 2), (3, 0)])
def test_linked_shards_read_as_one_file(batches, counts, tmp_path: Path) -> None:
    """The beginning of every shard, also after the whole folder was moved."""
    run = tmp_path / "run"
    shards = [write(run / "shards" / f"{i}.h5", [batch]) for i, batch in enumerate(batches)]
    link_shards(run / "activations" / "all.h5", shards, counts, MADE)
    run.rename(tmp_path / "moved")
    expected = []
    for batch, count in zip(batches, counts, strict=True):
        if count:
            steps = int(batch.samples.n_steps[:count].sum())
            columns = {k: v[:count] for k, v in vars(batch.samples).items()}
            expected.append(Batch(Samples(**columns), batch.steps[:steps], batch.residuals[:steps]))
    linked = tmp_path / "moved" / "activations" / "all.h5"
    with open_activations(linked) as opened:
        assert opened.file["activations/head"].is_virtual
        whole = Batch(opened.samples, opened.steps(), opened.residuals())
        assert_same(joined(list(opened.batches(5))), joined(expected))
    assert_same(whole, joined(expected))
    assert [p.name for p in linked.parent.iterdir()] == ["all.h5"]


def test_linked_twice_is_byte_for_byte_the_same(batches, tmp_path: Path) -> None:
    shards = [write(tmp_path / f"{i}.h5", [batch]) for i, batch in enumerate(batches)]
    link_shards(tmp_path / "one.h5", shards, [3, 2], MADE)
    time.sleep(1.1)
    link_shards(tmp_path / "two.h5", shards, [3, 2], MADE)
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_bfloat16_survives_linking(tmp_path: Path) -> None:
    model = tiny_model("llama", torch.bfloat16)
    parts = [batch_of(model, 1, [4, 1], "a"), batch_of(model, 2, [3], "b")]
    shards = [write(tmp_path / f"{i}.h5", [part]) for i, part in enumerate(parts)]
    link_shards(tmp_path / "all.h5", shards, [2, 1], MADE)
    with open_activations(tmp_path / "all.h5") as opened:
        whole = Batch(opened.samples, opened.steps(), opened.residuals())
    assert_same(whole, joined(parts))


def test_linked_files_without_their_shards_are_refused(batches, tmp_path: Path) -> None:
    """HDF5 alone would read zeros."""
    shards = [write(tmp_path / f"{i}.h5", [batch]) for i, batch in enumerate(batches)]
    link_shards(tmp_path / "all.h5", shards, [3, 2], MADE)
    shards[1].unlink()
    with pytest.raises(LengthlensError, match=r"all.h5 links to 1.h5, which is not there"):
        open_activations(tmp_path / "all.h5")


def test_shards_that_do_not_fit_are_refused(batches, tmp_path: Path) -> None:
    shards = [
        write(tmp_path / "0.h5", batches[:1]),
        write(tmp_path / "1.h5", batches[1:], "float16"),
    ]
    with pytest.raises(LengthlensError, match=r"1.h5 holds activations/embed as float16"):
        link_shards(tmp_path / "all.h5", shards, [3, 2], MADE)
    with pytest.raises(LengthlensError, match=r"0.h5 holds 3 samples, but 4 are needed"):
        link_shards(tmp_path / "all.h5", shards[:1], [4], MADE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.h5", "1.h5"]


def test_nothing_is_left_when_writing_fails(batches, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with pytest.raises(KeyError, match="on purpose"), ActivationWriter(path, MADE) as writer:
        writer.write(batches[0])
        assert not path.exists()
        raise KeyError("on purpose")
    with pytest.raises(TypeError):
        ActivationWriter(path, {"not": {"json"}})
    assert list(tmp_path.iterdir()) == []
    write(path, batches[:1])
    before = path.read_bytes()
    with pytest.raises(KeyError), ActivationWriter(path, MADE) as writer:
        raise KeyError
    assert path.read_bytes() == before  # the file that was there stays


def test_values_beyond_float16_are_refused(batches, tmp_path: Path) -> None:
    residuals = dataclasses.replace(batches[0].residuals, mlp=batches[0].residuals.mlp * 1e6)
    large = dataclasses.replace(batches[0], residuals=residuals)
    with pytest.raises(LengthlensError, match="activations/mlp holds values that float16 cannot"):
        write(tmp_path / "x.h5", [large], "float16")
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "x.h5", [large], "float32")


def test_unknown_precisions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LengthlensError, match="'int8'"):
        ActivationWriter(tmp_path / "x.h5", MADE, "int8")


def test_foreign_and_broken_files_are_refused(batches, tmp_path: Path) -> None:
    good = write(tmp_path / "good.h5", batches)
    with pytest.raises(LengthlensError, match=r"none.h5 does not exist; run the stage"):
        open_activations(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    with pytest.raises(LengthlensError, match=r"text.h5 cannot be opened.*delete it and run again"):
        open_activations(text)
    cut = tmp_path / "cut.h5"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    with pytest.raises(LengthlensError, match=r"cut.h5 cannot be opened"):
        open_activations(cut)
    other = Path(shutil.copy(good, tmp_path / "other.h5"))
    with h5py.File(other, "a") as file:
        file.attrs["schema"] = "activations/0"
    append_digest(other)
    with pytest.raises(LengthlensError, match=rf"format 'activations/0'.*reads '{ACTIVATIONS}'"):
        open_activations(other)
