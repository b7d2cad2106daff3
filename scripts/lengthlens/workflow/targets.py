"""Names of all files of a run: what each stage makes, for rules and stage targets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from lengthlens.analysis.registry import STAGES, TABLES
from lengthlens.configuration.study import Shard, Study
from lengthlens.figures.registry import FIGURES
from lengthlens.weights.made import key_of, made_folder

TRACES = ("tracing", "attention", "paths", "contrasts")  # folders, a file a model and language
_OF_TUNED = tuple(f"{folder}_files" for folder in ("patching", "circuits", *TRACES, "count"))
# What figures and tables are made from. Other names are tables; those of files that are called as a
# table is end in `_files`.
SOURCES = {
    "answers": "generations/{model}.{language}.jsonl",  # in one table
    "generations": "generations/{model}.{language}.jsonl",
    "tokens": "tokens/{model}.{language}.jsonl",
    "attributions": "attribution/{model}.{language}.nc",
    "forced": "forced/{model}.{language}.nc",
    "selections": "selection/{model}.{language}.csv",
    "ablations": "ablation/{model}.{language}.nc",
    "repairs": "repair/{model}.{language}.nc",
    "probes": "probes/{model}.{language}.jsonl",
    **{name: f"{name.removesuffix('_files')}/{{model}}.{{language}}.nc" for name in _OF_TUNED},
    "transplants_files": "transplant/{untuned}--{tuned}.{language}.nc",
    "pair_patching_files": "patching/{tuned}.{language}.nc",
    "proofs": "proofs/{model}.json",
    "languages": "resources/languages/{language}.yaml",  # of the project's folder, not the run's
}
# Stage targets -> sources and tables that they make.
MADE = {
    "attribute": ("attributions", "tokens", "cwa"),
    "select": ("forced", "selections"),
    "patch": ("patching_files",),
    "circuits": ("circuits_files", *STAGES["circuits"].tables),
    "trace": (*(f"{folder}_files" for folder in TRACES), *STAGES["tracing"].tables),
    "count": ("count_files", *STAGES["count"].tables),
    "transplant": ("transplants_files", *STAGES["transplants"].tables),
    "ablate": ("ablations", "repairs"),
    "probe": ("probes",),
}
_KEYS = {1: ("model",), 2: ("model", "language"), 3: ("untuned", "tuned", "language")}


def provenance_of(path: str) -> str:
    """The file beside a text file that says where it comes from."""
    return path[: path.rindex(".")] + ".provenance.json"


@dataclass(frozen=True)
class Paths:
    """File names of one study. Patterns with wildcards are attributes, lists are methods."""

    study: Study

    def below(self, pattern: str) -> str:
        """A path below the run's folder; {run} needs no wildcard."""
        return f"{self.study.results}/{pattern}"

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every model with every language."""
        return list(itertools.product(self.study.models, self.study.languages))

    @property
    def tuned_pairs(self) -> list[tuple[str, str]]:
        """Every tuned model with every language: those whose control is to be explained."""
        return [pair for pair in self.pairs if self.study.tunings[pair[0]] == "tuned"]

    def partner(self, model: str) -> str | None:
        """The other model of a pair; None where there is none."""
        pair = next(pair for pair in self.study.model_pairs if model in pair.values())
        return next((name for name in pair.values() if name != model), None)

    def manifest(self, model: str) -> str:
        """Hashes of a model's files; outside of the run's folder, for runs share models."""
        return f"{self._weights(model)}.json"

    def fetched(self, model: str) -> str:
        """The record of a hub model's fetch, beside its manifest."""
        return f"{self._weights(model)}.fetched.json"

    def _weights(self, model: str) -> str:
        entry = self.study.models[model]
        key = made_folder(entry).partition(".")[2] if entry.is_made else key_of(entry.source)
        return f"results/weights/{model}.{key}"

    def generation_job(self) -> tuple[str, list[str]]:
        """Pattern of a generation job's name, and patterns of the shards that it makes."""
        pair = "{model}.{language}"
        if self.study.jobs.shards == "one":
            job = f"{pair}.n{{n}}.{{i}}"
            return job, [self.below(f"shards/{job}")]
        numbers = [(n, i) for n in self.study.n_words for i in range(self.study.shard_count)]
        return pair, [self.below(f"shards/{pair}.n{n}.{i}") for n, i in numbers]

    def shards(self, model: str, language: str, ending: str) -> list[str]:
        """One file of every shard of a model in a language, in the order of samples."""
        return [
            self.below(f"shards/{model}.{shard.name}.{ending}")
            for shard in self.study.shards(language)
        ]

    def prompts_used(self, shard: Shard) -> int:
        """How many of a shard's prompts the study uses; shards are always generated whole."""
        return min(shard.stop, self.study.prompts.per_n) - shard.start

    def keys(self, source: str, tuned: bool = False) -> list[tuple[str, ...]] | None:
        """What a source has a file of each of; None for a single file.

        Args:
            source: one of `SOURCES`, `cwa`, or the name of a table.
            tuned: whether only the files of tuned models are wanted.
        """
        if source not in SOURCES:
            return None
        if "{tuned}" in SOURCES[source]:
            return self.transplant_keys
        if source in ("proofs", "languages"):
            names = self.study.models if source == "proofs" else self.study.languages
            return [(name,) for name in names]
        if source == "probes":
            return list(itertools.product(self.study.models, self.study.probed_languages))
        return self.tuned_pairs if tuned or source in _OF_TUNED else self.pairs

    def source(self, name: str, tuned: bool = False) -> list[str]:
        """The files of a source, in the order of `keys`."""
        keys = self.keys(name, tuned)
        if keys is None:
            return [self.below("cwa.nc" if name == "cwa" else f"tables/{name}.csv")]
        named = (dict(zip(_KEYS[len(key)], key, strict=True)) for key in keys)
        return [self.below(SOURCES[name].format(**names)) for names in named]

    def made(self, stage: str) -> list[str]:
        """The files of a stage target, one of `MADE`."""
        return [file for source in MADE[stage] for file in self.source(source)]

    def prompts(self) -> list[str]:
        return [self.below(f"prompts/{language}.jsonl") for language in self.study.languages]

    def generated(self) -> list[str]:
        recorded = self.pairs if self.study.activations.keep is True else []
        files = [self.below(f"activations/{model}.{code}.h5") for model, code in recorded]
        return [*self.source("generations"), *files]

    @property
    def transplant_keys(self) -> list[tuple[str, str, str]]:
        """Untuned and tuned model of every whole pair, with every language of `transplant`."""
        return [
            (pair["untuned"], pair["tuned"], language)
            for pair in self.study.whole_pairs
            for language in self.study.transplant_languages
        ]

    def figures(self) -> list[str]:
        return [
            self.below(f"figures/{figure}.{ending}")
            for figure in FIGURES
            for ending in self.study.figures.formats
        ]

    def tables(self) -> list[str]:
        return [self.below(f"tables/{table}.csv") for table in TABLES]

    def report(self) -> list[str]:
        return [self.below("report.html")]

    def final(self) -> list[str]:
        """Everything that `snakemake` makes by default."""
        return [
            *self.report(),
            *self.figures(),
            *self.tables(),
            self.below("claims.csv"),
            *(file for stage in MADE for file in self.made(stage)),
            *self.generated(),
            *self.prompts(),
        ]
