"""Names of all files of a run: what each stage makes, for rules and stage targets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from lengthlens.configuration.study import Shard, Study
from lengthlens.figures.registry import FIGURES
from lengthlens.weights.made import key_of, made_folder, source_of

CIRCUIT_TABLES = {
    "patches": "Single components",
    "carriers": "What carries N",
    "patch_scores": "Scores against patches",
    "faithfulness": "Faithfulness of circuits",
    "circuits": "Smallest circuits",
    "circuit_members": "Members of the smallest circuits",
    "overlap": "Circuits across languages",
}
TRACES = (
    "tracing",
    "attention",
    "paths",
    "contrasts",
)  # folders, a file of each model and language
TRACE_TABLES = {
    "tracing": "Where N is",
    "attention": "What heads look at",
    "knockout": "Layers kept from a role",
    "circuit_heads": "Heads of the circuit",
    "paths": "Paths between components",
    "places": "Where components matter",
    "compensation": "Late heads and the final MLP",
    "contrasts": "Where N is, by kind of template",
    "contrast_circuits": "Circuits on new templates",
}
COUNT_TABLES = {
    "count_probes": "Words left in the stream",
    "steering": "The stream shifted along words left",
    "neurons": "Neurons of the final MLP",
    "depth": "The end margin by depth",
}
TRANSPLANT_TABLES = {
    "transplants": "Parts of the weights exchanged",
    "weight_change": "Where the weights moved",
}
CAUSAL_TABLES = ("ablation", "confirmatory", "transfer", "profiles", "repair")
PROBE_TABLES = ("tokens_per_word", "tokenization", "counting", "extrapolation", "dip")
TABLES = (
    "behaviour",
    "control",
    "models",
    *CAUSAL_TABLES,
    *CIRCUIT_TABLES,
    *TRACE_TABLES,
    *COUNT_TABLES,
    *TRANSPLANT_TABLES,
    "series",
    "same_text",
    "scores",
    "nswap",
    *PROBE_TABLES,
)
# What figures are drawn from: a file of every model and language. Other names are tables.
EACH_PAIR = {
    "answers": "generations/{model}.{language}.jsonl",
    "attributions": "attribution/{model}.{language}.nc",
    "ablations": "ablation/{model}.{language}.nc",
    "selections": "selection/{model}.{language}.csv",
    "tokens": "tokens/{model}.{language}.jsonl",
}


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

    def each_tuned(self, pattern: str) -> list[str]:
        """One file of every tuned model and language, in the order of `tuned_pairs`."""
        return [self.below(pattern.format(model=m, language=lang)) for m, lang in self.tuned_pairs]

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
        made = entry.gguf is not None or entry.adapter is not None
        key = made_folder(entry).partition(".")[2] if made else key_of(source_of(entry))
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

    def each_pair(self, pattern: str) -> list[str]:
        """One file of every model and language, in the order of `pairs`."""
        return [self.below(pattern.format(model=m, language=lang)) for m, lang in self.pairs]

    def source(self, name: str) -> list[str]:
        """The files of one source of figures (`figures.registry`)."""
        if name in EACH_PAIR:
            return self.each_pair(EACH_PAIR[name])
        return [self.below("cwa.nc" if name == "cwa" else f"tables/{name}.csv")]

    def prompts(self) -> list[str]:
        return [self.below(f"prompts/{language}.jsonl") for language in self.study.languages]

    def generated(self) -> list[str]:
        answers = self.each_pair("generations/{model}.{language}.jsonl")
        if self.study.activations.keep is True:
            answers += self.each_pair("activations/{model}.{language}.h5")
        return answers

    def attributed(self) -> list[str]:
        return [
            *self.each_pair("attribution/{model}.{language}.nc"),
            *self.each_pair("tokens/{model}.{language}.jsonl"),
            self.below("cwa.nc"),
        ]

    def selected(self) -> list[str]:
        return [
            *self.each_pair("forced/{model}.{language}.nc"),
            *self.each_pair("selection/{model}.{language}.csv"),
        ]

    def patched(self) -> list[str]:
        return self.each_tuned("patching/{model}.{language}.nc")

    def circuits(self) -> list[str]:
        return [
            *self.each_tuned("circuits/{model}.{language}.nc"),
            *(self.below(f"tables/{table}.csv") for table in CIRCUIT_TABLES),
        ]

    @property
    def traces(self) -> dict[str, str]:
        """What follows N through a model: name -> pattern of its files."""
        return {name: self.below(f"{name}/{{model}}.{{language}}.nc") for name in TRACES}

    @property
    def all_traces(self) -> dict[str, list[str]]:
        """The same, name -> a file of every tuned model and language."""
        return {name: self.each_tuned(f"{name}/{{model}}.{{language}}.nc") for name in TRACES}

    def traced(self) -> list[str]:
        return [
            *(file for files in self.all_traces.values() for file in files),
            *(self.below(f"tables/{table}.csv") for table in TRACE_TABLES),
        ]

    def counted(self) -> list[str]:
        return [
            *self.each_tuned("count/{model}.{language}.nc"),
            *(self.below(f"tables/{table}.csv") for table in COUNT_TABLES),
        ]

    @property
    def transplant_keys(self) -> list[tuple[str, str, str]]:
        """Untuned and tuned model of every whole pair, with every language of `transplant`."""
        return [
            (pair["untuned"], pair["tuned"], language)
            for pair in self.study.whole_pairs
            for language in self.study.transplant_languages
        ]

    def each_transplant(self, pattern: str) -> list[str]:
        """One file of every pair and language, in the order of `transplant_keys`."""
        return [
            self.below(pattern.format(untuned=untuned, tuned=tuned, language=language))
            for untuned, tuned, language in self.transplant_keys
        ]

    def transplanted(self) -> list[str]:
        return [
            *self.each_transplant("transplant/{untuned}--{tuned}.{language}.nc"),
            *(self.below(f"tables/{table}.csv") for table in TRANSPLANT_TABLES),
        ]

    def ablated(self) -> list[str]:
        return [
            *self.each_pair("ablation/{model}.{language}.nc"),
            *self.each_pair("repair/{model}.{language}.nc"),
        ]

    @property
    def probed_pairs(self) -> list[tuple[str, str]]:
        """Every model with every language, those that are only probed included."""
        return list(itertools.product(self.study.models, self.study.probed_languages))

    def probed(self, ending: str = "jsonl") -> list[str]:
        """One file of every model and probed language, in the order of `probed_pairs`."""
        return [self.below(f"probes/{m}.{lang}.{ending}") for m, lang in self.probed_pairs]

    def probe_tables(self) -> list[str]:
        return [self.below(f"tables/{table}.csv") for table in PROBE_TABLES]

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
            *self.patched(),
            *self.circuits(),
            *self.traced(),
            *self.counted(),
            *self.transplanted(),
            *self.ablated(),
            *self.probed(),
            *self.selected(),
            *self.attributed(),
            *self.generated(),
            *self.prompts(),
        ]
