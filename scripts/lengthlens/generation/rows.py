"""The rows of a generations file as samples: their labels, and which of them are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool

from lengthlens.language.prompts import draw_name, drawn_places

LABELS = ("n", "topic", "template", "split", "words", "error", "stopped", "truncated")


def sample_coords(answers: Sequence[Mapping]) -> dict[str, tuple[str, list]]:
    """The coordinates that every file of measured answers has."""
    return {name: ("sample", [row[name] for row in answers]) for name in ("sample_id", *LABELS)}


def drawn_of_each(answers: Sequence[Mapping], per_n: int, seed: int) -> Bool[np.ndarray, " sample"]:
    """True for `per_n` answers to each N, drawn by the seed: the same in every language."""
    keys = [
        (row["n"], draw_name(row["topic"], row["template"], int(row["sample_id"].split("#")[-1])))
        for row in answers
    ]
    used = np.zeros(len(keys), dtype=bool)
    for places in drawn_places(keys, per_n, seed):
        used[places] = True
    return used
