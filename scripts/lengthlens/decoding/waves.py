"""Working through the rows of a batch with less memory than was planned.

Rows are computed together. Where memory runs out, those that are done stay done, and the others are
tried again in two halves, down to a single row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lengthlens.errors import LengthlensError
from lengthlens.models.memory import is_out_of_memory, release_memory


class OutOfMemory(LengthlensError):
    """Not even one row fits."""


def halves(rows: Sequence) -> list[Sequence]:
    """The first and the second half of at least two rows; the first is never smaller."""
    middle = (len(rows) + 1) // 2
    return [rows[:middle], rows[middle:]]


def in_waves(
    rows: Sequence[int], run: Callable[[list[int]], None], left: Callable[[list[int]], list[int]]
) -> list[int]:
    """Run rows together, or in halves of what is left where memory runs out.

    Args:
        rows: indices of the rows.
        run: computes the given rows.
        left: of the given rows, those that are not done.

    Returns:
        How many rows were computed together, wave by wave; waves that failed count, too, by the
        rows that they finished.

    Raises:
        OutOfMemory: a single row does not fit; its index is named.
    """
    waiting, layout = [list(rows)], []
    while waiting:
        wave = waiting.pop(0)
        try:
            run(wave)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            reason = str(error).partition("\n")[0]
        else:
            layout.append(len(wave))
            continue
        # NOTE outside of the handler: its traceback holds on to everything the wave had allocated.
        rest = left(wave)
        release_memory()
        if len(rest) < len(wave):
            layout.append(len(wave) - len(rest))
        if len(wave) == 1:
            raise OutOfMemory(f"row {wave[0]} does not fit into memory even alone ({reason})")
        waiting[:0] = [half for half in halves(rest) if half]
    return layout
