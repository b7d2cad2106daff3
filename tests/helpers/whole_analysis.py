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
from lengthlens.workflow.targets import (
    CAUSAL_TABLES,
    FIGURES,
    PROBE_TABLES,
    TABLES,
)

CLAIMS = str(ROOT / "resources/claims.yaml")
STATISTICS = {"level": 0.95, "resamples": 100, "seed": 0}
DPI = 50


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
    values = (given, made, params)
    script(name).main(
        Job(*(kind(fromdict=dict(v)) for kind, v in zip(containers, values, strict=True)))
    )


def analyse(study: Study) -> str:
    """Make all tables, claims and figures and the report of a study, and give the report."""
    shape, below = study.shape, study.below

    def each(pattern: str, pairs: list | None = None) -> list[str]:
        return [below(pattern.format(*pair)) for pair in pairs or shape.pairs]

    def tables(*names: str) -> dict[str, str]:
        return {name: below(f"tables/{name}.csv") for name in names}

    def figure(name: str) -> list[str]:
        return [below(f"figures/{name}.svg")]

    languages = [str(language_file(code)) for code in shape.languages]
    probed = [str(language_file(code)) for code in dict.fromkeys((*shape.languages, *shape.probed))]
    files = {
        "attributions": each("attribution/{}.{}.nc"),
        "forced": each("forced/{}.{}.nc"),
        "ablations": each("ablation/{}.{}.nc"),
        "repairs": each("repair/{}.{}.nc"),
        "answers": each("generations/{}.{}.jsonl"),
        "probes": each("probes/{}.{}.jsonl", shape.probed_pairs),
        "selections": each("selection/{}.{}.csv"),
    }
    shared = {"pairs": shape.pairs, "variants": dict(shape.models), "probed": shape.probed_pairs}
    shared["config"] = {"statistics": STATISTICS} | study.config
    shared |= {
        "family": as_values(read_hypotheses(CLAIMS)),
        "untuned": ["lb"],
        "references": list(shape.probed),
        "top": 2,
        "dpi": DPI,
    }

    def job(name: str, names: tuple[str, ...], made: Mapping, **given: Any) -> None:
        run(name, {key: files[key] for key in names} | given, made, shared)

    job("aggregate_cwa", ("attributions",), {"cwa": below("cwa.nc")})
    table = {"table": below("tables/behaviour.csv")}
    job("summarise_answers", ("answers",), table, languages=languages)
    job("summarise_control", ("answers", "forced"), {"table": below("tables/control.csv")})
    effects = tables(*CAUSAL_TABLES)
    effects = {"table": effects.pop("ablation")} | effects
    job("summarise_ablation", ("ablations", "repairs", "selections"), effects)
    job("summarise_forced", ("attributions", "forced"), tables("scores", "same_text"))
    job("summarise_probes", ("probes", "answers", "attributions"), tables(*PROBE_TABLES))
    claims = ("attributions", "forced", "ablations", "repairs", "answers", "probes")
    job("evaluate_claims", claims, {"table": below("claims.csv")}, claims=CLAIMS)

    cwa = {"languages": languages, "cwa": below("cwa.nc")}
    drawn = {
        "error_by_n": {"answers": files["answers"]},
        "cwa_by_layer": cwa,
        "cwa_heatmaps": cwa | {"rankings": files["selections"]},
        "cwa_by_n": {"attributions": files["attributions"]},
        "ablation": {"ablations": files["ablations"]},
        "scores": {"table": below("tables/scores.csv")},
        "same_text": {"table": below("tables/same_text.csv")},
        "tokenization": {
            "languages": probed,
            "tokenization": below("tables/tokenization.csv"),
            "slopes": below("tables/tokens_per_word.csv"),
        },
        "extrapolation": {
            "languages": probed,
            "table": below("tables/extrapolation.csv"),
            "dips": below("tables/dip.csv"),
        },
    }
    for name, given in drawn.items():
        made = dict(enumerate(figure(name)))
        run(
            f"draw_{name}",
            {"languages": languages} | given,
            {f"f{k}": v for k, v in made.items()},
            shared,
        )
    both = {name: figure(name) for name in ("transfer", "repair")}
    run("draw_causes", {"languages": languages} | tables("transfer", "repair"), both, shared)

    given = {key: files[key] for key in ("answers", "attributions", "ablations")} | {
        "languages": languages,
        "prompts": [below(f"prompts/{code}.jsonl") for code in shape.languages],
        "tokens": each("tokens/{}.{}.jsonl"),
        "cwa": below("cwa.nc"),
        "claims": below("claims.csv"),
        "figures": [path for name in FIGURES for path in figure(name)],
        "captions": [str(ROOT / f"rules/captions/{name}.rst") for name in FIGURES],
        "tables": [below(f"tables/{name}.csv") for name in TABLES],
    }
    run(
        "render_report",
        given,
        {"report": below("report.html")},
        shared | {"config": config_of(study)},
    )
    return Path(below("report.html")).read_text(encoding="utf-8")


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
