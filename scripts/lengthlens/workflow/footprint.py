"""What a job needs: memory, time and disk, from the model's size and the configuration.

These are requests to a scheduler, not measurements: upper bounds that a cluster can plan with. If
a bound is too low, a job that is tried again asks for as many times more (`attempt`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lengthlens.weights.shape import BLOCK_ELEMENTS, ITEMSIZE, Shape, rows_that_fit

# Python, torch and the scientific packages; the driver's part of the process's memory with CUDA.
PROCESS_MB = {"cpu": 1500, "cuda": 4000}
# Deliberately slow machines: a network disk, a small GPU, one CPU core.
DISK_BYTES_A_SECOND = 2e8
GPU_BYTES_A_SECOND = 3e11
GPU_STEP_SECONDS = 0.05
CORE_OPERATIONS_A_SECOND = 4e9  # decoding, which waits for memory
FOLDING_OPERATIONS_A_SECOND = 2e10  # products of large matrices
PROMPT_TOKENS = 32  # of a longish prompt
SHORTEST_MINUTES = 10
# Attribution's memory for each number of a block; measured with Llama 3.1 8B: 6.
BLOCK_BYTES = 8


@dataclass(frozen=True)
class Need:
    """What one job asks for: megabytes of memory and disk, and minutes."""

    mem_mb: int
    disk_mb: int
    runtime: int

    def times(self, attempt: int) -> Need:
        """The same, asked for again after it did not suffice."""
        return Need(self.mem_mb * attempt, self.disk_mb, self.runtime * attempt)


def decoding_need(
    manifest: Mapping,
    generation: Mapping,
    device: str,
    answers: int,
    recorded: bool,
    captured: bool = False,
) -> Need:
    """For a job that generates.

    Args:
        manifest: of the model's files.
        generation: that section of the configuration.
        device: `cpu` or `cuda`.
        answers: how many are generated, conditions of an ablation included.
        recorded: whether their activations are written.
        captured: whether they are held in memory, to be written or attributed.
    """
    shape = _shape(manifest)
    itemsize = _itemsize(shape, generation, device)
    weights = _weights(manifest, shape, itemsize)
    tokens = answers * generation["max_new_tokens"]
    host = weights / 1e6 + PROCESS_MB[device]
    if device == "cpu":
        host += generation["memory_gb"] * 1000
    dump = tokens * shape.step_bytes(itemsize) if recorded and shape else 0
    if device == "cuda":
        rows = _rows(shape, generation, itemsize, captured or recorded)
        steps = math.ceil(answers / rows) * generation["max_new_tokens"]
        seconds = steps * (weights / GPU_BYTES_A_SECOND + GPU_STEP_SECONDS)
    else:
        rate = CORE_OPERATIONS_A_SECOND * generation["threads"]
        seconds = 2 * tokens * (weights / itemsize) / rate
    seconds += (manifest["bytes"] + dump) / DISK_BYTES_A_SECOND
    return Need(math.ceil(host), 100 + math.ceil(dump / 1e6), _minutes(seconds))


def _rows(shape: Shape | None, generation: Mapping, itemsize: int, captured: bool) -> int:
    """Answers decoded together, which share one reading of the weights."""
    if generation["batch_size"] != "auto":
        return int(generation["batch_size"])
    if shape is None:
        return 1
    tokens = generation["max_new_tokens"]
    row = shape.row_bytes(PROMPT_TOKENS + tokens, tokens, itemsize, captured)
    return max(1, rows_that_fit(row, generation["memory_gb"]))


def attribution_need(manifest: Mapping, generation: Mapping, device: str, answers: int) -> Need:
    """For a job that attributes recorded answers: it reads the dump and a few weights, on a CPU."""
    shape = _shape(manifest)
    if shape is None:
        return Need(PROCESS_MB["cpu"] + math.ceil(2 * manifest["bytes"] / 1e6), 100, 60)
    itemsize = _itemsize(shape, generation, device)
    steps = answers * generation["max_new_tokens"]
    block = BLOCK_BYTES * min(BLOCK_ELEMENTS, steps * shape.step_bytes(1))
    memory = PROCESS_MB["cpu"] + (shape.readout_bytes(itemsize) + block) / 1e6
    # Three directions a step, where no two are the same, through every output projection.
    folding = 3 * 2 * steps * shape.layers * shape.d_model * shape.heads * shape.d_head
    seconds = folding / (FOLDING_OPERATIONS_A_SECOND * generation["threads"])
    seconds += steps * shape.step_bytes(itemsize) / DISK_BYTES_A_SECOND
    return Need(math.ceil(memory), 100, _minutes(seconds))


def joining_need(manifest: Mapping, answers: int) -> Need:
    """For a job that joins the scores of answers that were attributed while they were generated."""
    shape = _shape(manifest)
    components = 1000 if shape is None else shape.layers * (shape.heads + 1)
    # Three targets, four sums each; the end contrast and the norm.
    scores = answers * components * 14 * 8
    return Need(PROCESS_MB["cpu"] + math.ceil(3 * scores / 1e6), 100, SHORTEST_MINUTES)


def _shape(manifest: Mapping) -> Shape | None:
    found = manifest.get("shape")
    return None if found is None else Shape(**found)


def _itemsize(shape: Shape | None, generation: Mapping, device: str) -> int:
    """Bytes of a number in the precision that the model runs in."""
    if generation["dtype"] != "auto":
        return ITEMSIZE[generation["dtype"]]
    if device == "cpu" or shape is None:
        return 4
    return ITEMSIZE.get(shape.dtype, 4)


def _weights(manifest: Mapping, shape: Shape | None, itemsize: int) -> float:
    """Bytes of the weights in that precision."""
    if "quantization" in manifest:
        return manifest["quantization"]["numbers"] * itemsize
    stored = 4 if shape is None else ITEMSIZE.get(shape.dtype, 4)
    return manifest["bytes"] * itemsize / stored


def _minutes(seconds: float) -> int:
    return max(SHORTEST_MINUTES, math.ceil(seconds / 60))
