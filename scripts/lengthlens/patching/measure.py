"""Everything that patching measures on a model's answers: `patching/{model}.{language}.nc`.

1. Margins of both runs of every legal swap.
2. AtP of every component, in the answers that `atp_per_n` allows.
3. Patches: noising replaces a component of the reached run by that of the other run, and counts
   the fall of the margin; denoising the other way round, and counts the rise. Positive: it carries
   N. The first of `swaps`, `positions` and `directions` on `per_n` answers an N, every combination
   of them on `further_per_n`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from tqdm import tqdm

from lengthlens.attribution.dla import KINDS
from lengthlens.files.netcdf import tell_meanings
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.rows import drawn_of_each, sample_coords
from lengthlens.generation.swaps import SWAPS, SwapMaterial, count_swaps, why_none
from lengthlens.patching.atp import NoGradients, attribute_swaps
from lengthlens.patching.runs import (
    OTHER,
    POSITIONS,
    REACHED,
    SwapRuns,
    join_sets,
    note_clean,
    single_sets,
)
from lengthlens.patching.sampled import best_heads, patched_heads
from lengthlens.settings.sections import Patching

DIRECTIONS = {"noising": REACHED, "denoising": OTHER}  # the run that is patched
OF_SWAPS = {
    "margin_reached": "end margin at the read step under the smaller number [logits]",
    "margin_other": "the same under the larger number, of the same two tokens [logits]",
    "n_swapped": "the number in place of N",
}
ATTRIBUTES = OF_SWAPS | {
    "noising": "margin of the reached run minus that with the component of the other run [logits]",
    "denoising": "margin of the other run with the component of the reached run, minus its own "
    "[logits]",
    "atp": "first-order estimate of noising; it ranks and is no share [logits]",
    "patched_head": "2: patched, in the random sample; 1: patched, one of the best; 0: not patched",
    "best_head": "1: one of the best by AtP, in the random sample or not",
}


class Plan(Patching):
    """The `patching` section of the configuration; of its lists the first comes first.

    Attributes:
        memory_gb: that batches may take beside the weights.
    """

    memory_gb: float


def measure_patching(
    loaded: LoadedModel, answers: Sequence[Mapping], material: SwapMaterial, plan: Plan
) -> xr.Dataset:
    """The dataset of a patching file (docs/files.md), samples in the order of the answers."""
    table = _Table(loaded, answers, material, plan)
    atp_absent = table.attribute()
    table.patch()
    return table.dataset().assign_attrs(atp_absent=atp_absent)


class _Table:
    """The arrays of one file, filled step by step."""

    def __init__(
        self,
        loaded: LoadedModel,
        answers: Sequence[Mapping],
        material: SwapMaterial,
        plan: Plan,
    ) -> None:
        self.loaded, self.answers, self.material, self.plan = loaded, answers, material, plan
        a, self.layout = loaded.anatomy, loaded.anatomy.layout
        self.group = a.n_heads // a.n_kv_heads
        sizes = {"layer": a.n_layers, "head": a.n_heads}
        grid = (len(SWAPS), len(answers))
        self.clean = {name: np.full(grid, np.nan) for name in OF_SWAPS}
        self.values = {}
        for name, kind in itertools.product((*DIRECTIONS, "atp"), ("head", "mlp")):
            shape = (len(POSITIONS), *grid, *(sizes[dim] for dim in KINDS[kind]))
            # NOTE float32, as they were computed: a large model has millions of them.
            self.values[f"{name}_{kind}"] = np.full(shape, np.nan, dtype=np.float32)
        self.patched = np.zeros((a.n_layers, a.n_heads), dtype=int)
        self.best = np.zeros((a.n_layers, a.n_heads), dtype=bool)

    def _drawn(self, per_n: int) -> np.ndarray:
        """True for so many answers to each N, drawn by the seed; fewer are among more."""
        return drawn_of_each(self.answers, per_n, self.plan.seed)

    def attribute(self) -> str:
        """AtP of the swaps that the plan names; why there is none, or an empty text."""
        used = self._drawn(self.plan.atp_per_n)
        for swap in self.plan.swaps:
            legal = [(index, entry) for index, entry in self.material.legal(swap) if used[index]]
            if not legal:
                continue
            columns, swaps = zip(*legal, strict=True)
            try:
                found = attribute_swaps(
                    self.loaded, swaps, self.plan.memory_gb, self.plan.integrated_steps
                )
            except NoGradients as error:
                return str(error)
            row = SWAPS.index(swap)
            self.values["atp_head"][:, row, list(columns)] = found.head
            self.values["atp_mlp"][:, row, list(columns)] = found.mlp
        return ""

    def patch(self) -> None:
        """Margins of every legal swap, and the patches of those that the plan names."""
        ranking = self._ranking()
        self.best = best_heads(self.layout, ranking, self.plan)
        self.patched = patched_heads(self.layout, ranking, self.plan)
        first, further = map(self._drawn, (self.plan.per_n, self.plan.further_per_n))
        legal = [(swap, *entry) for swap in SWAPS for entry in self.material.legal(swap)]
        label = f"{self.loaded.spec.name} patched"
        for swap, column, entry in tqdm(legal, desc=label, unit="swap", delay=2, mininterval=1):
            runs = SwapRuns(self.loaded, entry, self.plan.memory_gb)
            cell = note_clean(self.clean, column, runs)
            wanted = self._wanted(swap, bool(first[column]), bool(further[column]))
            if wanted:
                self._patch(runs, cell, wanted)

    def _wanted(self, swap: int, first: bool, further: bool) -> list[tuple[str, str]]:
        """The directions and positions that are patched in an answer."""
        plan = self.plan
        if swap not in plan.swaps:
            return []
        if further:
            return list(itertools.product(plan.directions, plan.positions))
        return [(plan.directions[0], plan.positions[0])] if first and swap == plan.swaps[0] else []

    def _patch(self, runs: SwapRuns, cell: tuple[int, int], wanted) -> None:
        """All patches of one swap, as the rows of one batch."""
        heads, mlps = self.patched > 0, self.layout.has_mlp
        device = self.loaded.device
        sets = [single_sets(heads, mlps, DIRECTIONS[name], place, device) for name, place in wanted]
        margins = np.split(runs.patched(join_sets(sets)).fixed, len(wanted))
        for (name, place), found in zip(wanted, margins, strict=True):
            change = runs.carried(found, DIRECTIONS[name])
            where = (POSITIONS.index(place), *cell)
            self.values[f"{name}_head"][where][heads] = change[: heads.sum()]
            self.values[f"{name}_mlp"][where][mlps] = change[heads.sum() :]

    def _ranking(self) -> Float[np.ndarray, "layer head"] | None:
        """The mean AtP of every head over the `select` answers: at all positions, first swap."""
        row = SWAPS.index(self.plan.swaps[0])
        select = np.array([answer["split"] == "select" for answer in self.answers], dtype=bool)
        values = self.values["atp_head"][POSITIONS.index("all"), row, select]
        known: Bool[np.ndarray, " sample"] = np.isfinite(values[:, self.layout.has_head]).all(1)
        return values[known].mean(0) if known.any() else None

    def dataset(self) -> xr.Dataset:
        """Everything, labelled."""
        dims = ("swap", "sample")
        data = {name: (dims, values) for name, values in self.clean.items()}
        for name, values in self.values.items():
            data[name] = (("positions", *dims, *KINDS[name.rpartition("_")[2]]), values)
        data["patched_head"] = (KINDS["head"], self.patched)
        data["best_head"] = (KINDS["head"], self.best.astype(int))
        found = xr.Dataset(
            data,
            coords={
                "positions": list(POSITIONS),
                "swap": list(SWAPS),
                "layer": np.arange(self.layout.n_layers),
                "head": np.arange(self.patched.shape[1]),
                **sample_coords(self.answers),
            },
        )
        found = found.set_coords("n_swapped")
        tell_meanings(found, ATTRIBUTES)
        found["n_answers"] = count_swaps(self.material)
        legal = any(self.material.legal(swap) for swap in SWAPS)
        return found.assign_attrs(
            integrated_steps=self.plan.integrated_steps,
            group=self.group,
            absent="" if legal else why_none(self.material),
            **self.layout.attributes(),
        )
