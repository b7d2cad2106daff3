"""Which component hands N to which, and where: `paths/{model}.{language}.nc`.

1. Paths between the members of the smallest faithful circuit (the first `most` of its ranking),
   from the embedding to them, and from all of these to the logits (`tracing.path_runs`).
2. Each of these components taken from the other run at the positions of one role alone, and at
   all: where it matters.
3. What the late heads do to the decision directly, through the final MLP, and both at once; beside
   it, through the final MLP, all that reaches it from everything else. This needs no circuit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from tqdm import tqdm

from lengthlens.circuits.measure import smallest_circuit
from lengthlens.circuits.orders import EMBEDDING, component_names, ranked_order
from lengthlens.files.netcdf import tell_meanings
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.rows import drawn_of_each, sample_coords
from lengthlens.generation.swaps import SWAPS, Swap, SwapMaterial, count_swaps
from lengthlens.models.layout import Layout
from lengthlens.patching.measure import OF_SWAPS
from lengthlens.patching.runs import note_clean
from lengthlens.settings.sections import PathSearch
from lengthlens.tracing.path_runs import WAYS, PathRuns, network_of, receivers_of
from lengthlens.tracing.roles import BEFORE, ROLES, masks, text_roles
from lengthlens.tracing.stream import OnSwaps, Roles, listed, why_untraced

SWAP = 1
ALL = "all"
PLACES = (*ROLES[BEFORE + 1 :], ALL)
ATTRIBUTES = OF_SWAPS | {
    "path": "fall of the margin of the reached run when what the sender hands to the receiver "
    "comes from the other run [logits]",
    "carried": "fall of that margin when the component itself comes from the other run at the "
    "positions of a role, or at all [logits]",
    "mediation": "fall of that margin when the late heads come from the other run in the final "
    "residual, in the input of the final MLP, or both; rest: everything but them in that input "
    "[logits]",
    "n_answers": "answers with a legal swap, and those without by reason",
}


class PathPlan(PathSearch, OnSwaps):
    """The `paths` section of the configuration, on swaps."""


@dataclass(frozen=True)
class Members:
    """The components between which paths are measured.

    Attributes:
        names: in the order of their ranking.
        size: of the whole circuit.
        absent: why there are none.
    """

    names: tuple[str, ...]
    size: int = 0
    absent: str = ""


def circuit_members(
    circuits: xr.Dataset, selection: pd.DataFrame, language: str, most: int
) -> Members:
    """The first members of the smallest faithful circuit.

    Args:
        circuits: a circuits file; selection: the ranking of the same model and language.
        language: whose own ranking counts.
        most: how many members at most.
    """
    members = smallest_circuit(circuits, language)
    attrs = circuits.attrs
    layout = Layout.told(attrs, int(attrs["n_layers"]), int(attrs["n_heads"]))
    order = ranked_order(selection, attrs["ranked_by"], layout)
    if not members or order is None:
        reason = str(circuits.attrs["absent"]) or "no circuit is faithful"
        if order is None:
            reason = f"{circuits.attrs['ranked_by']} does not rank all components"
        return Members((), 0, f"{reason}, so there are no paths between its components")
    names = component_names(layout)
    ranked = [names[place] for place in order if names[place] in members]
    return Members(tuple(ranked[:most]), len(members))


def measure_paths(
    loaded: LoadedModel,
    answers: Sequence[Mapping],
    material: tuple[SwapMaterial, Roles],
    members: Members,
    plan: PathPlan,
) -> xr.Dataset:
    """The dataset of a paths file (docs/files.md), samples in the order of the answers."""
    table = _Table(loaded, answers, material, members)
    used = drawn_of_each(answers, plan.per_n, plan.seed)
    swaps = [(index, swap) for index, swap in material[0].legal(SWAP) if used[index]]
    label = f"{loaded.spec.name}, paths of {len(members.names)} components"
    for index, swap in tqdm(swaps, desc=label, unit="answer", delay=2, mininterval=1):
        table.measure(index, swap, plan.memory_gb)
    return table.dataset()


class _Table:
    """The arrays of one file, filled answer by answer."""

    def __init__(self, loaded, answers, material, members: Members) -> None:
        self.network, self.answers, self.members = network_of(loaded), answers, members
        self.swaps, self.roles = material
        self.unsplit: set[int] = set()
        names = list(members.names)
        self.coords = {
            "sender": [EMBEDDING, *names] if names else [],
            "receiver": receivers_of(names) if names else [],
            "component": names,
            "place": list(PLACES),
            "way": list(WAYS),
        }
        self.dims = {
            **dict.fromkeys(OF_SWAPS, ()),
            "path": ("sender", "receiver"),
            "carried": ("component", "place"),
            "mediation": ("way",),
        }
        self.values = {
            name: np.full(
                (len(SWAPS), len(answers), *(len(self.coords[dim]) for dim in dims)), np.nan
            )
            for name, dims in self.dims.items()
        }

    def measure(self, index: int, swap: Swap, memory_gb: float) -> None:
        """Everything of one answer."""
        runs = PathRuns(self.network, swap, memory_gb)
        cell = note_clean(self.values, index, runs)
        self.values["mediation"][cell] = list(runs.mediation().values())
        if not self.members.names:
            return
        self.values["path"][cell] = runs.paths(self.coords["sender"], self.coords["receiver"])
        self.unsplit |= runs.unsplit
        places = np.ones((1, swap.last + 1 - runs.start), dtype=bool)
        filled = [PLACES.index(ALL)]
        if not isinstance(self.roles[index], str):
            by_role = masks(text_roles(self.roles[index], len(swap.answer)))[BEFORE + 1 :]
            by_role = by_role[:, runs.start :]
            filled = [*np.flatnonzero(by_role.any(1)).tolist(), *filled]
            places = np.concatenate([by_role[filled[:-1]], places])
        carried = runs.at_places(self.members.names, places)
        self.values["carried"][cell][:, filled] = carried

    def dataset(self) -> xr.Dataset:
        """Everything, labelled."""
        data = {
            name: (("swap", "sample", *dims), self.values[name]) for name, dims in self.dims.items()
        }
        text = {name: np.array(values, dtype=str) for name, values in self.coords.items()}
        shared = {"swap": list(SWAPS), **sample_coords(self.answers)}
        found = xr.Dataset(data, coords=text | shared).set_coords("n_swapped")
        # NOTE paths need no roles: an answer without them is measured, but for where it matters.
        found["n_answers"] = count_swaps(self.swaps)
        tell_meanings(found, ATTRIBUTES)
        unsplit = "queries, keys and values cannot be had apart"
        legal = self.swaps.legal(SWAP)
        why = why_untraced(self.swaps, self.roles)
        return found.assign_attrs(
            circuit_size=self.members.size,
            late_heads=";".join(self.network.late_heads),
            absent="" if legal else why,
            paths_absent=self.members.absent,
            places_absent=why if legal else "",
            heads_absent=f"{unsplit} in {listed(self.unsplit)}" if self.unsplit else "",
        )
