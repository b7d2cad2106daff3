"""The configuration of a study: validated as a whole, then read by attribute.

Light on purpose: the Snakefile imports this module in every job, so it needs nothing but the
standard library, PyYAML and jsonschema.

In the Snakefile::

    given = copy.deepcopy(config)          # what --configfile, --config and profiles said
    configfile: "config.yaml"              # Snakemake deep-merges the defaults below it
    study = Study.from_config(config, given, root=Path(workflow.basedir))

`given` is needed because of that deep merge: a user's `models` would otherwise be added to the
default ones instead of replacing them (`restore_models`).
"""

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lengthlens.configuration.checks import cross_problems, resample_possible
from lengthlens.errors import LengthlensError
from lengthlens.files.validation import Problem, in_schema_order, plain_copy, schema_problems
from lengthlens.files.yaml_files import read_yaml

SCHEMA_FILE = "schemas/config.schema.json"


class ConfigurationError(LengthlensError):
    """Lists everything that is wrong with a configuration.

    Attributes:
        problems: one text a problem: the key's path, the value, what is legal, a suggestion.
    """

    def __init__(self, problems: Iterable[Problem]):
        self.problems = [str(problem) for problem in problems]
        count = "a problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        listed = (text.replace("\n", "\n    ") for text in self.problems)
        lines = [f"The configuration has {count}:", *(f"  - {text}" for text in listed)]
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Model:
    """A checkpoint: either a folder `path` or a hub id `hub` with its `revision`."""

    name: str
    variant: str
    path: str | None = None
    hub: str | None = None
    revision: str | None = None
    stop_tokens: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class Prompts:
    per_n: int
    shard: int
    seed: int


@dataclass(frozen=True)
class Generation:
    max_new_tokens: int
    batch_size: int | str
    memory_gb: int | float
    dtype: str
    device: str
    threads: int
    seed: int
    temperature: int | float
    top_p: int | float
    samples: int
    date: str


@dataclass(frozen=True)
class Jobs:
    shards: str


@dataclass(frozen=True)
class Activations:
    keep: bool | str
    precision: str


@dataclass(frozen=True)
class Statistics:
    level: int | float
    resamples: int
    seed: int


@dataclass(frozen=True)
class ForcedAnswers:
    per_n: int
    modes: tuple[str, ...]
    exhaustive: int


@dataclass(frozen=True)
class Patching:
    per_n: int
    further_per_n: int
    atp_per_n: int
    swaps: tuple[int, ...]
    positions: tuple[str, ...]
    directions: tuple[str, ...]
    integrated_steps: int
    exhaustive: int
    best: int
    random: int
    seed: int


@dataclass(frozen=True)
class Circuits:
    per_n: int
    methods: tuple[str, ...]
    sizes: tuple[float, ...]
    faithful: float
    orders: int
    seed: int


@dataclass(frozen=True)
class Tracing:
    per_n: int
    swaps: tuple[int, ...]
    every: int


@dataclass(frozen=True)
class Ablation:
    k: tuple[int, ...]
    further_k: tuple[int, ...]
    methods: tuple[str, ...]
    modes: tuple[str, ...]
    positions: str
    controls: int
    answered_controls: int
    further_controls: int
    base_controls: int
    base_prompts: int
    max_new_tokens: int | str
    untuned: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Probes:
    languages: tuple[str, ...]
    n_words: tuple[int, ...]
    per_n: int


@dataclass(frozen=True)
class Figures:
    formats: tuple[str, ...]
    dpi: int


@dataclass(frozen=True)
class Report:
    title: str
    answers: int


@dataclass(frozen=True)
class Shard:
    """The prompts [start, stop) of one language and N that one generation job answers."""

    language: str
    n: int
    index: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The part of a shard's file name that follows the model: `en.n3.0`."""
        return f"{self.language}.n{self.n}.{self.index}"


SECTIONS = {
    "prompts": Prompts,
    "generation": Generation,
    "jobs": Jobs,
    "activations": Activations,
    "statistics": Statistics,
    "forced": ForcedAnswers,
    "patching": Patching,
    "circuits": Circuits,
    "tracing": Tracing,
    "ablation": Ablation,
    "probes": Probes,
    "figures": Figures,
    "report": Report,
}


