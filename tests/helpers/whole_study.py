"""Whole studies made by hand: every file that the analysis reads, written without any model.

A `Shape` says what there is: models, languages, N, prompts, and how each model answers. The numbers
are random; what is fixed is the form, so that any corner (one row, no decision step, every answer
cut or empty) can be put through the analysis, the claims, the figures and the report
(`whole_analysis`). What says how a model keeps to N is put together by `whole_mechanism`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from whole_mechanism import SMALL, Mechanism

from lengthlens.ablation.ablate import CONDITION_LABELS
from lengthlens.ablation.hypotheses import read_hypotheses
from lengthlens.ablation.repair import TERMS, repaired_conditions
from lengthlens.ablation.selection import select_components, with_forced
from lengthlens.ablation.sweep import plan_sweep
from lengthlens.attribution.dla import TARGETS
from lengthlens.configuration.pairs import model_pairs
from lengthlens.files import formats, netcdf
from lengthlens.files.integrity import sealed
from lengthlens.files.jsonl import write_rows
from lengthlens.files.provenance import provenance
from lengthlens.files.tables import write_table
from lengthlens.generation.swaps import SWAPS, neighbour
from lengthlens.language.prompts import Prompt, build_prompts, load_language, spread_over_n
from lengthlens.models.layout import Layout
from lengthlens.settings.sections import AblationPlan

ROOT = Path(__file__).parents[2]
LIMIT = 24  # tokens at which an answer is cut
ANSWERS = ("exact", "near", "long", "cut", "cut at N", "empty", "cut empty", "one word", "mixed")
DIMS = {"head": ("layer", "head"), "mlp": ("layer",), "embed": (), "bias": ()}
WORDS = ("the", "old", "harbour", "keeps", "l'isola", "a", "lamp", "burning", "tonight", "still")


@dataclass(frozen=True)
class Shape:
    """What a study consists of.

    Attributes:
        models: name -> variant.
        answers: name of a model -> how it answers, one of ANSWERS.
        languages, n_words, per_n: as in the configuration.
        one_topic: all prompts are about one topic.
        layers, heads: of every model.
        probed: further languages; beyond: N beyond those of the study.
        swapped: whether any prompt has a legal swap of its number.
        roles: whether the roles of prompts' tokens can be had.
        effect: of N on margins, on average. [logits]
        series: whether the models are steps of one tuning.
        seed: of the random numbers.
    """

    models: Mapping[str, str] = field(default_factory=lambda: {"b": "base", "i": "instruct"})
    answers: Mapping[str, str] = field(default_factory=lambda: {"b": "long", "i": "near"})
    languages: tuple[str, ...] = ("en", "it")
    n_words: tuple[int, ...] = (3, 5)
    per_n: int = 4
    one_topic: bool = False
    layers: int = 3
    heads: int = 2
    probed: tuple[str, ...] = ()
    beyond: tuple[int, ...] = (10,)
    swapped: bool = True
    roles: bool = True
    effect: float = 3.0
    series: bool = False
    seed: int = 0

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every model with every language."""
        return [(model, language) for model in self.models for language in self.languages]

    @property
    def tunings(self) -> dict[str, str]:
        """Every model -> untuned or tuned."""
        pairs = model_pairs(self.models, [])
        return {model: tuning for pair in pairs for tuning, model in pair.items()}

    @property
    def tuned_pairs(self) -> list[tuple[str, str]]:
        """Every tuned model with every language."""
        return [pair for pair in self.pairs if self.tunings[pair[0]] == "tuned"]

    @property
    def transplanted(self) -> list[tuple[str, str, str]]:
        """Untuned and tuned model of every whole pair, with every language."""
        whole = [pair for pair in model_pairs(self.models, []) if len(pair) == 2]
        return [(p["untuned"], p["tuned"], code) for p in whole for code in self.languages]

    @property
    def steps(self) -> dict[str, tuple[str, int]]:
        """Every model of a series -> its series and step."""
        return {name: ("tuning", i) for i, name in enumerate(self.models) if self.series}

    @property
    def probed_pairs(self) -> list[tuple[str, str]]:
        """The same with the languages that are only probed."""
        languages = dict.fromkeys((*self.languages, *self.probed))
        return [(model, language) for model in self.models for language in languages]


