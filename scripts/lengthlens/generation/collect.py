"""Joining the answers of many shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lengthlens.errors import LengthlensError
from lengthlens.files.formats import GENERATIONS
from lengthlens.files.identity import check_agreement, check_computation
from lengthlens.files.jsonl import read_rows_made


def answers_of_shards(
    paths: Sequence[str | Path], counts: Sequence[int], run: Mapping[str, Mapping] | None = None
) -> tuple[list[dict], list[int], dict[str, str]]:
    """The answers to the first `counts[i]` prompts of every shard, in the shards' order.

    Shards are always generated whole; a study may use only the beginning of the last one.

    Args:
        paths: the shards.
        counts: how many prompts of each are used.
        run: what they must agree with (`identity.this_run`).

    Returns:
        Rows of the generations file, how many rows each shard gave, and what computed them all
        (`computation.computation`).

    Raises:
        LengthlensError: a shard holds too few prompts, or was made from other weights, with
            another configuration, or on another kind of device, in another precision or with other
            versions than the first.
    """
    rows, taken, origins = [], [], {}
    for path, count in zip(paths, counts, strict=True):
        shard, origins[str(path)] = read_rows_made(path, GENERATIONS)
        wanted = set(list(dict.fromkeys(row["prompt_id"] for row in shard))[:count])
        if len(wanted) < count:
            raise LengthlensError(
                f"{path} holds answers to {len(wanted)} prompts, but {count} are needed; delete it "
                "and run again"
            )
        used = [row for row in shard if row["prompt_id"] in wanted]
        rows += used
        taken.append(len(used))
    check_agreement({**(run or {}), **origins})
    return rows, taken, check_computation(origins)
