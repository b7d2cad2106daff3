"""The whole analysis of a study's files, from the first table to the report, in this process.

It calls the rules' own scripts, in the rules' order, with the files and settings that the rules
give them: what a job would refuse or break on breaks here. netCDF files and YAML are half of the
cost of a small study: `cheaply` keeps arrays in memory, and reads languages and claims once.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import xarray as xr
import yaml
from snakemake.iocontainers import InputFiles, OutputFiles, Params
from whole_mechanism import CIRCUITS
from whole_study import ROOT, Study, language_file

from lengthlens.ablation.hypotheses import as_values, read_hypotheses
from lengthlens.configuration.pairs import model_pairs
from lengthlens.figures.registry import FIGURES
from lengthlens.files.netcdf import check_names
from lengthlens.files.provenance import check_schema
from lengthlens.files.yaml_files import read_yaml
from lengthlens.settings.claims import CLAIMED_TABLES
from lengthlens.workflow.targets import (
    CAUSAL_TABLES,
    CIRCUIT_TABLES,
    COUNT_TABLES,
    PROBE_TABLES,
    TABLES,
    TRACE_TABLES,
    TRACES,
    TRANSPLANT_TABLES,
)

CLAIMS = str(ROOT / "resources/claims.yaml")
STATISTICS = {"level": 0.95, "resamples": 100, "seed": 0}
DPI = 50
FORCED_TABLES = ("scores", "same_text", "nswap")


@dataclass(frozen=True)
class Job:
    """What a script is given, in Snakemake's own containers."""

    input: InputFiles
    output: OutputFiles
    params: Params


