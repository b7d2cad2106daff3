"""The margins of all circuits of a model in one language: `circuits/{model}.{language}.nc`.

Every condition is a set C of components and a way to use it, at all positions, swap +1:

| way | components from the other run | for |
|---|---|---|
| `kept` | all outside of C | faithfulness; minimality where C lacks one member |
| `patched` | those of C | completeness (1 minus it is F of the complement); interchange |

1. Circuits by each score and size, kept and patched, on all answers; by the first score also those
   that were ranked in every other language.
2. The smallest circuit of each score: the smallest k whose F on `select` reaches `faithful`, there
   and at every larger k that was measured.
3. Random orders, kept, on `evaluate`: of all components, and of the heads of each layer in the
   order of a score, its MLPs where they are. The latter at every size for the first score; of any
   other at the size of its smallest circuit, for without one there is nothing to compare.
4. Of the smallest circuit of the first score, on `evaluate`: kept without each member, and answers
   written while it alone comes from the other prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from lengthlens.circuits.faithfulness import has_effect, smallest_faithful
from lengthlens.circuits.orders import (
    circuit_sizes,
    component_names,
    first_of,
    permuted_orders,
    ranked_order,
    uniform_orders,
)
from lengthlens.files.netcdf import tell_meanings
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.rows import drawn_of_each, sample_coords
from lengthlens.generation.swaps import Swap, SwapMaterial, count_swaps, why_none
from lengthlens.language.words import count_words
from lengthlens.models.layout import Layout
from lengthlens.patching.runs import OTHER, REACHED, Sets, SwapRuns, alike_sets
from lengthlens.statistics import Bootstrap

KEPT, PATCHED = "kept", "patched"
RANDOM = "random"
SWAP = 1
TOKENS_A_WORD = 4  # answers that are written anew are cut after so many for each word
WRITTEN_PER_N = 2  # answers to each N that are written anew with a circuit exchanged
ATTRIBUTES = {
    "margin": "end margin with a circuit kept or patched [logits]",
    "free": "the same of the best ender and the best word of the run itself [logits]",
    "written": "words of the answer written while the smallest circuit comes from the prompt with "
    "the larger number; -1: did not stop, NaN: none was written [words]",
}


@dataclass(frozen=True)
class CircuitPlan:
    """The `circuits` section of the configuration (see there), and what passes may take."""

    per_n: int
    methods: Sequence[str]
    sizes: Sequence[float]
    faithful: float
    orders: int
    seed: int
    memory_gb: float


@dataclass(frozen=True)
class Condition:
    """One circuit and how it is used.

    Attributes:
        way: KEPT or PATCHED.
        method: the score, `random` or `random_{score}`.
        source_language: where it was ranked.
        k: its size, a left-out member not counted.
        order: number of a random order; -1 of a ranking.
        without: the member that is left out; empty for none.
        members: True for components of the circuit.
    """

    way: str
    method: str
    source_language: str
    k: int
    members: Bool[np.ndarray, " component"]
    order: int = -1
    without: str = ""


@dataclass(frozen=True)
class Texts:
    """What circuits are measured on.

    Attributes:
        answers: rows of the model's generations file.
        material: their swaps.
        language: of the answers.
        counting: the counting convention.
    """

    answers: Sequence[Mapping]
    material: SwapMaterial
    language: str
    counting: str

    def column(self, name: str) -> np.ndarray:
        """A column of the answers."""
        return np.array([row[name] for row in self.answers])


def measure_circuits(
    loaded: LoadedModel,
    texts: Texts,
    selections: Mapping[str, pd.DataFrame],
    plan: CircuitPlan,
    bootstrap: Bootstrap,
) -> xr.Dataset:
    """The dataset of a circuits file (docs/files.md), samples in the order of the answers."""
    grid = _Grid(loaded, texts, plan)
    select, evaluate = (texts.column("split") == name for name in ("select", "evaluate"))
    language, layout = texts.language, grid.layout
    grid.measure(_ranked_conditions(selections, language, layout, plan), select | evaluate)
    orders = {method: ranked_order(selections[language], method, layout) for method in plan.methods}
    smallest = {method: grid.smallest(method, select, bootstrap) for method in plan.methods}
    grid.measure(_random_conditions(orders, smallest, language, layout, plan), evaluate)
    first = plan.methods[0]
    k = smallest[first]
    written = np.full(len(texts.answers), np.nan)
    if k is not None:
        members = first_of(orders[first], k)
        grid.measure(_without_each(members, first, language, layout), evaluate)
        written = grid.write(members, evaluate)
    found = grid.dataset().assign(written=("sample", written))
    tell_meanings(found, ATTRIBUTES)
    return found.assign_attrs(
        smallest=-1 if k is None else k,
        ranked_by=first,
        absent="" if texts.material.legal(SWAP) else why_none(texts.material),
    )


def smallest_circuit(circuits: xr.Dataset, language: str) -> list[str]:
    """The members of the smallest faithful circuit; none where there is none."""
    k = int(circuits.attrs["smallest"])
    smallest = (
        (circuits["way"] == KEPT)
        & ~circuits["method"].astype(str).str.startswith(RANDOM)
        & (circuits["source_language"] == language)
        & (circuits["k"] == k)
        & (circuits["without"] == "")
    )
    found = circuits["components"].to_numpy()[smallest.to_numpy()]
    return str(found[0]).split(";") if k > 0 and len(found) else []


def _ranked_conditions(
    selections: Mapping[str, pd.DataFrame], language: str, layout: Layout, plan: CircuitPlan
) -> list[Condition]:
    """The empty circuit, then those by score and size; by the first score also other languages'."""
    made = [Condition(KEPT, "none", language, 0, np.zeros(layout.n_components, dtype=bool))]
    for source, selection in selections.items():
        for method in plan.methods if source == language else plan.methods[:1]:
            order = ranked_order(selection, method, layout)
            if order is None:
                continue
            made += [
                Condition(way, method, source, k, first_of(order, k))
                for k in circuit_sizes(plan.sizes, layout)
                for way in (KEPT, PATCHED)
            ]
    return made