def language_file(code: str) -> Path:
    """The project's own file of a language."""
    return ROOT / f"resources/languages/{code}.yaml"


class Study:
    """The files of a shape below a folder."""

    def __init__(self, shape: Shape, folder: Path) -> None:
        self.shape, self.folder = shape, folder
        self.config = {
            "counting": "whitespace",
            "counted": "whole",
            "prompts": {"per_n": shape.per_n, "seed": 0},
            "n_words": list(shape.n_words),
            "generation": {"max_new_tokens": LIMIT},
        }
        self.answers: dict[tuple[str, str], list[dict]] = {}
        self.attributions: dict[tuple[str, str], xr.Dataset] = {}
        self.forced: dict[tuple[str, str], xr.Dataset] = {}
        self.patching: dict[tuple[str, str], xr.Dataset] = {}
        self.selections: dict[tuple[str, str], pd.DataFrame] = {}

    def below(self, name: str) -> str:
        return str(self.folder / name)

    def made(self, schema: str, model: str | None = None) -> dict:
        """A provenance, of a model whose weights are its name."""
        manifest = {"model": model, "source": model, "sha256": f"{zlib.crc32(str(model).encode())}"}
        return provenance(schema, self.config, None if model is None else manifest)

    def write(self) -> None:
        """Write all files that the analysis reads."""
        for language in self.shape.languages:
            rows = [vars(prompt) for prompt in self.prompts(language)]
            path = self.below(f"prompts/{language}.jsonl")
            write_rows(rows, path, self.made(formats.PROMPTS))
        for model in self.shape.models:
            self._proof(model)
        every, tuned = self.shape.pairs, self.shape.tuned_pairs
        for steps, pairs in {
            self._answers: every,
            self._tokens: every,
            self._attribution: every,
            self._forced: every,
            self._patching: tuned,
            self._selection: every,
            self._ablation: every,
            self._mechanism: tuned,
        }.items():
            for model, language in pairs:
                steps(model, language)
        for model, language in self.shape.probed_pairs:
            self._probes(model, language)

    def prompts(self, language: str, n_words: tuple[int, ...] = ()) -> list[Prompt]:
        """The prompts of a language; about one topic where the shape says so."""
        shape, read = self.shape, load_language(language_file(language))
        prompts = [
            prompt
            for n in n_words or shape.n_words
            for prompt in build_prompts(read, n, 0, shape.per_n, 0)
        ]
        if not shape.one_topic:
            return prompts
        first = prompts[0]
        about = {"topic": first.topic, "split": first.split}
        return [Prompt(**vars(prompt) | about) for prompt in prompts]

    def rng(self, *names: str) -> np.random.Generator:
        return np.random.default_rng(
            [self.shape.seed, *map(lambda n: zlib.crc32(n.encode()), names)]
        )

    def _answers(self, model: str, language: str) -> None:
        rng = self.rng(model, language)
        kind = self.shape.answers[model]
        self.answers[model, language] = [
            make_answer(prompt, kind, rng) for prompt in self.prompts(language)
        ]
        path = self.below(f"generations/{model}.{language}.jsonl")
        write_rows(self.answers[model, language], path, self.made(formats.GENERATIONS, model))

    def _tokens(self, model: str, language: str) -> None:
        rows = [pushes(answer) for answer in self.answers[model, language]]
        path = self.below(f"tokens/{model}.{language}.jsonl")
        write_rows(rows, path, self.made(formats.TOKENS, model))

    def labels(self, rows: list[dict]) -> dict:
        """The coordinates of samples."""
        names = ("sample_id", "n", "topic", "template", "split")
        names += ("words", "error", "stopped", "truncated")
        return {name: ("sample", [row[name] for row in rows]) for name in names}

    def places(self) -> dict:
        return {"layer": np.arange(self.shape.layers), "head": np.arange(self.shape.heads)}

    def size(self, kind: str) -> tuple[int, ...]:
        """The shape of the components of a kind."""
        return {"head": (self.shape.layers, self.shape.heads), "mlp": (self.shape.layers,)}.get(
            kind, ()
        )

    def sums(self, rows: list[dict], rng: np.random.Generator) -> dict:
        """The variables of an attribution file that are sums over steps."""
        plus = np.array([sum(sign > 0 for sign in signs(row)) for row in rows])
        minus = np.array([sum(sign < 0 for sign in signs(row)) for row in rows])
        data: dict = {}
        undecided = [decision(row) is None for row in rows]
        for kind, dims in DIMS.items():
            size = (len(TARGETS), len(rows), *self.size(kind))
            wide = (slice(None), *(None,) * len(self.size(kind)))
            up, down = (
                rng.normal(sign, 1, size) * count[wide] for sign, count in ((1, plus), (-1, minus))
            )
            over = ("target", "sample", *dims)
            mixed = ((plus > 0) & (minus > 0))[wide]
            data |= {
                f"cwa_{kind}": (over, up + down),
                f"cwa_{kind}_plus": (over, up),
                f"cwa_{kind}_minus": (over, down),
                f"null_variance_{kind}": (over, mixed * rng.random(size)),
            }
            contrast = rng.normal(0, 1, size[1:])
            contrast[[decision(row) in (None, 0) for row in rows]] = np.nan
            data[f"end_contrast_{kind}"] = (over[1:], contrast)
            margin = rng.normal(0, 1, size[1:])
            margin[undecided] = np.nan
            data[f"decision_{kind}"] = (over[1:], margin)
        layers = (len(TARGETS), len(rows), self.shape.layers)
        mixed = ((plus > 0) & (minus > 0))[None, :, None]
        data["null_variance_head_layer"] = (
            ("target", "sample", "layer"),
            mixed * rng.random(layers),
        )
        counts = {"n_steps": plus + minus, "n_negative": minus, "n_thinking": 0 * plus}
        counts |= {"n_boundary": plus + minus, "n_boundary_negative": minus}
        return data | {name: (("sample",), value) for name, value in counts.items()}

    def _attribution(self, model: str, language: str) -> None:
        rows, rng = self.answers[model, language], self.rng(model, language, "attribution")
        data = self.sums(rows, rng)
        data |= {name: (("sample",), rng.random(len(rows))) for name in ("logit_scale",)}
        data["completeness_error"] = (("sample",), 1e-6 * rng.random(len(rows)))
        for kind in ("head", "mlp"):
            norms = rng.random((len(rows), *self.size(kind)))
            data[f"norm_{kind}"] = (("sample", *DIMS[kind]), norms)
        labels = self.labels(rows) | self.places() | {"target": list(TARGETS)}
        self.attributions[model, language] = dataset = xr.Dataset(data, coords=labels)
        path = self.below(f"attribution/{model}.{language}.nc")
        netcdf.write_dataset(dataset, path, self.made(formats.ATTRIBUTION, model))

    def _partner(self, model: str) -> str | None:
        """The other model of a pair."""
        pair = next(p for p in model_pairs(self.shape.models, []) if model in p.values())
        return next((name for name in pair.values() if name != model), None)

    def _forced(self, model: str, language: str) -> None:
        rows, rng = self.answers[model, language], self.rng(model, language, "forced")
        known = np.array([decision(row) is not None for row in rows], dtype=bool)
        numbers = np.array(
            [[neighbour(row["n"], self.shape.n_words, swap) or 0 for row in rows] for swap in SWAPS]
        ).reshape(len(SWAPS), len(rows))
        swapped = known[None] & (numbers > 0) & self.shape.swapped
        data: dict = {}
        for kind, dims in DIMS.items():
            values = rng.normal(0, 1, (2, len(rows), *self.size(kind)))
            values[~swapped] = np.nan
            data[f"nswap_{kind}"] = (("swap", "sample", *dims), values)
        margin = sum(data[f"nswap_{kind}"][1].reshape(2, len(rows), -1).sum(-1) for kind in DIMS)
        over = ("swap", "sample")
        data["nswap_margin"] = (over, margin + 4)
        data["nswap_completeness_error"] = (over, 0 * margin)
        before = np.array([decision(row) not in (None, 0) for row in rows], dtype=bool)
        for name, there in (("margin", known), ("margin_before", before)):
            data[name] = (("sample",), np.where(there, rng.normal(0, 1, len(rows)), np.nan))
        for name, there in (("effect", known), ("effect_before", before)):
            for kind in ("head", "mlp"):
                values = rng.normal(0, 1, (1, len(rows), *self.size(kind)))
                values[:, ~there] = np.nan
                data[f"{name}_{kind}"] = (("mode", "sample", *DIMS[kind]), values)
        said = {"other_model": "", "other_absent": "the model has no partner"}
        if partner := self._partner(model):
            other = self.sums(self.answers[partner, language], rng)
            data |= {f"other_{name}": value for name, value in other.items()}
            said = {"other_model": partner, "other_absent": ""}
        labels = self.labels(rows) | self.places()
        labels |= {"target": list(TARGETS), "swap": list(SWAPS), "mode": ["zero"]}
        reasons = np.where(numbers == 0, "outside", np.where(swapped, "", "step")).astype("U8")
        labels |= {"n_swapped": (over, numbers), "nswap_reason": (over, reasons)}
        labels["nswap_longer"] = (over, np.where(numbers == 0, np.nan, 0.0))
        said["n_kv_heads"] = self.shape.heads
        self.forced[model, language] = dataset = xr.Dataset(data, coords=labels, attrs=said)
        path = self.below(f"forced/{model}.{language}.nc")
        netcdf.write_dataset(dataset, path, self.made(formats.FORCED, model))

    def _selection(self, model: str, language: str) -> None:
        pair = model, language
        table = select_components(
            with_forced(self.attributions[pair], self.forced[pair], self.patching.get(pair))
        )
        self.selections[pair] = table
        path = self.below(f"selection/{model}.{language}.csv")
        write_table(table, path, self.made(formats.SELECTION, model))

    def _proof(self, model: str) -> None:
        use = {
            "prompt_form": "plain text", "template": {}, "stop_tokens": ["</s>"],
            "added_stop_token": None, "thinking": None, "passed_over": {}, "notes": [],
        }  # fmt: skip
        made = self.made(formats.PROOF, model)
        text = json.dumps(sealed({"use": use, "provenance": made}))
        path = Path(self.below(f"proofs/{model}.json"))
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def mechanism(self, model: str, language: str) -> Mechanism:
        """What measures the mechanism of a model in a language."""
        return Mechanism(self, model, load_language(language_file(language)), make_answer)

    def _patching(self, model: str, language: str) -> None:
        found = self.patching[model, language] = self.mechanism(model, language).patching()
        path = self.below(f"patching/{model}.{language}.nc")
        netcdf.write_dataset(found, path, self.made(formats.PATCHING, model))

    def _mechanism(self, model: str, language: str) -> None:
        measuring, name = self.mechanism(model, language), f"{model}.{language}.nc"
        circuits = measuring.circuits()
        made = {"circuits": circuits, "count": measuring.count()}
        made |= dict(measuring.traces(circuits))
        for kind, dataset in made.items():
            schema = getattr(formats, kind.upper())
            netcdf.write_dataset(dataset, self.below(f"{kind}/{name}"), self.made(schema, model))
        if (partner := self._partner(model)) is not None:
            plan = SMALL["transplant"]
            prompts = [p for p in self.prompts(language) if p.split == "evaluate"]
            prompts = spread_over_n(prompts, plan.per_n * len(self.shape.n_words), plan.seed)
            both = self.made(formats.TRANSPLANT)
            manifests = [self.made(formats.TRANSPLANT, one)["model"] for one in (partner, model)]
            both["models"] = {one["model"]: one["sha256"] for one in manifests}
            path = self.below(f"transplant/{partner}--{name}")
            netcdf.write_dataset(measuring.transplants(circuits, prompts), path, both)

    def _ablation(self, model: str, language: str) -> None:
        shape, rng = self.shape, self.rng(model, language, "ablation")
        plan = AblationPlan(
            k=(1, 2), further_k=(2,), methods=("cwa", "end_contrast", "nswap", "effect"),
            modes=("zero", "mean"), positions="generated", controls=3, test_controls=3,
            answered_controls=2, further_controls=2, seed=0,
        )  # fmt: skip
        rankings = {code: self.selections[model, code] for code in shape.languages}
        tests = read_hypotheses(ROOT / "resources/claims.yaml")
        mine = (shape.tunings[model], language)
        tests = [one for one in tests if one.test == "set" and (one.tuning, one.language) == mine]
        conditions = plan_sweep(
            rankings, Layout.even(shape.layers, shape.heads), plan, language, tests
        )
        rows = [row for row in self.answers[model, language] if row["split"] == "evaluate"]
        size = (len(conditions), len(rows))
        answered = np.array([c.answered for c in conditions], dtype=bool)
        words = np.array([row["words"] for row in rows], dtype=float) + rng.integers(-1, 2, size)
        words[0] = [row["words"] for row in rows]
        words = np.where(answered[:, None], np.maximum(words, 0), np.nan)
        cut = np.where(answered[:, None], [float(row["truncated"]) for row in rows], np.nan)
        margin = rng.normal(2, 1, size)
        margin[:, [decision(row) is None for row in rows]] = np.nan
        neutral = np.where(
            [[c.neutral] for c in conditions], -20 - rng.random((size[0], 4)), np.nan
        )
        dims = ("condition", "sample")
        data = {
            "words": (dims, words),
            "error": (dims, words - np.array([row["n"] for row in rows], dtype=float)),
            "stopped": (dims, 1 - cut),
            "truncated": (dims, cut),
            "end_margin": (dims, margin),
            "sentence_loglik": (("condition", "sentence"), neutral),
            "sentence_tokens": (("sentence",), np.array([7, 8, 9, 10])),
            "neutral_loglik": (("condition",), neutral.sum(axis=1) / 34),
        }
        made = self.made(formats.ABLATION, model)
        path = self.below(f"ablation/{model}.{language}.nc")
        netcdf.write_dataset(xr.Dataset(data, coords=coordinates(conditions, rows)), path, made)
        self._repair(model, language, repaired_conditions(conditions), rows)

    def _repair(self, model: str, language: str, conditions: list, rows: list[dict]) -> None:
        rng, grid = self.rng(model, language, "repair"), (len(conditions), len(rows))
        unknown = [decision(row) is None for row in rows]
        data: dict = {}
        for name, dims in {
            **dict.fromkeys(TERMS, ()),
            "share_head": DIMS["head"],
            "share_mlp": DIMS["mlp"],
        }.items():
            values = rng.normal(0, 1, (*grid, *self.size(name.removeprefix("share_"))))
            values[:, unknown] = np.nan
            data[name] = (("condition", "sample", *dims), values)
        for kind in ("head", "mlp"):
            gone = np.zeros((grid[0], *self.size(kind)), dtype=bool)
            for row, condition in enumerate(conditions):
                for place in condition.heads if kind == "head" else condition.mlps:
                    gone[row][place] = True
            data[f"removed_{kind}"] = (("condition", *DIMS[kind]), gone)
        path = self.below(f"repair/{model}.{language}.nc")
        dataset = xr.Dataset(data, coords=coordinates(conditions, rows))
        netcdf.write_dataset(dataset, path, self.made(formats.REPAIR, model))

    def _probes(self, model: str, language: str) -> None:
        rng, kind = self.rng(model, language, "probes"), self.shape.answers[model]
        if (model, language) in self.answers:
            free = self.answers[model, language]
        else:
            free = [make_answer(prompt, kind, rng) for prompt in self.prompts(language)]
        rows = [spelled(row, "free", rng) for row in free]
        for prompt in self.prompts(language):
            rows.append(spelled(make_answer(prompt, kind, rng), "aligned", rng))
        beyond = tuple(n for n in self.shape.beyond if n not in self.shape.n_words)
        for prompt in self.prompts(language, beyond) if beyond else ():
            rows.append(spelled(make_answer(prompt, kind, rng), "extrapolation", rng))
        path = self.below(f"probes/{model}.{language}.jsonl")
        write_rows(rows, path, self.made(formats.PROBES, model))