@functools.cache
def script(name: str) -> Any:
    """The module of a rule's script."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name: str, given: Mapping, made: Mapping, params: Mapping) -> None:
    """Run one script."""
    containers = (InputFiles, OutputFiles, Params)
    values = zip(containers, (given, made, params), strict=True)
    script(name).main(Job(*(kind(fromdict=dict(named)) for kind, named in values)))


_yaml = functools.cache(read_yaml)
_yaml_text = functools.cache(yaml.safe_load)


@contextlib.contextmanager
def cheaply() -> Iterator[None]:
    """Datasets that are written are kept and read as they were; YAML is read once."""
    kept: dict[str, xr.Dataset] = {}

    def write(dataset: xr.Dataset, path: str | Path, made: Mapping) -> None:
        check_names(dataset)
        said = {"schema": made["schema"], "provenance": json.dumps(made)}
        kept[str(path)] = dataset.assign_attrs(said).copy(deep=True)

    def read(path: str | Path, schema: str) -> xr.Dataset:
        dataset = kept[str(path)]
        check_schema(path, dataset.attrs["schema"], schema)
        return dataset.copy(deep=True)

    with (
        patch("lengthlens.files.netcdf.write_dataset", write),
        patch("lengthlens.readers.read_dataset", read),
        patch("lengthlens.language.languages.read_yaml", _yaml),
        patch("yaml.safe_load", _yaml_text),
    ):
        yield


def analyse(study: Study, figures: Collection[str] = tuple(FIGURES)) -> str:
    """Make all tables, claims, some figures and the report of a study, and give the report."""
    analysis = Analysis(study, figures)
    analysis.make_tables()
    analysis.draw()
    return analysis.report()


class Analysis:
    """The scripts of one study's analysis, each with its files and settings."""

    def __init__(self, study: Study, figures: Collection[str]) -> None:
        shape = self.shape = study.shape
        self.study, self.below = study, study.below
        self.figures = {name: self.below(f"figures/{name}.svg") for name in figures}
        probed = dict.fromkeys((*shape.languages, *shape.probed))
        self.languages = [str(language_file(code)) for code in shape.languages]
        self.probed = [str(language_file(code)) for code in probed]
        self.files = {
            "attributions": self.each("attribution/{}.{}.nc"),
            "forced": self.each("forced/{}.{}.nc"),
            "ablations": self.each("ablation/{}.{}.nc"),
            "repairs": self.each("repair/{}.{}.nc"),
            "answers": self.each("generations/{}.{}.jsonl"),
            "tokens": self.each("tokens/{}.{}.jsonl"),
            "selections": self.each("selection/{}.{}.csv"),
            "probes": [self.below("probes/{}.{}.jsonl".format(*p)) for p in shape.probed_pairs],
        }
        self.transplants = [
            self.below("transplant/{}--{}.{}.nc".format(*key)) for key in shape.transplanted
        ]
        self.params = {
            "pairs": shape.pairs,
            "tuned_pairs": shape.tuned_pairs,
            "tunings": shape.tunings,
            "probed": shape.probed_pairs,
            "config": {"statistics": STATISTICS, "circuits": CIRCUITS} | study.config,
            "models": model_pairs(shape.models, []),
            "model_pairs": model_pairs(shape.models, []),
            "tests": as_values(read_hypotheses(CLAIMS)),
            "untuned": ["lb"],
            "transplanted": shape.transplanted,
            "files": shape.transplanted,
            "steps": shape.steps,
            "references": list(shape.probed),
            "dpi": DPI,
        }

    def each(self, pattern: str) -> list[str]:
        """One file of every model and language."""
        return [self.below(pattern.format(*pair)) for pair in self.shape.pairs]

    def tuned(self, *kinds: str) -> dict[str, list[str]]:
        """One file of each kind of every tuned model and language."""
        return {
            kind: [self.below(f"{kind}/{m}.{code}.nc") for m, code in self.shape.tuned_pairs]
            for kind in kinds
        }

    def tables(self, *names: str) -> dict[str, str]:
        return {name: self.below(f"tables/{name}.csv") for name in names}

    def source(self, name: str) -> list[str]:
        """The files of a source of figures, as the rules name them."""
        if name in self.files:
            return self.files[name]
        return [self.below("cwa.nc" if name == "cwa" else f"tables/{name}.csv")]

    def job(self, name: str, made: Mapping, given: Mapping, **params: Any) -> None:
        """Run a script."""
        run(name, given, made, self.params | params)

    def some(self, *kinds: str) -> dict[str, list[str]]:
        """All files of some kinds."""
        return {kind: self.files[kind] for kind in kinds}

    def make_tables(self) -> None:
        """From the files of samples to all tables, and the claims."""
        self.job("aggregate_cwa", {"cwa": self.below("cwa.nc")}, self.some("attributions"))
        self._tables_of_answers()
        effects = self.tables(*CAUSAL_TABLES)
        effects = {"table": effects.pop("ablation")} | effects
        kinds = ("ablations", "repairs", "selections", "attributions", "forced")
        self.job("summarise_ablation", effects, self.some(*kinds))
        given = self.some("attributions", "forced")
        self.job("summarise_forced", self.tables(*FORCED_TABLES), given)
        given = self.some("probes", "answers", "attributions")
        self.job("summarise_probes", self.tables(*PROBE_TABLES), given)
        self._tables_of_mechanism()
        kinds = ("attributions", "forced", "ablations", "repairs", "answers", "probes")
        given = {"claims": CLAIMS, "transplants": self.transplants, **self.tables(*CLAIMED_TABLES)}
        self.job("evaluate_claims", {"table": self.below("claims.csv")}, self.some(*kinds) | given)

    def _tables_of_answers(self) -> None:
        """How well the models keep to N, and how they were used."""
        paths = self.tables("behaviour", "control", "models")
        behaviour, control, models = ({"table": path} for path in paths.values())
        given = self.some("answers") | {"languages": self.languages}
        self.job("summarise_answers", behaviour, given)
        self.job("summarise_control", control, self.some("answers", "forced"))
        names = list(self.shape.models)
        given = self.some("answers") | {"proofs": [self.below(f"proofs/{m}.json") for m in names]}
        self.job("summarise_models", models, given, models=names)

    def _tables_of_mechanism(self) -> None:
        """What carries N, where it is, the count in the stream, and what tuning changed."""
        own = self.some("attributions", "forced")
        tuned = {
            kind: [path for path, pair in zip(paths, self.shape.pairs, strict=True)
                   if pair in self.shape.tuned_pairs]
            for kind, paths in own.items()
        }  # fmt: skip
        own_tuned = {"pairs": self.shape.tuned_pairs}
        given = tuned | self.tuned("patching", "circuits")
        self.job("summarise_circuits", self.tables(*CIRCUIT_TABLES), given, **own_tuned)
        self.job("summarise_tracing", self.tables(*TRACE_TABLES), self.tuned(*TRACES), **own_tuned)
        given = own | {"measured": self.tuned("count")["count"]}
        self.job("summarise_count", self.tables(*COUNT_TABLES), given)
        patched = [self.below(f"patching/{m}.{code}.nc") for _, m, code in self.shape.transplanted]
        given = {"transplants": self.transplants, "patching": patched}
        self.job("summarise_transplants", self.tables(*TRANSPLANT_TABLES), given)
        read = self.tables("behaviour", "patches", "circuit_members", "attention")
        self.job("summarise_series", {"table": self.below("tables/series.csv")}, read)

    def draw(self) -> None:
        """From tables and files to all figures."""
        options = {"statistics": STATISTICS, "ablation.k": {"k": [1, 2]}}
        for name, path in self.figures.items():
            drawing = FIGURES[name]
            given = {source: self.source(source) for source in drawing.reads}
            given["languages"] = self.probed if drawing.probed else self.languages
            config = {key: options[key] for key in drawing.options}
            params = {"figure": name, "reads": drawing.reads, "config": config}
            self.job("draw_figure", {"svg": path}, given, **params)

    def report(self) -> str:
        """The page."""
        given = {
            "languages": self.languages,
            "prompts": [self.below(f"prompts/{code}.jsonl") for code in self.shape.languages],
            "cwa": self.below("cwa.nc"),
            "claims": self.below("claims.csv"),
            "figures": list(self.figures.values()),
            "captions": [str(ROOT / f"rules/captions/{name}.rst") for name in FIGURES],
            "tables": list(self.tables(*TABLES).values()),
        }
        path = self.below("report.html")
        given |= self.some("answers", "tokens", "attributions", "ablations")
        made = {"report": path, "findings": self.below("findings.md")}
        self.job("render_report", made, given, config=config_of(self.study))
        return Path(path).read_text(encoding="utf-8")


def config_of(study: Study) -> dict[str, Any]:
    """The whole configuration, as the report is given it."""
    shape = study.shape
    return study.config | {
        "run": "made-by-hand",
        "models": {name: {"path": name, "variant": v} for name, v in shape.models.items()},
        "languages": list(shape.languages),
        "statistics": STATISTICS,
        "report": {"title": "A study made by hand", "answers": 3},
    }
