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
    "prompts": "prompts/{language}.jsonl",
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
    "prompts": ("prompts",),
    "generate": ("generations",),
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


def provenance_of(path: str) -> str:
    """The file beside a text file that says where it comes from."""
    return path[: path.rindex(".")] + ".provenance.json"


@dataclass(frozen=True)
class Paths:
    """File names of one study; patterns have Snakemake's wildcards."""

    study: Study

    def below(self, pattern: str) -> str:
        """A path below the run's folder; {run} needs no wildcard."""
        return f"{self.study.results}/{pattern}"

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

    def shards(self) -> list[str]:
        """Patterns of the shards of a model in a language, in the order of samples."""
        numbers = itertools.product(self.study.n_words, range(self.study.shard_count))
        return [self.below(f"shards/{{model}}.{{language}}.n{n}.{i}") for n, i in numbers]

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
        study, named = self.study, _wildcards(source)
        if "untuned" in named:
            pairs = [(pair["untuned"], pair["tuned"]) for pair in study.whole_pairs]
            return [(*pair, code) for pair in pairs for code in study.transplant_languages]
        every = not (tuned or source in _OF_TUNED)
        values = {
            "model": [name for name in study.models if every or study.tunings[name] == "tuned"],
            "language": study.probed_languages if source == "probes" else study.languages,
        }
        return list(itertools.product(*(values[name] for name in named)))

    def source(self, name: str, tuned: bool = False) -> list[str]:
        """The files of a source, in the order of `keys`."""
        keys = self.keys(name, tuned)
        if keys is None:
            return [self.below("cwa.nc" if name == "cwa" else f"tables/{name}.csv")]
        named = (dict(zip(_wildcards(name), key, strict=True)) for key in keys)
        return [self.below(SOURCES[name].format(**names)) for names in named]

    def figures(self) -> list[str]:
        formats = self.study.figures.formats
        return [self.below(f"figures/{name}.{ending}") for name in FIGURES for ending in formats]

    def tables(self) -> list[str]:
        return [self.below(f"tables/{table}.csv") for table in TABLES]

    def stages(self) -> dict[str, list[str]]:
        """Every stage target -> its files."""
        made = {
            stage: [file for source in sources for file in self.source(source)]
            for stage, sources in MADE.items()
        }
        if self.study.activations.keep is True:
            pairs = self.keys("generations")
            made["generate"] += [self.below(f"activations/{m}.{code}.h5") for m, code in pairs]
        return made | {"figures": self.figures(), "report": [self.below("report.html")]}

    def final(self) -> list[str]:
        """Everything that `snakemake` makes by default."""
        return [
            *itertools.chain(*self.stages().values()),
            *self.tables(),
            self.below("claims.csv"),
        ]


def _wildcards(source: str) -> tuple[str, ...]:
    """What tells the files of a source apart."""
    if "{tuned}" in SOURCES[source]:  # of pairs, even where it is the tuned model's file alone
        return "untuned", "tuned", "language"
    return tuple(name for name in ("model", "language") if f"{{{name}}}" in SOURCES[source])