def make_answer(prompt: Prompt, kind: str, rng: np.random.Generator) -> dict:
    """A row of a generations file."""
    if kind == "mixed":
        kind = str(rng.choice([name for name in ANSWERS if name != "mixed"]))
    count, cut = {
        "exact": (prompt.n, False),
        "near": (max(prompt.n + int(rng.integers(-1, 2)), 0), False),
        "long": (prompt.n + int(rng.integers(2, 9)), False),
        "cut": (LIMIT, True),
        "cut at N": (prompt.n, True),
        "empty": (0, False),
        "cut empty": (0, True),
        "one word": (1, False),
    }[kind]
    words = [str(rng.choice(WORDS)) for _ in range(count)]
    pieces = [word if place == 0 else f" {word}" for place, word in enumerate(words)]
    pieces += ["\n"] * (LIMIT - count if cut else 0)
    tokens = [*range(5, 5 + len(pieces)), *([] if cut else [2])]
    names = ("language", "n", "topic", "template", "split")
    return {
        "sample_id": f"{prompt.id}#0",
        "prompt_id": prompt.id,
        **{name: getattr(prompt, name) for name in names},
        "text": "".join(pieces),
        "tokens": tokens,
        "words": count,
        "error": count - prompt.n,
        "stopped": not cut,
        "truncated": cut,
        "thinking_tokens": 0,
        "cut_thinking": False,
    }


