"""Activation files: everything a decode recorded, in HDF5. The only module that knows HDF5.

Layout (docs/files.md): `samples/`, `steps/` and `activations/`, one entry a generated step. A shard
is written batch by batch in constant memory; `link_shards` presents many shards as one file whose
large arrays are virtual (no copy is made). bfloat16, which HDF5 lacks, is stored bit for bit as
uint16 and marked by the attribute `bfloat16`.

What protects a file from silent changes, without reading the large arrays twice: these carry
Fletcher-32 checksums, which HDF5 compares when it reads a chunk; everything else is hashed
(`integrity`), and compared before HDF5 sees the file; and a linked file keeps the hash of every
shard, so that one that is missing or was replaced is noticed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
import torch

from lengthlens.decoding.capture import Residuals
from lengthlens.errors import LengthlensError
from lengthlens.files.formats import ACTIVATIONS, HDF5_LAYOUTS
from lengthlens.files.identity import described
from lengthlens.files.integrity import append_digest, check_digest
from lengthlens.files.provenance import check_schema
from lengthlens.files.refusals import refusals, unreadable
from lengthlens.files.whole import check_space, temporary_path, written_whole
from lengthlens.generation.records import Batch, Samples, Steps, block_steps, cut

PRECISIONS = ("native", "float32", "float16")
_BATCH_STEPS = 4096
_CHUNK_BYTES = 2**20
_MARGIN_BYTES = 2**18  # the small tables
_SAMPLE_COLUMNS = {"n": np.int32, "first_step": np.int64, "n_steps": np.int32}
_STEP_COLUMNS = {
    "sample": np.int32,
    "token": np.int32,
    "is_stop": np.bool_,
    "words_before": np.int32,
    "words_after": np.int32,
    "sign": np.int8,
    "boundary": np.bool_,
    "decision": np.bool_,
    "logit": np.float32,
    "mean_logit": np.float32,
    "ender_token": np.int32,
    "ender_logit": np.float32,
    "word_token": np.int32,
    "word_logit": np.float32,
    "scale": np.float32,
}
_TEXT = h5py.string_dtype("utf-8")
_LARGE = ("embed", "head", "mlp")
_BFLOAT16_NAN = 0x7FC0
# What h5py raises, deep inside, for a file that is damaged or that it does not understand.
_UNREADABLE = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError, MemoryError)


class ActivationWriter:
    """Writes batches to a new activations file, which appears under its name only when whole.

    Args:
        path: the file to make.
        provenance: stored as JSON in the file's attributes, with the batches' layout.
        precision: of the activations: `native`, `float32` or `float16`.
    """

    def __init__(self, path: Path, provenance: dict, precision: str = "native") -> None:
        if precision not in PRECISIONS:
            raise LengthlensError(f"precision must be one of {PRECISIONS}, not {precision!r}")
        self.path, self.precision = Path(path), precision
        self._temporary = temporary_path(self.path)
        self._made = {**provenance, "batches": []}
        made = json.dumps(self._made, sort_keys=True)
        with refusals(self.path):
            self._file = _new(self._temporary)
        self._file.attrs.update(schema=ACTIVATIONS, provenance=made)
        self._n_steps = self._n_samples = 0

    def __enter__(self) -> ActivationWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.attrs["provenance"] = json.dumps(self._made, sort_keys=True)
            self._file.close()
            if kind is None:
                append_digest(self._temporary, _chunks(self._temporary))
                os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def write(self, batch: Batch) -> None:
        """Append a batch's samples, steps and residual terms.

        Raises:
            LengthlensError: an activation is too large for the file's precision, or the disk is
                full. (HDF5 itself would crash on a full disk.)
        """
        samples, steps, residuals = batch.samples, batch.steps, batch.residuals
        needed = sum(self._bytes(getattr(residuals, name)) for name in _LARGE)
        check_space(self._temporary, needed + _MARGIN_BYTES)
        self._append("samples/sample_id", np.array(samples.sample_id, dtype=object), _TEXT)
        columns = vars(samples) | {"first_step": samples.first_step + self._n_steps}
        for name, dtype in _SAMPLE_COLUMNS.items():
            self._append(f"samples/{name}", columns[name], dtype)
        columns = steps.columns() | {"sample": steps.sample + self._n_samples}
        for name, dtype in _STEP_COLUMNS.items():
            self._append(f"steps/{name}", columns[name], dtype)
        if residuals.attention_scale is not None:
            scale = residuals.attention_scale.float().cpu().numpy()
            self._append("steps/attention_scale", scale, np.float32)
        for name in _LARGE:
            self._append_tensor(f"activations/{name}", getattr(residuals, name))
        self._made["batches"] += batch.layout
        self._n_steps += len(steps)
        self._n_samples += len(samples)

    def _bytes(self, value: torch.Tensor) -> int:
        """What a tensor takes in the file's precision, a part of a chunk at its end included."""
        native = self.precision == "native"
        itemsize = value.itemsize if native else getattr(torch, self.precision).itemsize
        return value.numel() * itemsize + _CHUNK_BYTES

    def _append_tensor(self, name: str, value: torch.Tensor) -> None:
        if self.precision != "native":
            value = value.to(getattr(torch, self.precision))
            if not bool(torch.isfinite(value).all()):
                raise LengthlensError(
                    f"{name} holds values that {self.precision} cannot represent; set "
                    "activations.precision to native or float32"
                )
        bfloat16 = value.dtype == torch.bfloat16
        array = (value.view(torch.uint16) if bfloat16 else value).cpu().numpy()
        self._append(name, array, array.dtype).attrs["bfloat16"] = bfloat16

    def _append(self, name: str, values: np.ndarray, dtype: object) -> h5py.Dataset:
        if name not in self._file:
            row = max(1, math.prod(values.shape[1:]) * np.dtype(dtype).itemsize)
            chunk = max(1, min(_CHUNK_BYTES // row, 4096))
            self._file.create_dataset(
                name,
                shape=(0, *values.shape[1:]),
                maxshape=(None, *values.shape[1:]),
                chunks=(chunk, *values.shape[1:]),
                dtype=dtype,
                fletcher32=name.startswith("activations/"),
                track_times=False,
            )
        dataset = self._file[name]
        start = len(dataset)
        dataset.resize(start + len(values), axis=0)
        dataset[start:] = values
        return dataset


def _new(path: Path) -> h5py.File:
    return h5py.File(path, "w", libver=HDF5_LAYOUTS, track_order=True)


@dataclass(frozen=True)
class Activations:
    """An open activations file. Use it in a `with` block, or call `close`."""

    file: h5py.File
    samples: Samples
    provenance: dict

    def __enter__(self) -> Activations:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()

    @property
    def n_steps(self) -> int:
        return len(self.file["steps/token"])

    def steps(self, part: slice = slice(None)) -> Steps:
        """The steps' columns; `sample` counts from 0 in the whole file."""
        with _in_words(self.file.filename):
            return Steps(**{name: self.file[f"steps/{name}"][part] for name in _STEP_COLUMNS})

    def residuals(self, part: slice = slice(None)) -> Residuals:
        """The residual stream's terms at the given steps, in the stored precision."""
        with _in_words(self.file.filename):
            scale = self.file.get("steps/attention_scale")
            return Residuals(
                *(self._tensor(name, part) for name in _LARGE),
                torch.from_numpy(self.file["steps/scale"][part]),
                None if scale is None else torch.from_numpy(scale[part]),
            )

    def _tensor(self, name: str, part: slice) -> torch.Tensor:
        dataset = self.file[f"activations/{name}"]
        tensor = torch.from_numpy(dataset[part])
        tensor = tensor.view(torch.bfloat16) if dataset.attrs["bfloat16"] else tensor
        if dataset.is_virtual and bool(tensor.isnan().any()):
            _check_linked(dataset)
        return tensor

    def batches(self, max_steps: int | None = None) -> Iterator[Batch]:
        """Whole samples, at most `max_steps` steps at a time (or one sample, if it is longer).

        By default as many as are worked on at once, and no more than 4096.
        """
        most = max_steps or min(_BATCH_STEPS, block_steps(self._step_elements()))
        return cut(self.samples, most, self.steps, self.residuals)

    def _step_elements(self) -> int:
        shapes = (self.file[f"activations/{name}"].shape for name in _LARGE)
        return sum(math.prod(shape[1:]) for shape in shapes)


def open_activations(path: str | Path) -> Activations:
    """Open an activations file, shard or linked.

    Raises:
        LengthlensError: the file is missing, is not HDF5, is not whole, was changed or has another
            schema; or a shard that it links to is missing or another one.
    """
    path = Path(path)
    with contextlib.ExitStack() as until_checked, _in_words(path):
        try:
            check_digest(path)
            file = until_checked.enter_context(h5py.File(path, "r"))
        except FileNotFoundError:
            raise LengthlensError(f"{path} does not exist; run the stage that makes it") from None
        except LengthlensError as error:
            reason = str(error).removeprefix(f"{path} ")
            raise LengthlensError(
                f"{path} cannot be opened as an activations file, for it {reason}"
            ) from None
        opened = _checked(file, path)
        until_checked.pop_all()
        return opened


def _checked(file: h5py.File, path: Path) -> Activations:
    """An open file as `Activations`, if it is what it says."""
    check_schema(path, file.attrs.get("schema"), ACTIVATIONS)
    made = json.loads(file.attrs["provenance"])
    _check_sources(file, path, made)
    samples = Samples(
        [text.decode() for text in file["samples/sample_id"][:]],
        *(file[f"samples/{name}"][:] for name in _SAMPLE_COLUMNS),
    )
    return Activations(file, samples, made)


@contextlib.contextmanager
def _in_words(path: str | Path) -> Iterator[None]:
    """Say in words which file HDF5 cannot read, and whether it is damaged."""
    try:
        yield
    except LengthlensError:
        raise
    except _UNREADABLE as error:
        raise unreadable(path, error) from error


def _chunks(path: Path) -> list[tuple[int, int]]:
    """Where in a file the chunks of the large arrays lie: first byte, number of bytes."""
    found = []
    with h5py.File(path, "r") as file:
        for name in _LARGE:
            large = file.get(f"activations/{name}")
            for place in range(large.id.get_num_chunks() if large is not None else 0):
                chunk = large.id.get_chunk_info(place)
                found.append((chunk.byte_offset, chunk.size))
    return found


def _check_sources(file: h5py.File, path: Path, made: Mapping) -> None:
    """Refuse a linked file whose shards are gone or others: HDF5 would read zeros, or theirs."""
    for name, recorded in json.loads(file.attrs.get("shards", "{}")).items():
        source = path.parent / name
        if not source.is_file():
            raise LengthlensError(
                f"{path} links to {name}, which is not there; keep a run's folder "
                "together, or run again"
            )
        found = check_digest(source)
        if found != recorded:
            with h5py.File(source, "r") as shard:
                other = json.loads(shard.attrs["provenance"])
            raise LengthlensError(
                f"{path} ({described(made)}) links to {name} as it was when its hash was "
                f"{recorded[:12]}, but that file is another one ({described(other)}; hash "
                f"{found[:12]}); delete the older of both and run again"
            )


def _check_linked(dataset: h5py.Dataset) -> None:
    """Say why HDF5 gave no numbers for a part of a linked dataset: no activation is NaN.

    Raises:
        LengthlensError: naming the first shard that HDF5 cannot open, with the reason.
    """
    folder = os.path.dirname(dataset.file.filename)
    for source in dict.fromkeys(part.file_name for part in dataset.virtual_sources()):
        shard = os.path.join(folder, source)
        try:
            h5py.File(shard, "r").close()
        except OSError as error:
            raise unreadable(shard, error) from error
    raise LengthlensError(
        f"{dataset.file.filename} holds NaN in {dataset.name}: HDF5 could not read a shard behind "
        "it; read it again, with fewer files open"
    )


def link_shards(
    path: Path, shards: Sequence[Path], n_samples: Sequence[int], provenance: dict
) -> None:
    """Present the first `n_samples[i]` samples of every shard as one activations file.

    Small tables are copied; `activations/` are virtual datasets over the shards, by relative path.
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(open_activations(shard)) for shard in shards]
        ends = [_end_step(shard, count) for shard, count in zip(opened, n_samples, strict=True)]
        temporary = stack.enter_context(written_whole(path))
        with refusals(path), _new(temporary) as file:
            file.attrs["schema"] = ACTIVATIONS
            file.attrs["provenance"] = json.dumps(provenance, sort_keys=True)
            hashes = {os.path.relpath(shard, path.parent): check_digest(shard) for shard in shards}
            file.attrs["shards"] = json.dumps(hashes)
            _copy_tables(file, opened, n_samples, ends)
            for name in _LARGE:
                _link(file, f"activations/{name}", path, shards, opened, ends=ends)
        append_digest(temporary)


def _end_step(shard: Activations, n_samples: int) -> int:
    """Steps that the first `n_samples` samples of a shard take."""
    if n_samples > len(shard.samples):
        raise LengthlensError(
            f"{shard.file.filename} holds {len(shard.samples)} samples, but {n_samples} are "
            "needed; delete it and run again"
        )
    return int(shard.samples.n_steps[:n_samples].sum())


def _copy_tables(
    file: h5py.File, shards: Sequence[Activations], n_samples: Sequence[int], ends: Sequence[int]
) -> None:
    before = {"samples/first_step": ends, "steps/sample": n_samples}  # what begins anew in a shard
    for group, counts in (("samples", n_samples), ("steps", ends)):
        for name in shards[0].file[group]:
            full = f"{group}/{name}"
            columns = [s.file[full][:count] for s, count in zip(shards, counts, strict=True)]
            if full in before:
                shifts = np.cumsum([0, *before[full][:-1]])
                columns = [column + by for column, by in zip(columns, shifts, strict=True)]
            dtype = shards[0].file[full].dtype
            file.create_dataset(full, data=np.concatenate(columns), dtype=dtype, track_times=False)


def _link(
    file: h5py.File,
    name: str,
    path: Path,
    paths: Sequence[Path],
    shards: Sequence[Activations],
    ends: Sequence[int],
) -> None:
    first = shards[0].file[name]
    for shard in shards:
        own = shard.file[name]
        if (own.dtype, own.shape[1:]) != (first.dtype, first.shape[1:]):
            raise LengthlensError(
                f"{shard.file.filename} holds {name} as {own.dtype} {own.shape[1:]}, but "
                f"{shards[0].file.filename} as {first.dtype} {first.shape[1:]}; delete the "
                "older of them and run again"
            )
    # NOTE h5py's own virtual layout would note the time, and no two files would be the same.
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_obj_track_times(False)
    bfloat16 = bool(first.attrs["bfloat16"])
    # What HDF5 gives, without a word, for a shard that it cannot open.
    creation.set_fill_value(np.array(_BFLOAT16_NAN if bfloat16 else np.nan, dtype=first.dtype))
    space = h5py.h5s.create_simple((sum(ends), *first.shape[1:]))
    origin = (0,) * (first.ndim - 1)
    start = 0
    for shard_path, shard, end in zip(paths, shards, ends, strict=True):
        source = h5py.h5s.create_simple(shard.file[name].shape)
        if end:
            source.select_hyperslab((0, *origin), (end, *first.shape[1:]))
            space.select_hyperslab((start, *origin), (end, *first.shape[1:]))
            relative = os.path.relpath(shard_path, path.parent)
            creation.set_virtual(space, os.fsencode(relative), name.encode(), source)
        start += end
    space.select_all()
    group = file.require_group(os.path.dirname(name))
    kind = h5py.h5t.py_create(first.dtype)
    h5py.h5d.create(group.id, os.path.basename(name).encode(), kind, space, dcpl=creation)
    file[name].attrs["bfloat16"] = bfloat16
