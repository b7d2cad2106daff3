"""Joining the answers of many shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lengthlens.errors import LengthlensError
from lengthlens.formats import GENERATIONS
from lengthlens.jsonl import read_rows


def answers_of_shards(
    paths: Sequence[str | Path], counts: Sequence[int]
) -> tuple[list[dict], list[int]]:
    """The answers to the first `counts[i]` prompts of every shard, in the shards' order.

    Shards are always generated whole; a study may use only the beginning of the last one.

    Returns:
        Rows of the generations file, and how many rows each shard gave.

    Raises:
        LengthlensError: a shard holds too few prompts.
    """
    rows, taken = [], []
    for path, count in zip(paths, counts, strict=True):
        shard = read_rows(path, GENERATIONS)
        wanted = set(list(dict.fromkeys(row["prompt_id"] for row in shard))[:count])
        if len(wanted) < count:
            raise LengthlensError(
                f"{path} holds answers to {len(wanted)} prompts, but {count} are needed; delete it "
                "and run again"
            )
        used = [row for row in shard if row["prompt_id"] in wanted]
        rows += used
        taken.append(len(used))
    return rows, taken