def decision(row: Mapping) -> int | None:
    """The step before which the answer first has N words: every step is a boundary step."""
    return row["n"] if row["n"] < len(row["tokens"]) and row["words"] >= row["n"] else None


def signs(row: Mapping) -> list[int]:
    """The adherence sign of every step."""
    words = [min(step + 1, row["words"]) for step in range(len(row["tokens"]))]
    found = [1 if count <= row["n"] else -1 for count in words]
    if row["stopped"]:
        found[-1] = 1 if row["words"] == row["n"] else -1
    return found


def pushes(row: Mapping) -> dict:
    """A row of a tokens file."""
    steps, words = len(row["tokens"]), row["text"].split()
    texts = [word if place == 0 else f" {word}" for place, word in enumerate(words)]
    texts += ["\n"] * (steps - len(texts) - row["stopped"]) + [""] * row["stopped"]
    return {
        "sample_id": row["sample_id"],
        "token": row["tokens"],
        "text": texts,
        "sign": signs(row),
        "words": [min(step + 1, len(words)) for step in range(steps)],
        "decision": decision(row),
        "margin": [0.5] * steps,
        "ender": [3] * steps,
        "ender_text": ["."] * steps,
        "word": [4] * steps,
        "word_text": [" the"] * steps,
        "to_end": [[["L0M", 1.5], ["L1H0", 0.25]]] * steps,
        "to_go_on": [[["L0H1", -1.25]]] * steps,
        "dla_head": [0.5] * steps,
        "dla_mlp": [2.0] * steps,
        "dla_embed": [-0.25] * steps,
        "dla_bias": [0.0] * steps,
    }


