"""What every head looks at when the model decides, and what it cannot do without:
`attention/{model}.{language}.nc`.

1. *Attention*: the weights from the decision step under the answer's own prompt, summed over the
   positions of each role.
2. *Knockout*: the scores from there to a role are set to minus infinity before the softmax, in all
   heads of a layer or in the heads of the circuit (each, and all together); what the other
   positions attend to stays. Told are the fall of the end margin under the own prompt, and the fall
   of the N effect, for which both runs of a swap are kept from it alike.

Most heads rest on the first token when they have nothing to do. Keeping them from `before` takes
that rest away and breaks much that has nothing to do with N.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int8
from tqdm import tqdm

from lengthlens.ablation.selection import component_name
from lengthlens.circuits.measure import smallest_circuit
from lengthlens.decoding.scores import Knockouts
from lengthlens.files.netcdf import tell_meanings
from lengthlens.generation.answers import prompts_of
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.rows import drawn_of_each
from lengthlens.generation.swaps import SWAPS, Swap, SwapMaterial
from lengthlens.language.languages import Language
from lengthlens.tracing.last_step import LastStep
from lengthlens.tracing.roles import ROLES, masks, text_roles
from lengthlens.tracing.stream import (
    Roles,
    TracePlan,
    count_traced,
    legal_swaps,
    listed,
    swap_coords,
)

ATTRIBUTES = {
    "attention": "attention from the decision step to the positions of a role, summed",
    "knockout": "fall of the end margin under the own prompt when all heads of a layer are kept "
    "from a role [logits]",
    "knockout_n": "fall of the N effect by it [logits]",
    "knockout_heads": "fall of the end margin under the own prompt when heads of the circuit are "
    "kept from a role [logits]",
    "knockout_heads_n": "fall of the N effect by it [logits]",
    "n_effect": "the N effect of the swap with nothing kept from anything [logits]",
    "margin": "end margin at the decision step under the own prompt [logits]",
    "n_answers": "answers with a legal swap, and those without by reason",
}


def own_texts(
    loaded: LoadedModel, language: Language, answers: Sequence[Mapping], reading: Reading
) -> list[tuple[int, ...] | None]:
    """Every answer up to its decision step, after its own prompt; None without such a step."""
    texts: list[tuple[int, ...] | None] = []
    prompts = prompts_of(loaded, language, answers, reading.date)
    for prompt, row in zip(prompts, answers, strict=True):
        step = loaded.annotate(row["tokens"], row["n"], reading.counting).decision_step
        texts.append(None if step is None else (*prompt.tokens, *row["tokens"][:step]))
    return texts


def circuit_heads(circuits: xr.Dataset, language: str) -> list[str]:
    """The heads of the smallest faithful circuit; none where there is no such circuit."""
    return [name for name in smallest_circuit(circuits, language) if "H" in name]


def measure_attention(
    loaded: LoadedModel,
    answers: Sequence[Mapping],
    material: tuple[Sequence[tuple[int, ...] | None], SwapMaterial, Roles],
    heads: Sequence[str],
    plan: TracePlan,
) -> xr.Dataset:
    """The dataset of an attention file (docs/files.md), samples in the order of the answers."""
    table = _Table(loaded, answers, material, heads, plan)
    table.measure()
    return table.dataset()


class _Table:
    """The arrays of one file, filled answer by answer."""

    def __init__(self, loaded, answers, material, heads: Sequence[str], plan: TracePlan) -> None:
        self.loaded, self.answers, self.plan = loaded, answers, plan
        self.texts, self.swaps, self.roles = material
        a = loaded.anatomy
        self.shape = (a.n_layers, a.n_heads)
        # Heads of other mixers attend to nothing that they could be kept from.
        attending = {
            component_name(index, head): (index, head)
            for index, layer in enumerate(a.layers)
            if layer.attention is not None
            for head in range(layer.attention.heads.start, layer.attention.heads.stop)
        }
        self.without = [i for i, layer in enumerate(a.layers) if layer.attention is None]
        heads = [name for name in heads if name in attending]
        circuit = np.zeros((len(heads), *self.shape), dtype=bool)
        for row, name in enumerate(heads):
            circuit[(row, *attending[name])] = True
        if len(heads) > 1:  # each by itself, then all together
            circuit = np.concatenate([circuit, circuit.any(0, keepdims=True)])
        self.knocked = [*heads, *[";".join(heads)] * (len(heads) > 1)]
        every = np.repeat(np.eye(a.n_layers, dtype=bool)[..., None], a.n_heads, axis=-1)
        self.knocked_sets = np.concatenate([every, circuit])
        n, roles, own, swap = len(answers), len(ROLES), ("sample",), ("swap", "sample")
        self.dims = {
            "margin": own,
            "attention": (*own, "layer", "head", "role"),
            "knockout": (*own, "layer", "role"),
            "knockout_heads": (*own, "knocked", "role"),
            "n_effect": swap,
            "knockout_n": (*swap, "layer", "role"),
            "knockout_heads_n": (*swap, "knocked", "role"),
        }
        sizes = {"sample": n, "swap": len(SWAPS), "layer": a.n_layers, "head": a.n_heads}
        sizes |= {"role": roles, "knocked": len(self.knocked)}
        self.values = {
            name: np.full([sizes[dim] for dim in dims], np.nan) for name, dims in self.dims.items()
        }
        self.missing: set[int] = set()

    def measure(self) -> None:
        """Attention and knockouts of the answers that the plan names."""
        used = drawn_of_each(self.answers, self.plan.per_n, self.plan.seed)
        swaps: dict[int, list[Swap]] = {}
        for index, entry in legal_swaps(self.answers, self.swaps, self.roles, self.plan):
            swaps.setdefault(index, []).append(entry)
        label = f"{self.loaded.spec.name} attending"
        places = np.flatnonzero(used).tolist()
        for index in tqdm(places, desc=label, unit="answer", delay=2, mininterval=1):
            if isinstance(self.roles[index], str):
                continue
            own = self._own(index)
            for entry in swaps.get(index, ()):
                self._swap(index, entry, own)

    def _own(self, index: int) -> tuple[tuple[int, ...], LastStep, np.ndarray] | None:
        """The step under the own prompt, with its margins under all knockouts."""
        text = self.texts[index]
        if text is None:
            return None
        step = LastStep(self.loaded, text, self.plan.memory_gb)
        self.missing |= set(step.missing)
        roles = text_roles(self.roles[index], len(text) - len(self.roles[index]))
        places = masks(roles)
        weights = np.einsum("lhp,rp->lhr", step.weights, places)
        margins = step.without(self._knockouts(roles), step.pair)
        self.values["attention"][index] = weights
        self.values["margin"][index] = step.margin(step.pair)
        self._keep(
            ("knockout", "knockout_heads"), (index,), step.margin(step.pair) - margins, roles
        )
        return text, step, margins

    def _swap(self, index: int, entry: Swap, own) -> None:
        """The fall of the N effect; the runs of a swap are read from the same position."""
        roles = text_roles(self.roles[index], len(entry.answer))
        known = [own[1] if own and text == own[0] else None for text in entry.texts]
        steps = [
            step or LastStep(self.loaded, text, self.plan.memory_gb)
            for step, text in zip(known, entry.texts, strict=True)
        ]
        pair = steps[0 if entry.own_is_reached else 1].pair
        effect = steps[0].margin(pair) - steps[1].margin(pair)
        knockouts = self._knockouts(roles)
        # NOTE of the own run they are known; its pair is the swap's.
        margins = [
            own[2] if step is not None else steps[run].without(knockouts, pair)
            for run, step in enumerate(known)
        ]
        cell = (SWAPS.index(entry.swap), index)
        self.values["n_effect"][cell] = effect
        fall = effect - (margins[0] - margins[1])
        self._keep(("knockout_n", "knockout_heads_n"), cell, fall, roles)

    def _knockouts(self, roles: Int8[np.ndarray, " position"]) -> Knockouts:
        """All layers, then the heads of the circuit, each with every role that is not empty.

        Of a layer, the heads that attend; a layer without any is not known (`LastStep.without`).
        """
        filled = np.unique(roles)  # the roles that have a position
        heads = np.repeat(self.knocked_sets, len(filled), axis=0)
        keys = np.tile(masks(roles)[filled], (len(self.knocked_sets), 1))
        device = self.loaded.device
        return Knockouts(torch.from_numpy(heads).to(device), torch.from_numpy(keys).to(device))

    def _keep(
        self,
        names: tuple[str, str],
        cell: tuple[int, ...],
        fall: Float[np.ndarray, " row"],
        roles: Int8[np.ndarray, " position"],
    ) -> None:
        """What knockouts did, by layer and by the heads of the circuit."""
        filled = np.unique(roles)
        by_set = fall.reshape(-1, len(filled))
        for name, part in zip(names, np.split(by_set, [self.shape[0]]), strict=True):
            self.values[name][cell][:, filled] = part

    def dataset(self) -> xr.Dataset:
        """Everything, labelled."""
        layers, heads = self.shape
        found = xr.Dataset(
            {name: (dims, self.values[name]) for name, dims in self.dims.items()},
            coords={
                "layer": np.arange(layers),
                "head": np.arange(heads),
                "knocked": np.array(self.knocked, dtype=str),
                **swap_coords(self.answers),
            },
        )
        found["n_answers"] = count_traced(self.swaps, self.roles)
        tell_meanings(found, ATTRIBUTES)
        unknocked = "no circuit of heads is faithful, so none was kept apart"
        return found.assign_attrs(
            absent=self._absent(), knocked_absent="" if self.knocked else unknocked
        )

    def _absent(self) -> str:
        """Why attention is missing, in all layers or in some; empty where it is not."""
        reasons = []
        if self.without:
            reasons.append(f"no attention in {listed(self.without)}, but other mixers or none")
        if missing := self.missing - set(self.without):
            reasons.append(
                "the attention weights of some layers cannot be had, for their attention is not a "
                f"softmax over the tokens of the text: {listed(missing)}"
            )
        if np.isfinite(self.values["margin"]).any():
            return f"{self.loaded.spec.name}: {'; '.join(reasons)}" if reasons else ""
        unknown = [part for part in self.roles if isinstance(part, str)]
        return unknown[0] if unknown else "no answer reaches a decision step"