def _random_conditions(
    orders: Mapping[str, Int[np.ndarray, " component"] | None],
    smallest: Mapping[str, int | None],
    language: str,
    layout: Layout,
    plan: CircuitPlan,
) -> list[Condition]:
    """Random orders of all components, and of the heads of every layer in the order of a score."""
    sizes = circuit_sizes(plan.sizes, layout)
    drawn = {RANDOM: (uniform_orders(layout, plan.orders, plan.seed), sizes)}
    for method, order in orders.items():
        own = sizes if method == plan.methods[0] else [smallest[method]]
        if order is not None and None not in own:
            permuted = permuted_orders(order, layout, plan.orders, plan.seed)
            drawn[f"{RANDOM}_{method}"] = (permuted, own)
    return [
        Condition(KEPT, name, language, k, first_of(order, k), order=number)
        for name, (permuted, own) in drawn.items()
        for number, order in enumerate(permuted)
        for k in own
    ]


def _without_each(
    members: Bool[np.ndarray, " component"], method: str, language: str, layout: Layout
) -> list[Condition]:
    """A circuit without each of its members in turn."""
    names, k, number = component_names(layout), int(members.sum()), np.arange(len(members))
    return [
        Condition(KEPT, method, language, k, members & (number != one), without=names[one])
        for one in np.flatnonzero(members)
    ]