def spelled(row: Mapping, probe: str, rng: np.random.Generator) -> dict:
    """A row of a probes file."""
    worded = row["words"] > 0
    found = {
        **row,
        "probe": probe,
        "tokens_per_word": 1 + float(rng.integers(0, 3)) / 2 if worded else None,
        "one_token": float(rng.integers(0, 2)) if worded else None,
    }
    if probe == "aligned":
        degenerate = "" if worded else "empty"
        found |= {"cost": 0.5, "changed": 0.25, "degenerate": degenerate}
        found |= {"lexicon_words": 40, "lexicon_whole": 25}
    return found


def coordinates(conditions: list, rows: list[dict]) -> dict:
    """The coordinates of an ablation or repair file."""
    labels = {name: [getattr(c, name) for c in conditions] for name in CONDITION_LABELS}
    labels["control"] = [c.draw > 0 for c in conditions]
    labels["answered"] = [c.answered for c in conditions]
    names = ("sample_id", "n", "topic", "template", "split")
    samples = {name: np.array([row[name] for row in rows], dtype=object) for name in names}
    samples |= {"n": np.array([row["n"] for row in rows], dtype=int)}
    samples["donor"] = np.array([""] * len(rows), dtype=object)
    return {name: ("condition", values) for name, values in labels.items()} | {
        name: ("sample", values) for name, values in samples.items()
    }
