"""Running out of memory: batches are halved, what is finished is kept, a single row is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from architectures import tiny_model
from toys import NO_STOP, memory_for, ragged_prompts

from lengthlens.decoding.choose import Sampler
from lengthlens.decoding.decode import Decoder
from lengthlens.decoding.intervention import Intervention
from lengthlens.decoding.waves import OutOfMemory, halves, in_waves
from lengthlens.models.anatomy import dissect
from lengthlens.models.memory import is_out_of_memory

TEXTS = ragged_prompts([3, 9, 5, 12, 7, 4, 6], seed=5)
LIMITS = [2, 9, 9, 3, 9, 8, 9]


def run(model, **options):
    return Decoder(model, dissect(model), NO_STOP).decode(TEXTS, LIMITS, capture=True, **options)


def assert_same(ours, theirs) -> None:
    """The same tokens; all that was recorded within 5e-6, and NaN after a row's end."""
    assert ours.tokens == theirs.tokens
    assert ours.stopped == theirs.stopped
    for name, mine in vars(ours.logits).items():
        reference = getattr(theirs.logits, name)
        assert torch.equal(mine.isnan(), reference.isnan()), name
        torch.testing.assert_close(mine, reference, atol=5e-6, rtol=5e-6, equal_nan=True)
    for row, tokens in enumerate(ours.tokens):
        for name in ("embed", "head", "mlp", "scale"):
            mine, reference = (
                getattr(d.residuals.row(row, len(tokens)), name) for d in (ours, theirs)
            )
            torch.testing.assert_close(mine, reference, atol=5e-6, rtol=5e-6)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 6])
def test_batches_are_halved_and_nothing_changes(rows: int) -> None:
    model = tiny_model("llama")
    whole = run(model)
    with memory_for(model, rows) as sizes:
        halved = run(model)
    assert max(sizes) <= rows
    assert sum(halved.layout) == len(TEXTS) == whole.layout[0] and len(halved.layout) > 1
    assert_same(halved, whole)


def test_finished_rows_are_kept_when_memory_runs_out_late() -> None:
    """Rows 0 (two tokens) and 3 (three tokens) end before the fifth step, and are not repeated."""
    model = tiny_model("llama")
    whole = run(model)
    fed: list[tuple[int, ...]] = []

    def counting(step, rows, logits):
        fed.append(tuple(rows.tolist()))
        return logits.argmax(-1)

    with memory_for(model, 3, first_step=3):
        halved = run(model, choose=counting)
    # 2 rows were done when 5 were left; those in halves of 3 and 2.
    assert halved.layout == [2, 3, 2]
    assert sum(0 in rows for rows in fed) == 2 and sum(3 in rows for rows in fed) <= 4
    assert fed[4] == (1, 2, 4) and (5, 6) in fed
    assert_same(halved, whole)


def test_sampling_and_interventions_follow_their_rows() -> None:
    """A row keeps its random numbers and its removed heads in whatever half it is."""
    model = tiny_model("llama")
    names = [f"s{i}" for i in range(len(TEXTS))]
    sampler = Sampler.seeded(names, max(LIMITS), 3, 1.0, 1.0)
    heads = torch.rand(len(TEXTS), 3, 4, generator=torch.Generator().manual_seed(0)) < 0.3
    removed = Intervention(heads, torch.zeros(len(TEXTS), 3, dtype=torch.bool), "all")
    for positions in ("all", "generated"):
        options = {"choose": sampler, "intervention": replace(removed, positions=positions)}
        whole = run(model, **options)
        with memory_for(model, 2):
            assert_same(run(model, **options), whole)


def test_a_row_that_does_not_fit_alone_is_named() -> None:
    model = tiny_model("llama")
    with (
        memory_for(model, 0),
        pytest.raises(OutOfMemory, match=r"row 0 .* even alone \(CUDA out of memory.*GiB\.\)$"),
    ):
        run(model)


def test_other_errors_are_not_swallowed() -> None:
    def broken(rows):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        in_waves(range(4), broken, lambda rows: rows)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("any"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9"), True),
        (RuntimeError("index out of range"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_running_out_of_memory(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_halves_hold_everything() -> None:
    for n in range(2, 9):
        first, second = halves(range(n))
        assert [*first, *second] == list(range(n)) and 0 <= len(first) - len(second) <= 1