class _Grid:
    """Margins by condition and sample, filled as conditions come."""

    def __init__(self, loaded: LoadedModel, texts: Texts, plan: CircuitPlan) -> None:
        self.loaded, self.texts, self.plan = loaded, texts, plan
        self.layout = loaded.anatomy.layout
        used = drawn_of_each(texts.answers, plan.per_n, plan.seed)
        legal = texts.material.legal(SWAP)
        self.swaps = {index: swap for index, swap in legal if used[index]}
        n = len(texts.answers)
        names = ("margin_reached", "margin_other", "free_reached", "free_other")
        self.clean = {name: np.full(n, np.nan) for name in names}
        self.n_swapped = np.full(n, np.nan)  # NaN where there is no legal swap
        for index, swap in legal:
            self.n_swapped[index] = swap.n_swapped
        self.conditions: list[Condition] = []
        self.margins: list[Float[np.ndarray, "2 condition sample"]] = []  # fixed, free

    def measure(self, conditions: Sequence[Condition], where: Bool[np.ndarray, " sample"]) -> None:
        """Margins of conditions in the answers that are True."""
        found = np.full((2, len(conditions), len(where)), np.nan)
        wanted = [(index, swap) for index, swap in self.swaps.items() if where[index]]
        sets = component_sets(conditions, self.layout, self.loaded.device)
        label = f"{self.loaded.spec.name}, {len(conditions)} circuits"
        for index, swap in tqdm(wanted, desc=label, unit="answer", delay=2, mininterval=1):
            runs = SwapRuns(self.loaded, swap, self.plan.memory_gb)
            for name, clean in (("margin", runs.clean.fixed), ("free", runs.clean.free)):
                self.clean[f"{name}_reached"][index] = clean[REACHED]
                self.clean[f"{name}_other"][index] = clean[OTHER]
            margins = runs.patched(sets)
            found[:, :, index] = margins.fixed, margins.free
        self.conditions += conditions
        self.margins.append(found)

    def smallest(
        self, method: str, select: Bool[np.ndarray, " sample"], bootstrap: Bootstrap
    ) -> int | None:
        """The size of the smallest faithful circuit of a score; None if there is none."""
        effect = (self.clean["margin_reached"] - self.clean["margin_other"])[select]
        topics = self.texts.column("topic")[select]
        known = np.isfinite(effect)
        if not known.any() or not has_effect(effect[known], topics[known], bootstrap):
            return None
        wanted = (KEPT, method, self.texts.language)
        rows = [(c.way, c.method, c.source_language) == wanted for c in self.conditions]
        if not any(rows):
            return None
        part = np.concatenate(self.margins, axis=1)[0, rows] - self.clean["margin_other"]
        shares = part[:, select][:, known].sum(1) / effect[known].sum()
        sizes = np.array([c.k for c in self.conditions], dtype=float)[rows]
        place = smallest_faithful(sizes, shares, self.plan.faithful)
        return None if place is None else int(sizes[place])

    def write(
        self, members: Bool[np.ndarray, " component"], where: Bool[np.ndarray, " sample"]
    ) -> Float[np.ndarray, " sample"]:
        """Words of answers written while a circuit comes from the prompt with the larger number.

        Of answers to each N that are True, drawn by the seed; -1 for one that did not stop.
        """
        language = self.texts.language
        circuit = Condition(PATCHED, "", language, int(members.sum()), members)
        sets = component_sets([circuit], self.layout, self.loaded.device)
        written = np.full(len(where), np.nan)
        usable = [index for index in self.swaps if where[index]]
        answers = [self.texts.answers[index] for index in usable]
        drawn = drawn_of_each(answers, WRITTEN_PER_N, self.plan.seed)
        for index in np.array(usable, dtype=int)[drawn]:
            written[index] = self._write(self.swaps[index], sets)
        return written

    def _write(self, swap: Swap, sets: Sets) -> int:
        stop, answer = set(self.loaded.classes.stop.tolist()), []
        for _ in range(TOKENS_A_WORD * swap.n_swapped + TOKENS_A_WORD):
            so_far = replace(swap, answer=tuple(answer))
            (token,) = SwapRuns(self.loaded, so_far, self.plan.memory_gb).next_tokens(sets)
            if token in stop:
                return count_words(self.loaded.decode_text(answer), self.texts.counting)
            answer.append(token)
        return -1

    def dataset(self) -> xr.Dataset:
        """Everything, labelled."""
        names = np.array(component_names(self.layout))
        columns = {
            field: ("condition", np.array([getattr(c, field) for c in self.conditions]))
            for field in ("way", "method", "source_language", "k", "order", "without")
        }
        members = [";".join(names[condition.members]) for condition in self.conditions]
        dims = ("condition", "sample")
        fixed, free = np.concatenate(self.margins, axis=1)
        found = xr.Dataset(
            {
                "margin": (dims, fixed),
                "free": (dims, free),
                **{name: ("sample", values) for name, values in self.clean.items()},
            },
            coords={
                **columns,
                "components": ("condition", np.array(members)),
                "n_swapped": ("sample", self.n_swapped),
                **sample_coords(self.texts.answers),
            },
            attrs={
                "n_components": self.layout.n_components,
                "n_layers": self.layout.n_layers,
                "n_heads": self.layout.n_heads,
                "positions": "all",
                **self.layout.attributes(),
            },
        )
        return found.assign(n_answers=count_swaps(self.texts.material))


def component_sets(conditions: Sequence[Condition], layout: Layout, device: torch.device) -> Sets:
    """The components of each condition that come from the other run."""
    masks = np.array([c.members if c.way == PATCHED else ~c.members for c in conditions])
    masks = layout.spread(masks.reshape(len(conditions), -1), False)
    return alike_sets(masks, REACHED, "all", device)
