"""The configuration of a study: validated as a whole, then read by attribute.

Light on purpose: the Snakefile imports this module in every job, so it needs nothing but the
standard library, PyYAML and pydantic.

What a person gave is put together by `sources`, and merged over the defaults of config.yaml. Both
the merged configuration and what was given are needed: `models` that were given replace the default
ones instead of joining them (`restore_models`).
"""

import copy
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lengthlens.configuration.checks import cross_problems, resample_possible
from lengthlens.configuration.pairs import model_pairs
from lengthlens.configuration.sources import Sources
from lengthlens.errors import LengthlensError
from lengthlens.files.validation import (
    Problem,
    in_schema_order,
    model_problems,
    plain_copy,
    schema_of,
)
from lengthlens.settings.sections import Settings
from lengthlens.weights.made import MADE_BELOW


def config_schema() -> dict[str, Any]:
    """The JSON schema of the configuration."""
    return schema_of(Settings)


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


class Study(Settings):
    """A valid configuration. Sections and keys are named as in config.yaml.

    Attributes:
        capacity: language -> number of different prompts for each N (topics × templates).
        values: the configuration as plain dicts and lists, keys in the schema's order.
        root: the project's folder; resources and relative model paths are below it.
        made_below: the folder of models that are made here, relative to the working directory.
    """

    capacity: dict[str, int]
    values: dict[str, Any]
    root: Path
    made_below: str = MADE_BELOW

    @classmethod
    def from_config(
        cls,
        config: Any,
        given: dict[str, Any] | None = None,
        root: Path | str = ".",
        sources: Sources | None = None,
        made_below: str = MADE_BELOW,
    ) -> "Study":
        """Validate `config` and make a study of it.

        Args:
            config: the merged configuration; it is not changed.
            given: the configuration before the defaults were merged in; its `models`, if any,
                replace those of `config`.
            root: the project's folder.
            sources: the files and arguments that it was read from, to say where a wrong value
                stands, and to find what YAML reads otherwise than it is written.
            made_below: the folder of models that are made of a GGUF file or with an adapter.

        Raises:
            ConfigurationError: lists all problems at once.
        """
        root = Path(root)
        if not isinstance(config, dict):
            raise ConfigurationError([Problem((), "it is not a mapping of keys to values")])
        values, problems = plain_copy(restore_models(given or {}, config))
        problems += model_problems(values, Settings)
        as_given = list(sources.problems()) if sources else []
        malformed = [problem.path for problem in (*problems, *as_given)]
        further, capacity = cross_problems(values, malformed, root)
        if found := [*problems, *as_given, *further]:
            raise ConfigurationError(_placed(found, as_given, sources))
        values = in_schema_order(values, config_schema())
        return cls(
            **values, capacity=capacity, values=values, root=root, made_below=str(made_below)
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

    def model_entry(self, name: str) -> dict[str, Any]:
        """A model's entry, as `ModelSpec.from_config` takes it from any working directory.

        It holds the project's `root`, relative to the working directory: a `path` is relative to
        it. Where both are the same there is none.
        """
        entry = copy.deepcopy(self.values["models"][name])
        root = os.path.relpath(self.root)
        made = "gguf" in entry or "adapter" in entry
        if root != "." and (made or "path" in entry):
            entry["root"] = root
        if made and self.made_below != MADE_BELOW:
            entry["made_below"] = self.made_below
        return entry

    @property
    def model_pairs(self) -> list[dict[str, str]]:
        """Of each pair untuned and tuned -> model; of a model alone only one of them."""
        variants = {name: model.variant for name, model in self.models.items()}
        return model_pairs(variants, self.values["pairs"])

    @property
    def whole_pairs(self) -> list[dict[str, str]]:
        """The pairs, without models that are alone."""
        return [pair for pair in self.model_pairs if len(pair) == 2]

    @property
    def transplant_languages(self) -> list[str]:
        """Languages of transplants; by `auto` those that models were tuned in, or else all."""
        named = self.transplant.languages
        if named != "auto":
            return list(named)
        tuned = [code for code in self.languages if code not in self.ablation.untuned]
        return tuned or list(self.languages)

    @property
    def steps(self) -> dict[str, tuple[str, int]]:
        """Every model of a series -> its series and step."""
        found = {name: (model.series, model.step) for name, model in self.models.items()}
        return {name: place for name, place in found.items() if place[0] is not None}

    @cached_property
    def tunings(self) -> dict[str, str]:
        """Every model -> untuned or tuned: what it is in its pair; alone, instruct is tuned."""
        found = {model: tuning for pair in self.model_pairs for tuning, model in pair.items()}
        return {model: found[model] for model in self.models}

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

    def shards(self, language: str | None = None) -> list[Shard]:
        """The shards of each language (or the given one) and N."""
        return [
            self.shard(code, n, index)
            for code in (self.languages if language is None else [language])
            for n in self.n_words
            for index in range(self.shard_count)
        ]


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
    if "models" not in given:
        return dict(merged)
    result = merged | {"models": given["models"]}
    own = given.get("probes")
    named = isinstance(own, dict) and "languages" in own
    if isinstance(merged.get("probes"), dict) and not named:
        result["probes"] = merged["probes"] | {"languages": []}
    return result


def _placed(
    found: Iterable[Problem], as_given: Iterable[Problem], sources: Sources | None
) -> Iterator[Problem]:
    """Problems with the place of the value; one of how it is written is the cause of any other."""
    written = {problem.path: problem for problem in as_given}
    for problem in found:
        if problem.path in written:
            if problem == written[problem.path]:
                yield problem
            continue
        place = sources.place(problem.path) if sources else ""
        yield Problem(problem.path, f"{problem.message} ({place})" if place else problem.message)
