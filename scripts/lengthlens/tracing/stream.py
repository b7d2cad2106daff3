"""Where N is, by layer and role: `tracing/{model}.{language}.nc`.

The two runs of a swap (`patching.runs`) differ in N alone. *Noising* puts the stream that enters a
layer, at the positions of one role, from the other run into the reached one and counts the fall of
the margin; *denoising* puts it the other way round and counts the rise. Both are positive where the
decision still needs what the stream has become there by that layer. All layers and roles of a swap
are rows of one batch. Before the numeral both runs are alike: `before` is 0 by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int8
from tqdm import tqdm

from lengthlens.decoding.reuse import batches
from lengthlens.decoding.streams import StreamSets, exchanged_streams, recorded_streams
from lengthlens.files.netcdf import tell_meanings
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.rows import drawn_of_each, sample_coords
from lengthlens.generation.swaps import LEGAL, SWAPS, Swap, SwapMaterial, count_swaps, why_none
from lengthlens.patching.measure import DIRECTIONS, OF_SWAPS
from lengthlens.patching.runs import SwapRuns, note_clean
from lengthlens.settings.fields import Section
from lengthlens.settings.sections import Tracing
from lengthlens.tracing.roles import BEFORE, ROLES, masks, text_roles

NO_ROLES = "no_roles"  # the roles of the prompt's tokens cannot be had
ATTRIBUTES = OF_SWAPS | {
    "noising_stream": "margin of the reached run minus that with the stream of the other run "
    "[logits]",
    "denoising_stream": "margin of the other run with the stream of the reached run, minus its own "
    "[logits]",
    "n_answers": "answers with a legal swap, and those without by reason",
}
Roles = Sequence[Int8[np.ndarray, " _"] | str]  # as long as each prompt is


class OnSwaps(Section):
    """What the plans of measurements on swaps share.

    Attributes:
        memory_gb: that batches may take beside the weights.
        seed: of the draw of answers.
    """

    memory_gb: float
    seed: int = 0


class TracePlan(Tracing, OnSwaps):
    """The `tracing` section of the configuration, on swaps."""


class StreamRuns(SwapRuns):
    """The two clean runs of a swap with the stream that enters every layer."""

    def __init__(self, loaded: LoadedModel, swap: Swap, memory_gb: float) -> None:
        with recorded_streams(loaded.anatomy) as self._streams:  # of the pass of both runs
            super().__init__(loaded, swap, memory_gb)

    @torch.inference_mode()
    def exchanged(self, sets: StreamSets) -> Float[np.ndarray, " set"]:
        """Margins of the runs with a stream exchanged, one a set; positions from the start on."""
        found = np.empty(len(sets))
        for below, members in batches(sets.layer.cpu().numpy(), self._rows):
            part = sets[torch.as_tensor(members, device=sets.layer.device)]
            with exchanged_streams(self._loaded.anatomy, self._streams, part):
                logits = self._pass(part.into, self._layers.reused(below, part.into))
            found[members] = self._margins(logits).fixed
        return found


def trace_swap(
    loaded: LoadedModel,
    swap: Swap,
    roles: Int8[np.ndarray, " position"],
    layers: Sequence[int],
    memory_gb: float,
    directions: Sequence[str] = tuple(DIRECTIONS),
) -> tuple[SwapRuns, dict[str, Float[np.ndarray, "layer role"]]]:
    """The runs of a swap and, by direction, what its streams carry. [logits]

    Args:
        loaded: the model, in float32 or better.
        swap: a legal one.
        roles: of every position up to the one that the margin is read from.
        layers: those that are traced; the others are NaN, as are empty roles.
        memory_gb: that batches may take beside the weights.
        directions: noising, denoising or both.
    """
    runs = StreamRuns(loaded, swap, memory_gb)
    places = masks(roles)
    filled = [role for role in np.flatnonzero(places.any(1)).tolist() if role != BEFORE]
    cells = [(layer, role) for layer in layers for role in filled]
    layer, role = np.array(cells).reshape(-1, 2).T
    where = torch.from_numpy(places[role][:, runs.start :]).to(loaded.device)
    found = {}
    for name in directions:
        run = DIRECTIONS[name]
        entering = torch.from_numpy(layer.copy()).to(loaded.device)
        margins = runs.exchanged(StreamSets(entering, where, torch.full_like(entering, run)))
        found[name] = np.full((loaded.anatomy.n_layers, len(ROLES)), np.nan)
        found[name][layer, role] = runs.carried(margins, run)
        if places[BEFORE].any():
            found[name][list(layers), BEFORE] = 0.0
    return runs, found


def trace_streams(
    loaded: LoadedModel,
    answers: Sequence[Mapping],
    material: SwapMaterial,
    roles: Roles,
    plan: TracePlan,
    directions: Sequence[str] = tuple(DIRECTIONS),
    beside: Callable[[tuple[int, int], SwapRuns], None] | None = None,
) -> xr.Dataset:
    """The dataset of a tracing file (docs/files.md), samples in the order of the answers.

    `beside` is given the place of every swap that is traced, and its runs.
    """
    grid, n_layers = (len(SWAPS), len(answers)), loaded.anatomy.n_layers
    scalars = {name: np.full(grid, np.nan) for name in OF_SWAPS}
    streams = {
        name: np.full((*grid, n_layers, len(ROLES)), np.nan, dtype=np.float32)
        for name in directions
    }
    layers = range(0, n_layers, plan.every)
    todo = legal_swaps(answers, material, roles, plan)
    label = f"{loaded.spec.name} traced"
    for index, entry in tqdm(todo, desc=label, unit="swap", delay=2, mininterval=1):
        positions = text_roles(roles[index], len(entry.answer))
        runs, found = trace_swap(
            loaded, entry, positions, layers, plan.memory_gb, directions=directions
        )
        cell = note_clean(scalars, index, runs)
        for name, values in found.items():
            streams[name][cell] = values
        if beside is not None:
            beside(cell, runs)
    dims = ("swap", "sample")
    data = {name: (dims, values) for name, values in scalars.items()}
    data |= {f"{name}_stream": ((*dims, "layer", "role"), part) for name, part in streams.items()}
    found = xr.Dataset(data, coords={"layer": np.arange(n_layers)} | swap_coords(answers))
    found = found.set_coords("n_swapped")
    found["n_answers"] = count_traced(material, roles)
    tell_meanings(found, ATTRIBUTES)
    return found.assign_attrs(every=plan.every, absent=why_untraced(material, roles))


def legal_swaps(
    answers: Sequence[Mapping], material: SwapMaterial, roles: Roles, plan: TracePlan
) -> list[tuple[int, Swap]]:
    """Legal swaps, each with the index of its answer, of the answers that the plan names."""
    used = drawn_of_each(answers, plan.per_n, plan.seed)
    return [
        (index, entry)
        for swap in plan.swaps
        for index, entry in material.legal(swap)
        if used[index] and not isinstance(roles[index], str)
    ]


def swap_coords(answers: Sequence[Mapping]) -> dict:
    """The coordinates that the files of tracing and attention share."""
    return {"swap": list(SWAPS), "role": list(ROLES), **sample_coords(answers)}


def count_traced(material: SwapMaterial, roles: Roles) -> xr.DataArray:
    """Answers by swap: those with a legal one and with roles, and the others by reason."""
    found = count_swaps(material)
    unknown = np.array(
        [[sum(isinstance(roles[index], str) for index, _ in material.legal(s))] for s in SWAPS]
    )
    found.loc[{"reason": [LEGAL]}] -= unknown
    without = xr.DataArray(unknown, {"swap": found["swap"], "reason": [NO_ROLES]})
    return xr.concat([found, without], "reason")


def why_untraced(material: SwapMaterial, roles: Roles) -> str:
    """Why no answer can be traced; empty where one can."""
    legal = [index for swap in material.by_swap for index, _ in material.legal(swap)]
    if not legal:
        return why_none(material)
    unknown = [roles[index] for index in legal if isinstance(roles[index], str)]
    return unknown[0] if len(unknown) == len(legal) else ""


def listed(layers: Iterable[int]) -> str:
    """Layers in words."""
    return f"layers {', '.join(map(str, sorted(layers)))}"