@dataclass(frozen=True)
class Study:
    """A valid configuration. Sections and keys are named as in config.yaml.

    Attributes:
        capacity: language -> number of different prompts for each N (topics × templates).
        values: the configuration as plain dicts and lists, keys in the schema's order.
        root: the project's folder; resources, schemas and relative model paths are below it.
    """

    run: str
    models: dict[str, Model]
    languages: tuple[str, ...]
    n_words: tuple[int, ...]
    prompts: Prompts
    generation: Generation
    jobs: Jobs
    activations: Activations
    counting: str
    statistics: Statistics
    forced: ForcedAnswers
    patching: Patching
    circuits: Circuits
    tracing: Tracing
    ablation: Ablation
    probes: Probes
    figures: Figures
    report: Report
    capacity: dict[str, int]
    values: dict[str, Any]
    root: Path

    @classmethod
    def from_config(
        cls,
        config: Any,
        given: dict[str, Any] | None = None,
        root: Path | str = ".",
        files: Iterable[str | Path] = (),
    ) -> "Study":
        """Validate `config` and make a study of it.

        Args:
            config: the merged configuration; it is not changed.
            given: the configuration before the defaults were merged in (module docstring);
                its `models`, if any, replace those of `config`.
            root: the project's folder.
            files: the YAML files that it was read from, to look for keys that they give twice.

        Raises:
            ConfigurationError: lists all problems at once.
        """
        root = Path(root)
        schema = json.loads((root / SCHEMA_FILE).read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ConfigurationError([Problem((), "it is not a mapping of keys to values")])
        values, problems = plain_copy(restore_models(given or {}, config))
        problems += schema_problems(values, schema)
        problems += [problem for file in files for problem in _repeated(file)]
        malformed = [problem.path for problem in problems]
        further, capacity = cross_problems(values, malformed, root)
        problems += further
        if problems:
            raise ConfigurationError(problems)
        values = in_schema_order(values, schema)
        return cls(
            **{key: _frozen(value) for key, value in values.items() if key not in SECTIONS}
            | {key: _section(key, values[key]) for key in SECTIONS}
            | {"models": _models(values["models"])},
            capacity=capacity,
            values=values,
            root=root,
        )

    @property
    def ablation_modes(self) -> list[str]:
        """The modes of ablation, without resample where there can be no donors."""
        possible = resample_possible(self.n_words, self.ablation.positions)
        return [mode for mode in self.ablation.modes if mode != "resample" or possible]

    @property
    def ablated_tokens(self) -> int:
        """Where answers are cut while components are ablated. [tokens]"""
        given = self.ablation.max_new_tokens
        enough = max(40, 4 * max(self.n_words)) if given == "auto" else given
        return min(enough, self.generation.max_new_tokens)

    def slice(self, *keys: str) -> dict[str, Any]:
        """The named parts of the configuration as plain values, for a rule's `params`.

        `study.slice("counting", "prompts.seed")` gives
        `{"counting": "whitespace", "prompts": {"seed": 0}}`.
        """
        result: dict[str, Any] = {}
        for key in keys:
            *above, last = key.split(".")
            source, target = self.values, result
            for part in above:
                source, target = source[part], target.setdefault(part, {})
            target[last] = copy.deepcopy(source[last])
        return result

    @property
    def probed_languages(self) -> tuple[str, ...]:
        """The study's languages, then those that are only probed."""
        return tuple(dict.fromkeys((*self.languages, *self.probes.languages)))

    @property
    def results(self) -> str:
        """The folder of the run, relative to the working directory: `results/{run}`."""
        return f"results/{self.run}"

    def model_folder(self, name: str) -> Path:
        """The folder of a model that is given by `path`."""
        return self.root / Path(self.models[name].path).expanduser()

    def shard(self, language: str, n: int, index: int) -> Shard:
        """Shard `index` of a language and N: always full, except where the prompts run out.

        It depends on the shard size and the language's resources only, not on `per_n`: a
        larger `per_n` leaves existing shards as they are.
        """
        size = self.prompts.shard
        start, stop = index * size, min((index + 1) * size, self.capacity[language])
        return Shard(language, n, index, start, stop)

    @property
    def shard_count(self) -> int:
        """Shards of each language and N: ceil(per_n / shard)."""
        return -(-self.prompts.per_n // self.prompts.shard)

    @cached_property
    def _shards(self) -> tuple[Shard, ...]:
        return tuple(
            self.shard(language, n, index)
            for language in self.languages
            for n in self.n_words
            for index in range(self.shard_count)
        )

    def shards(self, language: str | None = None) -> list[Shard]:
        """The shards of each language (or the given one) and N."""
        return [shard for shard in self._shards if language in (None, shard.language)]


def restore_models(given: dict, merged: dict) -> dict:
    """Let the models that a user gave replace the default set instead of joining it.

    The default `probes.languages` are languages that the default models were trained on; other
    models are only probed in those that the user gives.

    Args:
        given: the configuration before the defaults were merged in.
        merged: the configuration after it.

    Returns:
        A copy of `merged` with the `models` of `given`, if it has any.
    """
    result = dict(merged)
    if "models" not in given:
        return result
    result["models"] = given["models"]
    own = given.get("probes")
    if isinstance(merged.get("probes"), dict) and not (
        isinstance(own, dict) and "languages" in own
    ):
        result["probes"] = {**merged["probes"], "languages": []}
    return result


def _repeated(file: str | Path) -> list[Problem]:
    """A problem for each key that a file gives twice, of which YAML keeps the last."""
    try:
        _, repeated = read_yaml(file)
    except LengthlensError:  # whoever merged the configuration could read it: JSON, say
        return []
    return [
        Problem(
            key.path,
            f"given twice in {file}, in lines {key.lines[0]} and {key.lines[1]}, of which the "
            "last would count without a word; remove one",
        )
        for key in repeated
    ]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _section(key: str, values: dict[str, Any]) -> Any:
    return SECTIONS[key](**{name: _frozen(value) for name, value in values.items()})


def _models(values: dict[str, Any]) -> dict[str, Model]:
    return {
        name: Model(name, **{key: _frozen(value) for key, value in entry.items()})
        for name, entry in values.items()
    }
