"""The shards of one generation job: one model, one language, one load of the weights."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tqdm import tqdm

from lengthlens.files.identity import COMPUTATION
from lengthlens.files.provenance import provenance
from lengthlens.generation.answers import answer_prompts
from lengthlens.generation.computation import computation
from lengthlens.generation.described import describe
from lengthlens.generation.kept import FOLDER, KeptShards, code_hash, shard_identity
from lengthlens.generation.loaded import LoadedModel
from lengthlens.generation.opening import open_model, settings_of
from lengthlens.generation.records import Batch
from lengthlens.language.prompts import Language, Prompt, build_prompts, load_language
from lengthlens.weights.checkpoints import read_manifest


@dataclass(frozen=True)
class ShardJob:
    """What a generation job is given; the model is loaded when the first shard needs it.

    Attributes:
        name: of the model.
        model: its entry in the configuration.
        config: the sections `generation` and `prompts`, and `counting`.
        language_file: topics and templates.
        manifest_file: hashes of the model's files.
        shards: of each its `name`, `n`, `start` and `stop`.
        code: the script and the modules that make the shards' files.
    """

    name: str
    model: Mapping
    config: Mapping
    language_file: str | Path
    manifest_file: str | Path
    shards: Sequence[Mapping]
    code: Sequence[str | Path]

    @classmethod
    def of(cls, snakemake) -> ShardJob:
        """The job that Snakemake gives a script."""
        params, inputs = snakemake.params, snakemake.input
        return cls(
            name=params.name,
            model=params.model,
            config=params.config,
            language_file=inputs.language,
            manifest_file=inputs.manifest,
            shards=params.shards,
            code=inputs.code,
        )

    @cached_property
    def loaded(self) -> LoadedModel:
        return open_model(self.name, self.model, self.config)

    @cached_property
    def manifest(self) -> dict:
        return read_manifest(self.manifest_file)

    @cached_property
    def _language(self) -> Language:
        return load_language(self.language_file)

    @cached_property
    def computation(self) -> dict[str, str]:
        """Device, precision and versions, as known before the model is loaded."""
        return computation(self.config["generation"], self.manifest)

    def provenance(self, schema: str) -> dict:
        """Where a file of these shards comes from; the precision is that of the loaded model."""
        dtype = self.loaded.dtype
        made = provenance(schema, {**self.config, "dtype": dtype}, self.manifest)
        return made | {COMPUTATION: {**self.computation, "dtype": dtype}, "use": self._use}

    @cached_property
    def _use(self) -> dict:
        return describe(self.loaded, self.config["generation"]["date"])

    def unfinished(
        self, files: Iterable[Sequence[str | Path]], temporary: bool = False
    ) -> Iterator[tuple[Mapping, Sequence[Path]]]:
        """The shards that are still to be made, with their files; finished ones are put back.

        Args:
            files: of every shard.
            temporary: whether Snakemake will delete some of the files.
        """
        hashed = code_hash(self.code)
        files = [[Path(path) for path in paths] for paths in files]
        kept = KeptShards(files[0][0].parent / FOLDER, self.computation)
        entries = []
        for shard, paths in zip(self.shards, files, strict=True):
            identity = shard_identity(
                self.config,
                self.model,
                weights=self.manifest["sha256"],
                prompts=self._prompts(shard),
                code=hashed,
                computation=self.computation,
            )
            entries.append((shard["name"], identity, paths))
        there = len(entries)
        for place, paths in kept.unfinished(entries, temporary):
            there -= 1
            yield self.shards[place], paths
        if there:
            print(f"{self.name}: {there} of {len(entries)} shards were there", file=sys.stderr)

    def _prompts(self, shard: Mapping) -> list[Prompt]:
        seed = self.config["prompts"]["seed"]
        return build_prompts(self._language, shard["n"], shard["start"], shard["stop"], seed)

    def answer(self, shard: Mapping) -> Iterator[tuple[list[dict], Batch]]:
        """Answer the prompts of a shard, batch by batch, with a progress bar over its answers."""
        prompts, settings = self._prompts(shard), settings_of(self.config)
        label = f"{self.name} {self._language.code} N={shard['n']}"
        total = len(prompts) * settings.samples
        with tqdm(total=total, desc=label, unit="answer", delay=2, mininterval=1) as bar:

            def show(step: int, remaining: int) -> None:
                bar.set_postfix(token=step + 1, running=remaining, refresh=False)
                bar.update(0)

            counting = self.config["counting"]
            for answers, batch in answer_prompts(self.loaded, prompts, settings, counting, show):
                bar.update(len(answers))
                yield answers, batch
