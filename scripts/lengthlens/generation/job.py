"""A job that reads a model's answers with the model: its inputs, what made them, and its output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import xarray as xr

from lengthlens.files.formats import GENERATIONS, PROMPTS
from lengthlens.files.identity import check_agreement, inherited, this_run
from lengthlens.files.jsonl import read_rows_made
from lengthlens.files.netcdf import write_dataset
from lengthlens.files.provenance import provenance
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.opening import open_model
from lengthlens.language.languages import Language, load_language
from lengthlens.language.prompts import Prompt
from lengthlens.weights.checkpoints import read_manifest


@dataclass(frozen=True)
class Reading:
    """How prompts and answers are read.

    Attributes:
        n_words: the numbers that the study asks for.
        counting: the counting convention.
        date: what chat templates are told.
    """

    n_words: Sequence[int]
    counting: str
    date: str


class AnswersJob:
    """What Snakemake gives a script that puts a model to the answers in one language.

    Attributes:
        config: the rule's slice of the configuration.
        manifest: of the model's files.
        language: topics and templates.
        origins: what made each file that was read.
    """

    def __init__(self, snakemake) -> None:
        self._given = snakemake
        self.config: Mapping = snakemake.params.config
        self.manifest = read_manifest(snakemake.input.manifest)
        self.language: Language = load_language(snakemake.input.language)
        self.origins = this_run(self.config, self.manifest)

    @cached_property
    def answers(self) -> list[dict]:
        """The study's answers, as rows."""
        return self.rows(self._given.input.answers)

    @cached_property
    def evaluate_prompts(self) -> list[Prompt]:
        """The study's prompts of the split `evaluate`."""
        rows = self.rows(self._given.input.prompts, PROMPTS)
        return [Prompt(**row) for row in rows if row["split"] == "evaluate"]

    @property
    def reading(self) -> Reading:
        config = self.config
        return Reading(config["n_words"], config["counting"], config["generation"]["date"])

    @property
    def memory_gb(self) -> float:
        """What batches may take beside the weights."""
        return self.config["generation"]["memory_gb"]

    def rows(self, path: str, schema: str = GENERATIONS) -> list[dict]:
        """The rows of a file; what made it is noted."""
        rows, self.origins[path] = read_rows_made(path, schema)
        return rows

    def open(self, reader: Callable[[str], Any], path: str) -> Any:
        """The table or dataset that one of `readers` opens; what made it is noted."""
        opened = reader(path)
        self.origins[path] = opened.attrs["provenance"]
        return opened

    def open_all(self, reader: Callable[[str], Any], paths: Sequence[str]) -> dict[str, Any]:
        """The same for a file of each of the rule's `languages`."""
        languages = self._given.params.languages
        return {code: self.open(reader, path) for code, path in zip(languages, paths, strict=True)}

    def check(self) -> None:
        """Refuse files that do not belong together (`identity.check_agreement`)."""
        check_agreement(self.origins)

    def open_model(self, exact: bool = False) -> LoadedModel:
        """The model, in float32 where it has to be `exact`; what was read is checked before."""
        self.check()
        params = self._given.params
        return open_model(params.name, params.model, self.config, exact)

    def write(self, dataset: xr.Dataset, schema: str, path: str | None = None) -> None:
        """Write what was measured into one of the rule's outputs, or into its only one."""
        made = provenance(schema, self.whole_config, self.manifest)
        write_dataset(dataset, path or self._given.output[0], made)

    @property
    def whole_config(self) -> dict[str, Any]:
        """The job's part of the configuration, with that of the files that were read."""
        return inherited(self.config, self.origins.values())
