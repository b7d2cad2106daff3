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
from unittest.mock import Mock, patch

import xarray as xr
import yaml
from snakemake.iocontainers import InputFiles, OutputFiles, Params
from whole_mechanism import CIRCUITS
from whole_study import ROOT, Study, language_file

from lengthlens.ablation.hypotheses import as_values, read_hypotheses
from lengthlens.analysis.registry import STAGES
from lengthlens.configuration.pairs import model_pairs
from lengthlens.configuration.study import Study as Configured
from lengthlens.figures.registry import FIGURES
from lengthlens.files.netcdf import check_names
from lengthlens.files.provenance import check_schema
from lengthlens.files.yaml_files import read_yaml
from lengthlens.settings.claims import CLAIMED_TABLES
from lengthlens.workflow.targets import Paths

CLAIMS = str(ROOT / "resources/claims.yaml")
STATISTICS = {"level": 0.95, "resamples": 100, "seed": 0}
DPI = 50
CLAIMED = (
    *("attributions", "generations", "probes", "forced", "ablations", "repairs"),
    *("transplants_files", *CLAIMED_TABLES),
)


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
        self.paths = Paths(
            Mock(
                spec=Configured,
                models=shape.models,
                languages=shape.languages,
                probed_languages=list(probed),
                tunings=shape.tunings,
                whole_pairs=[pair for pair in model_pairs(shape.models, []) if len(pair) == 2],
                transplant_languages=shape.languages,
                results=study.below("").rstrip("/"),
            )
        )
        self.config = {"statistics": STATISTICS, "circuits": CIRCUITS} | study.config
        self.about = {
            "tunings": shape.tunings,
            "model_pairs": model_pairs(shape.models, []),
            "tests": as_values(read_hypotheses(CLAIMS)),
            "untuned": ["lb"],
            "references": list(shape.probed),
            "steps": shape.steps,
        }
        self.params = {
            "pairs": shape.pairs,
            "tunings": shape.tunings,
            "config": self.config,
            "models": model_pairs(shape.models, []),
            "dpi": DPI,
        }

    def job(self, name: str, made: Mapping, given: Mapping, **params: Any) -> None:
        """Run a script."""
        run(name, given, made, self.params | params)

    def some(self, *sources: str, tuned: bool = False) -> dict[str, list[str]]:
        """All files of some sources."""
        return {
            name: self.languages if name == "languages" else self.paths.source(name, tuned)
            for name in sources
        }

    def keys(self, sources: Collection[str], tuned: bool = False) -> dict[str, list | None]:
        """What the files of some sources are of."""
        return {name: self.paths.keys(name, tuned) for name in sources}

    def make_tables(self) -> None:
        """From the files of samples to all tables, and the claims."""
        self.job("aggregate_cwa", {"cwa": self.below("cwa.nc")}, self.some("attributions"))
        for name in STAGES:  # each after those whose tables it reads
            self._stage(name)
        given = self.some(*CLAIMED) | {"claims": CLAIMS}
        reads = self.keys(CLAIMED)
        self.job("evaluate_claims", {"table": self.below("claims.csv")}, given, reads=reads)

    def _stage(self, name: str) -> None:
        """The tables of one stage."""
        stage = STAGES[name]
        sections = (key.partition(".")[0] for key in stage.config)
        made = {table: self.below(f"tables/{table}.csv") for table in stage.tables}
        self.job(
            "make_tables", made, self.some(*stage.reads, tuned=stage.tuned),
            stage=name,
            reads=self.keys(stage.reads, stage.tuned),
            origins=list(stage.origins or stage.reads),
            about={option: self.about[option] for option in stage.about},
            config={section: self.config[section] for section in sections},
        )  # fmt: skip

    def draw(self) -> None:
        """From tables and files to all figures."""
        options = {"statistics": STATISTICS, "ablation.k": {"k": [1, 2]}}
        for name, path in self.figures.items():
            drawing = FIGURES[name]
            given = self.some(*drawing.reads)
            given["languages"] = self.probed if drawing.probed else self.languages
            config = {key: options[key] for key in drawing.options}
            params = {"figure": name, "reads": self.keys(drawing.reads), "config": config}
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
            "tables": self.paths.tables(),
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
