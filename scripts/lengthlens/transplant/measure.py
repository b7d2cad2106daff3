"""Everything that transplants measure on a pair: `transplant/{untuned}--{tuned}.{language}.nc`.

1. The tuned model answers the `evaluate` prompts: the text on which all hybrids are compared.
2. Every hybrid answers the same prompts and scores neutral sentences; on the fixed text its end
   margin and its N effect are read.
3. Component outputs of the tuned model in the untuned model's run (`across`), and how far tuning
   moved every component's weights (`changes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from jaxtyping import Float
from tqdm import tqdm

from lengthlens.ablation.ablate import AblationStudy, answer_prompts, score_sentences, tokenized
from lengthlens.ablation.condition_sets import ConditionSets
from lengthlens.ablation.conditions import Condition
from lengthlens.errors import LengthlensError
from lengthlens.files.netcdf import tell_meanings
from lengthlens.generation.rows import drawn_of_each
from lengthlens.language.languages import Language
from lengthlens.language.prompts import Prompt
from lengthlens.settings.sections import Generation, Transplant
from lengthlens.transplant.across import Across
from lengthlens.transplant.changes import weight_changes
from lengthlens.transplant.pair import Pair
from lengthlens.transplant.parts import KINDS, Piece, differing
from lengthlens.transplant.plan import NONE, Hybrid, plan_hybrids
from lengthlens.transplant.swap import transplanted, weights_hash
from lengthlens.transplant.texts import FixedTexts

MEASURED = ("words", "stopped", "truncated", "end_margin", "n_effect")
LABELS = ("into", "what", "layers", "components", "kv", "scale", "draw", "control", "answered")
ATTRIBUTES = {
    "words": "words of the answer [words]",
    "error": "words minus N [words]",
    "stopped": "1 if the answer ended by itself",
    "truncated": "1 if it was cut at the token limit",
    "end_margin": "end margin at the decision step of the tuned model's answer [logits]",
    "n_effect": "its fall under the next larger number, of the same two tokens [logits]",
    "sentence_loglik": "log-likelihood of a neutral sentence after its first token [nats]",
    "sentence_tokens": "tokens of it that are scored",
    "neutral_loglik": "the same of all neutral sentences, a token [nats]",
    "across_margin": "change of the untuned model's end margin by a component of the tuned one "
    "[logits]",
    "across_n": "the same of the N effect [logits]",
    "change": "relative change of the weights by tuning",
}


@dataclass(frozen=True)
class Material:
    """What hybrids are asked.

    Attributes:
        prompts: `evaluate` prompts.
        language: of them, with its neutral sentences.
        n_words: the numbers that the study asks for.
        counting: the counting convention.
        settings: how to generate (greedily).
    """

    prompts: Sequence[Prompt]
    language: Language
    n_words: Sequence[int]
    counting: str
    settings: Generation


def measure_transplants(
    pair: Pair, material: Material, circuit: Sequence[str], plan: Transplant
) -> xr.Dataset:
    """The dataset of a transplant file (docs/files.md), samples in the order of the prompts.

    Args:
        pair: both models, in float32 or better; their weights are afterwards what they were.
        material: prompts and how they are answered.
        circuit: components of the tuned model's smallest circuit; may be empty.
        plan: which hybrids.

    Raises:
        LengthlensError: a weight is not what it was, which would be a fault of this program.
    """
    before = [weights_hash(loaded.model) for loaded in (pair.untuned, pair.tuned)]
    parts = pair.parts
    hybrids, absent = present(plan_hybrids(parts, circuit, plan), pair)
    bench = _Bench(pair, material)
    label = f"{pair.untuned.spec.name}--{pair.tuned.spec.name} {material.language.code}"
    rows = [
        bench.measure(hybrid)
        for hybrid in tqdm(hybrids, desc=label, unit="hybrid", delay=2, mininterval=1)
    ]
    dataset = bench.dataset(hybrids, rows).assign(
        weight_changes(parts, pair.untuned.model, pair.tuned.model)
    )
    across = Across(pair, bench.texts, material.settings.memory_gb)
    used = drawn_of_each(bench.rows, plan.across_per_n, plan.seed)
    found = _by_component(across, across.measure(used))
    dataset = dataset.assign(found.data_vars).assign_coords(part=list(KINDS))
    tell_meanings(dataset, ATTRIBUTES)
    after = [weights_hash(loaded.model) for loaded in (pair.untuned, pair.tuned)]
    if after != before:
        raise LengthlensError(f"{label}: the weights after the sweep are not those before it")
    reasons = [parts.why_no_heads()] if circuit else ["the tuned model has no faithful circuit"]
    return dataset.assign_attrs(
        absent="; ".join(absent), no_heads="; ".join(filter(None, reasons)), weights=";".join(after)
    )


def present(hybrids: Sequence[Hybrid], pair: Pair) -> tuple[list[Hybrid], list[str]]:
    """The hybrids without what does not differ, and the parts that do not differ at all."""
    pieces = list(dict.fromkeys(piece for hybrid in hybrids for piece in hybrid.pieces))
    changed: set[Piece] = set(differing(pieces, pair.untuned.model, pair.tuned.model))
    kept, absent = [], {}
    for hybrid in hybrids:
        pieces = tuple(piece for piece in hybrid.pieces if piece in changed)
        if pieces or hybrid.what == NONE:
            kept.append(replace(hybrid, pieces=pieces))
        else:
            absent[hybrid.label] = None
    return kept, list(absent)


class _Bench:
    """One set of prompts and texts, on which one hybrid after the other is measured."""

    def __init__(self, pair: Pair, material: Material) -> None:
        self.pair, self.material, self._parts = pair, material, pair.parts
        anatomy = pair.untuned.anatomy
        self._sets = ConditionSets([Condition()], anatomy, pair.untuned.device, None)
        self._sentences = tokenized(pair.tuned, material.language.neutral)
        own = self._study("tuned")
        self._first = answer_prompts(own, self._sets, None, tqdm(disable=True))
        self.texts = FixedTexts(
            own, self._first["answers"], material.language, material.n_words,
            material.settings.memory_gb,
        )  # fmt: skip
        self.rows = self.texts.rows

    def _study(self, into: str) -> AblationStudy:
        m = self.material
        return AblationStudy(self.pair.into(into)[0], m.prompts, m.settings, m.counting)

    def measure(self, hybrid: Hybrid) -> dict[str, np.ndarray]:
        """One row of every variable."""
        loaded, donor = self.pair.into(hybrid.into)
        study, empty = self._study(hybrid.into), np.full(len(self.rows), np.nan)
        with transplanted(loaded.model, donor, hybrid.pieces, hybrid.scale):
            answered = dict.fromkeys(("words", "stopped", "truncated"), empty[None])
            if (hybrid.what, hybrid.into) == (NONE, "tuned"):
                answered = self._first
            elif hybrid.answered:
                answered = answer_prompts(study, self._sets, None, tqdm(disable=True))
            end, effect = self.texts.margins(loaded, self._parts.first_layer(hybrid.pieces))
            logliks = score_sentences(study, self._sets, self._sentences)[0]
        row = {name: answered[name][0] for name in ("words", "stopped", "truncated")}
        return row | {"end_margin": end, "n_effect": effect, "sentence_loglik": logliks}

    def dataset(self, hybrids: Sequence[Hybrid], rows: Sequence[dict]) -> xr.Dataset:
        """All rows, labelled."""
        dims = ("condition", "sample")
        data = {name: (dims, np.stack([row[name] for row in rows])) for name in MEASURED}
        n = np.array([prompt.n for prompt in self.material.prompts])
        data["error"] = (dims, data["words"][1] - n)
        logliks = np.stack([row["sentence_loglik"] for row in rows])
        tokens = np.array([len(text) - 1 for text in self._sentences], dtype=int)
        data["sentence_loglik"] = (("condition", "sentence"), logliks)
        data["sentence_tokens"] = (("sentence",), tokens)
        whole = logliks.sum(1) / tokens.sum() if len(tokens) else np.full(len(rows), np.nan)
        data["neutral_loglik"] = (("condition",), whole)
        labels = {name: ("condition", [getattr(h, name) for h in hybrids]) for name in LABELS}
        labels["prompting"] = ("condition", [self.pair.prompting] * len(hybrids))
        names = ("sample_id", "n", "topic", "template", "split")
        samples = {name: ("sample", [row[name] for row in self.rows]) for name in names}
        return xr.Dataset(data, coords=labels | samples)


def _by_component(
    across: Across, found: Sequence[Float[np.ndarray, "sample component"]]
) -> xr.Dataset:
    """Patches across the models, by layer and head, and by layer; NaN for what layers lack."""
    a, data = across.pair.untuned.anatomy, {}
    n_heads = a.n_layers * across.n_heads
    for name, values in zip(("across_margin", "across_n"), found, strict=True):
        heads = np.full((len(values), a.n_layers, a.n_heads), np.nan)
        if across.n_heads:
            heads = values[:, :n_heads].reshape(heads.shape)
        data[f"{name}_head"] = (("sample", "layer", "head"), heads)
        data[f"{name}_mlp"] = (("sample", "layer"), values[:, n_heads:])
    return a.layout.blanked(xr.Dataset(data))
