"""The files on the mechanism of a study made by hand: from patches to transplants.

The package's own functions put these files together, and so decide what is missing and why. What
needs a model is replaced: margins, attention, streams and answers are random numbers. A run with
components of the other one stands between both, in proportion to their number, so that there are
faithful circuits where N has an effect.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import xarray as xr
from small_project import DEFAULTS, generation

from lengthlens.circuits.measure import CircuitPlan, Texts, measure_circuits, smallest_circuit
from lengthlens.count.crossed import Crossed
from lengthlens.count.measure import CountPlan, CountTexts, measure_count
from lengthlens.generation.job import Reading
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.swaps import (
    LENGTH,
    NO_NUMBER,
    NO_READ_STEP,
    SWAPS,
    Swap,
    SwapMaterial,
    neighbour,
)
from lengthlens.language.languages import Language
from lengthlens.language.prompts import Prompt
from lengthlens.models.layout import Layout
from lengthlens.patching.measure import Plan, measure_patching
from lengthlens.patching.runs import REACHED, Margins, Sets
from lengthlens.settings.sections import Contrasts, Patching, PathSearch, Tracing, Transplant
from lengthlens.statistics import Bootstrap
from lengthlens.tracing import attention, contrasts, path_runs, paths, stream
from lengthlens.tracing.last_step import LastStep
from lengthlens.tracing.roles import BEFORE, BETWEEN, CLOSING, MARK, NUMERAL, ROLES
from lengthlens.transplant import across, pair, parts, texts
from lengthlens.transplant.measure import Material, measure_transplants

PROMPT = (BEFORE, BEFORE, NUMERAL, BETWEEN, MARK, CLOSING)  # the role of each of its tokens
NEURONS, WIDTH = 12, 4
MEMORY = 2.0
CHANGED: dict[str, dict[str, Any]] = {
    "patching": {"further_per_n": 1, "exhaustive": 8, "best": 2, "random": 2},
    "tracing": {"per_n": 3},
    "paths": {"per_n": 3, "most": 3},
    "contrasts": {"per_n": 2},
    "transplant": {"per_n": 2, "every": 2, "scales": [0.5], "controls": 1, "across_per_n": 1},
}
KINDS = {
    "patching": Patching, "tracing": Tracing, "paths": PathSearch, "contrasts": Contrasts,
    "transplant": Transplant,
}  # fmt: skip
SMALL: dict[str, Any] = {
    name: kind(**DEFAULTS[name] | CHANGED[name]) for name, kind in KINDS.items()
}
COUNT = {"per_n": 3, "every": 1, "steered": "auto", "steps": [-1, 1], "neurons": [1, 4]}
CIRCUITS = {"per_n": 4, "methods": ("atp", "cwa"), "sizes": (0.2, 0.5, 0.9), "faithful": 0.6}
BOOTSTRAP = Bootstrap(resamples=100)


class Model(LoadedModel):
    """In the place of a model: what the package asks of it, and random numbers."""

    device = torch.device("cpu")

    def __init__(self, **known: Any) -> None:
        self.__dict__.update(known)  # a frozen dataclass


class Parts(parts.Parts):
    """In the place of the parts of its weights: none is moved."""

    def __init__(self, anatomy: SimpleNamespace) -> None:
        self.anatomy = anatomy

    def why_no_heads(self) -> str:
        return ""

    def nothing(self, *which: Any) -> tuple:
        return ()

    whole = of_layers = of_kind = of_heads = groups_within = nothing


class Pair(pair.Pair):
    """In the place of two models."""

    parts = None

    def __init__(self, **known: Any) -> None:
        self.__dict__.update(known)

    def into(self, tuning: str) -> tuple[Model, None]:
        return getattr(self, tuning), None


class Runs(path_runs.PathRuns):
    """In the place of the runs of a swap, of whatever kind."""

    unsplit: frozenset[int] = frozenset()

    def __init__(self, model: Model, swap: Swap, *settings: Any) -> None:
        self.rng, self.swap, self.start = model.rng, swap, swap.numeral
        margins = self.rng.normal(0, 1, (2, 2))
        margins[REACHED] += model.effect
        self.clean = Margins(*margins.T)

    def patched(self, sets: Sets) -> Margins:
        """Margins between those of the two runs, by the share of components exchanged."""
        exchanged = torch.cat([sets.heads.flatten(1), sets.mlps], 1).double().mean(1).numpy()
        into = sets.into.numpy()
        found = [
            clean[into] + exchanged * (clean[1 - into] - clean[into])
            for clean in (self.clean.fixed, self.clean.free)
        ]
        return Margins(*(part + self.rng.normal(0, 0.05, part.shape) for part in found))

    def next_tokens(self, sets: Sets) -> list[int]:
        return [int(self.rng.choice([2, 5, 6]))]

    def noised(self, sets: np.ndarray) -> np.ndarray:
        return self.rng.normal(0, 1, len(sets))

    def mediation(self) -> dict[str, float]:
        return dict(
            zip(path_runs.WAYS, self.rng.normal(0, 1, len(path_runs.WAYS)).tolist(), strict=True)
        )

    def paths(self, senders: Sequence[str], receivers: Sequence[str]) -> np.ndarray:
        found = self.rng.normal(0, 1, (len(senders), len(receivers)))
        found[1:, :-1][np.tril_indices(len(senders) - 1, 0, len(receivers) - 1)] = np.nan
        return found

    def at_places(self, names: Sequence[str], places: np.ndarray) -> np.ndarray:
        return self.rng.normal(0, 1, (len(names), len(places)))


class Step(LastStep):
    """In the place of a decision step with its attention."""

    missing: tuple[int, ...] = ()
    pair = (0, 1)

    def __init__(self, model: Model, text: Sequence[int], memory_gb: float) -> None:
        a, self.rng = model.anatomy, model.rng
        self.weights = self.rng.dirichlet(np.ones(len(text)), (a.n_layers, a.n_heads))

    def margin(self, pair: tuple[int, int]) -> float:
        return float(self.rng.normal())

    def without(self, knockouts: Sequence, pair: tuple[int, int]) -> np.ndarray:
        return self.rng.normal(0, 1, len(knockouts))


class FixedTexts(texts.FixedTexts):
    """In the place of the texts that hybrids are read on."""

    def __init__(self, study: Any, answers: Sequence, *rest: Any) -> None:
        self.rows = texts.answer_rows(study, answers)
        self.rng, self.number = study.loaded.rng, len(answers)
        self.effect = study.loaded.effect

    def margins(self, model: Model, below: int) -> list[np.ndarray]:
        return [self.rng.normal(self.effect / 2, 1, self.number) for _ in range(2)]


class Across(across.Across):
    """In the place of outputs exchanged between two models."""

    def __init__(self, pair: Pair, texts: FixedTexts, memory_gb: float) -> None:
        self.pair, a = pair, pair.untuned.anatomy
        self.n_heads = a.n_heads
        self._size = a.n_layers * (a.n_heads + 1)

    def measure(self, used: np.ndarray) -> list[np.ndarray]:
        found = [self.pair.untuned.rng.normal(0, 1, (len(used), self._size)) for _ in range(2)]
        return [np.where(used[:, None], part, np.nan) for part in found]


class Mechanism:
    """What measures one model in one language.

    Args:
        study: its shape, answers and selections.
        model, language: of the pair.
        make_answer: prompt, kind and generator -> a row of a generations file.
    """

    def __init__(self, study: Any, model: str, language: Language, make_answer: Callable) -> None:
        shape, self.study, self.language = study.shape, study, language
        self.answers = study.answers[model, language.code]
        self.kind, self.make_answer = shape.answers[model], make_answer
        self.selections = {
            code: study.selections.get((model, code)) for code in shape.languages
        }  # none before the patches
        anatomy = SimpleNamespace(
            n_layers=shape.layers, n_heads=shape.heads, n_kv_heads=shape.heads, d_model=WIDTH,
            layers=[SimpleNamespace(attention=SimpleNamespace(heads=slice(0, shape.heads)))]
            * shape.layers,
            layout=Layout.even(shape.layers, shape.heads),
        )  # fmt: skip
        self.loaded = Model(
            anatomy=anatomy, rng=study.rng(model, language.code, "mechanism"),
            effect=shape.effect, spec=SimpleNamespace(name=model), device=torch.device("cpu"),
            classes=SimpleNamespace(stop=torch.tensor([2])), model=None,
            decode_text=lambda ids: " a" * len(ids), late_heads=[f"L{shape.layers - 1}H0"],
        )  # fmt: skip
        self.reading = Reading(list(shape.n_words), "whitespace", "2026-01-01")
        self.settings = generation(memory_gb=MEMORY)

    def material(self, answers: Sequence[Mapping], swaps: Sequence[int] = SWAPS) -> SwapMaterial:
        """The swaps of answers."""
        return SwapMaterial({swap: [self._swap(row, swap) for row in answers] for swap in swaps})

    def _swap(self, row: Mapping, swap: int) -> Swap | str:
        number = neighbour(row["n"], self.reading.n_words, swap)
        if number is None:
            return NO_NUMBER
        if not self.study.shape.swapped:
            return LENGTH
        step = min(number, row["n"])
        if row["words"] < step or len(row["tokens"]) <= step:
            return NO_READ_STEP
        prompt, answer = tuple(range(len(PROMPT))), tuple(row["tokens"][:step])
        numeral = PROMPT.index(NUMERAL)
        return Swap(swap, row["n"], number, prompt, prompt, answer, numeral)

    def roles(self, answers: Sequence[Mapping]) -> list[np.ndarray | str]:
        """The roles of prompts, or why there are none."""
        roles = np.array(PROMPT, dtype=np.int8)
        return [roles if self.study.shape.roles else "the template hides them" for _ in answers]

    def patching(self) -> xr.Dataset:
        plan = Plan(**SMALL["patching"].model_dump(), memory_gb=MEMORY)
        with self._without_models():
            return measure_patching(self.loaded, self.answers, self.material(self.answers), plan)

    def circuits(self) -> xr.Dataset:
        material = self.material(self.answers, (1,))
        measured = Texts(self.answers, material, self.language.code, "whitespace")
        plan = CircuitPlan(**CIRCUITS, orders=3, seed=0, memory_gb=MEMORY)
        with self._without_models():
            return measure_circuits(self.loaded, measured, self.selections, plan, BOOTSTRAP)

    def traces(self, circuits: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
        """Name and dataset of everything that follows N."""
        plan = stream.TracePlan(**SMALL["tracing"].model_dump(), memory_gb=MEMORY)
        loaded, answers, code = self.loaded, self.answers, self.language.code
        swaps, roles = self.material(answers, (1,)), self.roles(answers)
        selection = self.selections[code]
        with self._without_models():
            yield "tracing", stream.trace_streams(loaded, answers, swaps, roles, plan)
            material = (self._own_texts(), swaps, roles)
            heads = attention.circuit_heads(circuits, code)
            yield "attention", attention.measure_attention(loaded, answers, material, heads, plan)
            plan = paths.PathPlan(**SMALL["paths"].model_dump(), memory_gb=MEMORY)
            members = paths.circuit_members(circuits, selection, code, plan.most)
            yield "paths", paths.measure_paths(loaded, answers, (swaps, roles), members, plan)
            members = paths.circuit_members(circuits, selection, code, sys.maxsize)
            plan = contrasts.ContrastPlan(**SMALL["contrasts"].model_dump(), every=1, seed=0)
            options = plan, self.settings
            yield (
                "contrasts",
                contrasts.measure_contrasts(loaded, self.language, members, self.reading, options),
            )

    def count(self) -> xr.Dataset:
        steered = self.language.code == self.study.shape.languages[0]
        asked = CountTexts(self.language, self.answers, self.reading, self.settings, steered)
        plan = CountPlan(**COUNT, draws=2, seed=0, memory_gb=MEMORY)
        with self._without_models():
            return measure_count(self.loaded, asked, plan)

    def transplants(self, circuits: xr.Dataset, prompts: Sequence[Prompt]) -> xr.Dataset:
        """Of this model, the tuned one, and an untuned one of the same shape."""
        untuned = Model(**vars(self.loaded) | {"effect": 0.0})
        models = {"untuned": untuned, "tuned": self.loaded}
        both = Pair(**models, parts=Parts(self.loaded.anatomy), prompting="chat")
        numbers, settings = self.reading.n_words, self.settings
        material = Material(prompts, self.language, numbers, "whitespace", settings)
        circuit = smallest_circuit(circuits, self.language.code)
        with self._without_models():
            return measure_transplants(both, material, circuit, SMALL["transplant"])

    def _own_texts(self) -> list[tuple[int, ...] | None]:
        steps = [row["n"] if row["words"] >= row["n"] else None for row in self.answers]
        steps = [
            step if step is not None and step < len(row["tokens"]) else None
            for step, row in zip(steps, self.answers, strict=True)
        ]
        return [None if step is None else (0,) * (len(PROMPT) + step) for step in steps]

    def _crossed(self, answers: Sequence[Mapping]) -> Crossed:
        """Streams that tell words left, more or less."""
        rows = [
            (place, n, words, len(PROMPT) - 1 + words)
            for place, row in enumerate(answers)
            for n in self.reading.n_words
            for words in range(min(row["words"], n) + 1)
            if words < len(row["tokens"])
        ]
        text, n, words, position = np.array(rows, dtype=int).reshape(-1, 4).T
        layers = range(self.loaded.anatomy.n_layers + 1)
        streams = self.loaded.rng.normal(0, 1, (len(layers), len(text), WIDTH))
        streams += self.loaded.effect * (n - words)[None, :, None]
        return Crossed(text, n, words, position, streams, layers)

    def _streams(self, loaded, swap, roles, layers, memory_gb, directions=("noising", "denoising")):
        found = {}
        for name in directions:
            values = np.full((loaded.anatomy.n_layers, len(ROLES)), np.nan)
            filled = np.ix_(list(layers), np.unique(roles))
            values[filled] = loaded.rng.normal(loaded.effect / 2, 1, values[filled].shape)
            found[name] = values
        return Runs(loaded, swap), found

    def _atp(self, loaded, swaps, *settings) -> SimpleNamespace:
        a = loaded.anatomy
        size = (3, len(swaps), a.n_layers)
        return SimpleNamespace(
            head=loaded.rng.normal(0, 1, (*size, a.n_heads)), mlp=loaded.rng.normal(0, 1, size)
        )

    def _steered(self, loaded, requests, made, place, deltas, settings):
        size = (1 + made.labels.shape[1] * len(deltas), len(requests))
        return loaded.rng.integers(0, 9, size), loaded.rng.random(size) < 0.2

    def _answered(self, study: Any, *rest: Any) -> dict:
        """Answers of one hybrid."""
        rng, kind = self.loaded.rng, self.kind
        rows = [self.make_answer(prompt, kind, rng) for prompt in study.prompts]
        columns = {
            name: np.array([[float(row[name]) for row in rows]]).reshape(1, len(rows))
            for name in ("words", "stopped", "truncated")
        }
        return columns | {"answers": [row["tokens"] for row in rows]}

    def _changes(self, *models: Any) -> dict[str, xr.Variable]:
        a, rng = self.loaded.anatomy, self.loaded.rng
        return {
            "change_head": xr.Variable(("layer", "head"), rng.random((a.n_layers, a.n_heads))),
            "change_mlp": xr.Variable("layer", rng.random(a.n_layers)),
            "change_kind": xr.Variable("part", rng.random(len(parts.KINDS))),
        }

    @contextlib.contextmanager
    def _without_models(self) -> Iterator[None]:
        """Everything that would need a model, replaced."""
        stands: dict[str, dict[str, Any]] = {
            "patching.measure": {"SwapRuns": Runs, "attribute_swaps": self._atp},
            "circuits.measure": {"SwapRuns": Runs},
            "tracing.stream": {"trace_swap": self._streams},
            "tracing.attention": {"LastStep": Step},
            "tracing.paths": {"PathRuns": Runs, "network_of": lambda loaded: loaded},
            "tracing.contrasts": {
                "swap_material": lambda loaded, lang, rows, *rest: self.material(rows, (1,)),
                "answer_roles": lambda loaded, lang, rows, date: self.roles(rows),
                "greedy_answers": lambda loaded, prompts, *rest: [
                    self.make_answer(prompt, self.kind, loaded.rng) for prompt in prompts
                ],
            },
            "count.measure": {
                "crossed_streams": lambda loaded, lang, rows, *rest, **sizes: self._crossed(rows),
                "prompts_of": lambda loaded, lang, rows, date: rows,
                "steered_words": self._steered,
                "down_projection": lambda anatomy, layer: object(),
                "swap_material": lambda loaded, lang, rows, *rest: self.material(rows, (1,)),
                "attribute_neurons": lambda loaded, swaps, *rest: loaded.rng.normal(
                    0, 1, (len(swaps), NEURONS)
                ),
                "NeuronRuns": Runs,
            },
            "transplant.measure": {
                "weights_hash": lambda model: "0",
                "present": lambda hybrids, pair: (list(hybrids), []),
                "ConditionSets": lambda *settings: None,
                "tokenized": lambda loaded, sentences: [[0] * 8 for _ in sentences],
                "answer_prompts": self._answered,
                "score_sentences": lambda study, sets, texts: (
                    -self.loaded.rng.gamma(20, 1, (1, len(texts)))
                ),
                "FixedTexts": FixedTexts,
                "transplanted": lambda *pieces: contextlib.nullcontext(),
                "weight_changes": self._changes,
                "Across": Across,
            },
        }
        with contextlib.ExitStack() as during:
            for module, names in stands.items():
                for name, stand in names.items():
                    during.enter_context(patch(f"lengthlens.{module}.{name}", stand))
            yield
