"""The distinct sets of removed components of a sweep, as masks that a batch picks its rows from.

Chosen sets often coincide (two methods, two languages, a chosen set that is another's control), so
each distinct pair of set and mode is computed once, however many conditions it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool

from lengthlens.ablation.conditions import Condition
from lengthlens.decoding.intervention import Donors, Intervention, Replacement
from lengthlens.errors import LengthlensError
from lengthlens.models.anatomy import Anatomy


class ConditionSets:
    """Distinct sets of a sweep.

    Attributes:
        order: for every condition the index of its set.
        answered, neutral: for every set whether any of its conditions wants answers to the prompts,
            or the score of neutral sentences.
        by_position: for every set whether any of its conditions was chosen by position.
    """

    def __init__(
        self,
        conditions: Sequence[Condition],
        anatomy: Anatomy,
        device: torch.device,
        replacement: Replacement | None,
    ) -> None:
        keys = [(c.heads, c.mlps, c.mode) for c in conditions]
        place = {key: row for row, key in enumerate(dict.fromkeys(keys))}
        self.order = np.array([place[key] for key in keys])
        self.answered = self._any([c.answered for c in conditions])
        self.neutral = self._any([c.neutral for c in conditions])
        self.by_position = self._any([c.chosen_by == "position" for c in conditions])
        size = (len(place), anatomy.n_layers)
        self.heads = torch.zeros(*size, anatomy.n_heads, dtype=torch.bool, device=device)
        self.mlps = torch.zeros(*size, dtype=torch.bool, device=device)
        for row, (heads, mlps, _) in enumerate(place):
            for layer, head in heads:
                self.heads[row, layer, head] = True
            self.mlps[row, list(mlps)] = True
        replaced, self.resampled = (
            torch.tensor([mode == name for _, _, mode in place], device=device)
            for name in ("mean", "resample")
        )
        if not bool(replaced.any()):
            replaced = replacement = None
        elif replacement is None:
            raise LengthlensError("a condition has the mode `mean`, but no means were given")
        positions = conditions[0].positions
        self._all = Intervention(self.heads, self.mlps, positions, replaced, replacement)

    def _any(self, flags: Sequence[bool]) -> Bool[np.ndarray, " set"]:
        found = np.zeros(self.order.max() + 1, dtype=bool)
        np.logical_or.at(found, self.order, flags)
        return found

    def __len__(self) -> int:
        return len(self.heads)

    def rows(self, sets: Sequence[int], donors: Donors | None = None) -> Intervention:
        """The intervention of a batch whose row r removes set `sets[r]`.

        Args:
            sets: indices of sets.
            donors: of the rows; needed where a set's mode is `resample`.
        """
        index = torch.as_tensor(list(sets), device=self.heads.device)
        picked, resampled = self._all.select(index), self.resampled[index]
        if not bool(resampled.any()):
            return picked
        if donors is None:
            raise LengthlensError("a condition has the mode `resample`, but no donors were given")
        return replace(picked, resampled=resampled, donors=donors)
