"""The distinct sets of removed components of a sweep, as masks that a batch picks its rows from.

Chosen sets often coincide (two methods, two languages, a chosen set that is another's control), so
each distinct pair of set and mode is computed once, however many conditions it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence

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
        place: dict[tuple, int] = {}
        for c in conditions:
            place.setdefault((c.heads, c.mlps, c.mode), len(place))
        self.order = np.array([place[c.heads, c.mlps, c.mode] for c in conditions])
        self.answered = self._any([c.answered for c in conditions])
        self.neutral = self._any([c.neutral for c in conditions])
        self.by_position = self._any([c.chosen_by == "position" for c in conditions])
        size = (len(place), anatomy.n_layers)
        self.heads = torch.zeros(*size, anatomy.n_heads, dtype=torch.bool, device=device)
        self.mlps = torch.zeros(*size, dtype=torch.bool, device=device)
        self.replaced, self.resampled = (
            torch.tensor([mode == name for _, _, mode in place], device=device)
            for name in ("mean", "resample")
        )
        for row, (heads, mlps, _) in enumerate(place):
            for layer, head in heads:
                self.heads[row, layer, head] = True
            for layer in mlps:
                self.mlps[row, layer] = True
        self.positions = conditions[0].positions
        if replacement is None and bool(self.replaced.any()):
            raise LengthlensError("a condition has the mode `mean`, but no means were given")
        self.replacement = replacement if bool(self.replaced.any()) else None

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
        resampled = self.resampled[index]
        if not bool(resampled.any()):
            donors = None
        elif donors is None:
            raise LengthlensError("a condition has the mode `resample`, but no donors were given")
        return Intervention(
            heads=self.heads[index],
            mlps=self.mlps[index],
            positions=self.positions,
            replaced=self.replaced[index] if self.replacement is not None else None,
            replacement=self.replacement,
            resampled=resampled if donors is not None else None,
            donors=donors,
        )
