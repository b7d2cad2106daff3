"""The whole analysis of a study's files, from the first table to the report, in this process.

It calls the rules' own scripts, in the rules' order, with the files and settings that the rules
give them: what a job would refuse or break on breaks here.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake.iocontainers import InputFiles, OutputFiles, Params
from whole_study import ROOT, Study, language_file

from lengthlens.ablation.hypotheses import as_values, read_hypotheses
from lengthlens.configuration.pairs import model_pairs
from lengthlens.figures.registry import FIGURES
from lengthlens.workflow.targets import CAUSAL_TABLES, PROBE_TABLES

CLAIMS = str(ROOT / "resources/claims.yaml")
STATISTICS = {"level": 0.95, "resamples": 100, "seed": 0}
DPI = 50
# What is made here; tables on the mechanism and on how models are prompted have tests of their own.
FORCED_TABLES = ("scores", "same_text", "nswap")
MADE = ("behaviour", "control", *CAUSAL_TABLES, *FORCED_TABLES, *PROBE_TABLES)


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


def analyse(study: Study) -> str:
    """Make all tables, claims and figures and the report of a study, and give the report."""
    analysis = Analysis(study)
    analysis.make_tables()
    analysis.draw()
    return analysis.report()


class Analysis:
    """The scripts of one study's analysis, each with its files and settings."""

    def __init__(self, study: Study) -> None:
        shape = self.shape = study.shape
        self.study, self.below = study, study.below
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
        self.params = {
            "pairs": shape.pairs,
            "tunings": shape.tunings,
            "probed": shape.probed_pairs,
            "config": {"statistics": STATISTICS} | study.config,
            "models": model_pairs(dict(shape.models), []),
            "tests": as_values(read_hypotheses(CLAIMS)),
            "untuned": ["lb"],
            "transplanted": [],
            "references": list(shape.probed),
            "dpi": DPI,
        }

    def each(self, pattern: str) -> list[str]:
        """One file of every model and language."""
        return [self.below(pattern.format(*pair)) for pair in self.shape.pairs]

    def tables(self, *names: str) -> dict[str, str]:
        return {name: self.below(f"tables/{name}.csv") for name in names}

    def source(self, name: str) -> list[str]:
        """The files of a source of figures, as the rules name them."""
        if name in self.files:
            return self.files[name]
        return [self.below("cwa.nc" if name == "cwa" else f"tables/{name}.csv")]

    @property
    def figures(self) -> dict[str, str]:
        """The figures whose sources are made here, and their files."""
        known = {*self.files, "cwa", *MADE}
        drawn = [name for name, drawing in FIGURES.items() if known.issuperset(drawing.reads)]
        return {name: self.below(f"figures/{name}.svg") for name in drawn}

    def job(self, name: str, made: Mapping, *kinds: str, **given: Any) -> None:
        """Run a script on all files of some kinds, and on further ones."""
        run(name, {kind: self.files[kind] for kind in kinds} | given, made, self.params)

    def make_tables(self) -> None:
        """From the files of samples to all tables, and the claims."""
        self.job("aggregate_cwa", {"cwa": self.below("cwa.nc")}, "attributions")
        behaviour = {"table": self.below("tables/behaviour.csv")}
        self.job("summarise_answers", behaviour, "answers", languages=self.languages)
        control = {"table": self.below("tables/control.csv")}
        self.job("summarise_control", control, "answers", "forced")
        effects = self.tables(*CAUSAL_TABLES)
        effects = {"table": effects.pop("ablation")} | effects
        kinds = ("ablations", "repairs", "selections", "attributions", "forced")
        self.job("summarise_ablation", effects, *kinds)
        forced = self.tables(*FORCED_TABLES)
        self.job("summarise_forced", forced, "attributions", "forced")
        probes = self.tables(*PROBE_TABLES)
        self.job("summarise_probes", probes, "probes", "answers", "attributions")
        kinds = ("attributions", "forced", "ablations", "repairs", "answers", "probes")
        further = {"claims": CLAIMS, "transplants": []}
        self.job("evaluate_claims", {"table": self.below("claims.csv")}, *kinds, **further)

    def draw(self) -> None:
        """From tables and files to all figures."""
        options = {"statistics": STATISTICS, "ablation.k": {"k": [1, 2]}}
        for name, path in self.figures.items():
            drawing = FIGURES[name]
            given = {source: self.source(source) for source in drawing.reads}
            given["languages"] = self.probed if drawing.probed else self.languages
            config = {key: options[key] for key in drawing.options}
            params = {"figure": name, "reads": drawing.reads, "config": config}
            run("draw_figure", given, {"svg": path}, self.params | params)

    def report(self) -> str:
        """The page."""
        given = {
            "languages": self.languages,
            "prompts": [self.below(f"prompts/{code}.jsonl") for code in self.shape.languages],
            "cwa": self.below("cwa.nc"),
            "claims": self.below("claims.csv"),
            "figures": list(self.figures.values()),
            "captions": [str(ROOT / f"rules/captions/{name}.rst") for name in FIGURES],
            "tables": list(self.tables(*MADE).values()),
        }
        self.params["config"] = config_of(self.study)
        path = self.below("report.html")
        kinds = ("answers", "tokens", "attributions", "ablations")
        self.job("render_report", {"report": path}, *kinds, **given)
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
