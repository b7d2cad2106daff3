"""A job that reads a model's answers with the model: its inputs, what made them, and its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import xarray as xr

from lengthlens.files.formats import GENERATIONS
from lengthlens.files.identity import check_agreement, inherited, this_run
from lengthlens.files.jsonl import read_rows_made
from lengthlens.files.netcdf import write_dataset
from lengthlens.files.provenance import provenance
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.opening import open_model
from lengthlens.language.languages import Language, load_language
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
        origins: what made each file that was read; files that do not agree are refused before the
            model is loaded (`identity.check_agreement`).
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

    def noted(self, path: str, opened: Any) -> Any:
        """A table or dataset that was opened from a path; what made it is noted."""
        self.origins[path] = opened.attrs["provenance"]
        return opened

    def open_model(self, exact: bool = False) -> LoadedModel:
        """The model, in float32 where it has to be `exact`.

        Raises:
            LengthlensError: the files that were read do not belong together.
        """
        check_agreement(self.origins)
        params = self._given.params
        return open_model(params.name, params.model, self.config, exact)

    def write(self, dataset: xr.Dataset, schema: str, path: str | None = None) -> None:
        """Write what was measured into one of the rule's outputs, or into its only one."""
        made = provenance(schema, inherited(self.config, self.origins.values()), self.manifest)
        write_dataset(dataset, path or self._given.output[0], made)
