"""The report: one HTML file that opens anywhere, offline, made from the files of a run.

1. Tables and figures become text and inline graphics (`findings`, `embed`, `samples`).
2. templates/report.html.j2 arranges them. Everything that is not generated here is escaped.

`sections` declares which sections exist and what each shows. The summary says what the tables say
and nothing beyond them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from lengthlens.figures.numbers import interval, number, suffix
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import span
from lengthlens.language.wrapping import WHOLE
from lengthlens.reporting.control import gate_of, named, wrapping_sentences
from lengthlens.reporting.explorer import script_json, vega_bundle
from lengthlens.reporting.findings import (
    MEASURE_UNITS,
    MEASURE_WORDS,
    MODE_WORDS,
    describe_claims,
    describe_effects,
    group_claims,
    method_words,
)
from lengthlens.reporting.lead import draw_lead
from lengthlens.reporting.material import Material
from lengthlens.reporting.public import (
    pocket_models,
    public_config,
    public_provenance,
    uses_pocket,
)
from lengthlens.reporting.samples import Sample
from lengthlens.reporting.shown import Shown, shown_sections

TEMPLATES = Path(__file__).parent / "templates"
INCOMPLETE = 0.1  # logits; rounding of bfloat16 stays below, a wrong decomposition does not
# Of the provenance, for programs.
TOLD = ("schema", "lengthlens", "commit", "dirty", "no_commit", "versions")
SHOWN_MEASURES = ("exact", "absolute_error", "end_margin", "neutral_loglik")


def render_report(material: Material, sections: Sequence[Shown] | None = None) -> str:
    """The whole page as text.

    Args:
        material: of the run.
        sections: those of `shown_sections`, where they have been made already.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.globals |= {
        "number": number,
        "interval": interval,
        "suffix": suffix,
        "percent": lambda share: number(share, "percent") + suffix("percent"),
    }
    behaviour = material.tables["behaviour"]
    gate = gate_of(material.tables, material.tunings)
    effects = gate.explained(material.tables["ablation"])
    effects = effects.iloc[:0] if gate.nothing else effects
    explorer = None if gate.nothing else material.explorer
    return environment.get_template("report.html.j2").render(
        title=material.title,
        run=material.run,
        tunings=material.tunings,
        languages=material.languages,
        sections=shown_sections(material) if sections is None else sections,
        glyphs=material.glyphs,
        first_samples=first_samples(material),
        lead=draw_lead(behaviour, effects, Cast(dict(material.tunings), dict(material.languages))),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
        claims=describe_claims(material.claims),
        groups=group_claims(material.claims),
        behaviour=headline_rows(behaviour),
        by_n=n_rows(behaviour),
        halves=half_sizes(behaviour),
        findings=describe_effects(effects, material.tunings, material.languages),
        effects=effect_rows(effects),
        samples=material.samples,
        explorer=script_json(explorer) if explorer else "",
        vega=vega_bundle() if explorer else "",
        closed=named(list(gate.closed), material.languages),
        closed_reasons=list(dict.fromkeys(gate.closed.values())),
        nothing=gate.nothing,
        wrapping=wrapping_sentences(behaviour, material.languages),
        counted=material.config.get("counted", WHOLE),
        completeness=material.completeness,
        worst_completeness=max(material.completeness.values(), default=float("nan")),
        incomplete=[m for m, error in material.completeness.items() if not error <= INCOMPLETE],
        pocket=uses_pocket(material.config),
        toy_only=uses_pocket(material.config) and len(pocket_models(material.config))
        == len(material.config["models"]),
        numbers=material.config["n_words"],
        counting=material.config["counting"],
        level=material.config["statistics"]["level"],
        truncated=cut_models(behaviour),
        config=yaml.safe_dump(public_config(material.config), sort_keys=False, allow_unicode=True),
        provenance={model: public_provenance(made) for model, made in material.provenance.items()},
        made=material.made,
        machine_provenance=json.dumps(page_provenance(material), sort_keys=True),
    )  # fmt: skip


def first_samples(material: Material) -> list[tuple[str, str, Sample]]:
    """The middle sample of every model of the first pair in the first language: the same prompt."""
    language = next(iter(material.languages), None)
    wanted: dict[str, tuple[str, str, Sample]] = {}
    for model, tuning in material.tunings.items():
        rows = material.samples.get((model, language), ())
        if rows:
            wanted.setdefault(tuning, (model, language, rows[len(rows) // 2]))
    return [wanted[tuning] for tuning in ("untuned", "tuned") if tuning in wanted]


def page_provenance(material: Material) -> dict[str, Any]:
    """What made the page, for programs: provenance as other files have it, with all weights."""
    models = {m: public_provenance(made)["sha256"] for m, made in material.provenance.items()}
    told = {key: material.made[key] for key in TOLD if key in material.made}
    return told | {"config": public_config(material.config), "models": models}


def headline_rows(behaviour: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows over all N and both splits, one a model and language."""
    return behaviour[(behaviour["n"] == "all") & (behaviour["split"] == "all")].to_dict("records")


def half_sizes(behaviour: pd.DataFrame) -> list[dict[str, str]]:
    """Answers and topics of the select and evaluate halves, as text, from the run itself."""
    whole = behaviour[behaviour["n"] == "all"]
    halves = [(name, whole[whole["split"] == name]) for name in ("select", "evaluate")]
    return [
        {
            "name": name,
            "samples": span(rows["n_samples"], "count"),
            "topics": span(rows["n_topics"], "count"),
        }
        for name, rows in halves
        if len(rows)
    ]


def n_rows(behaviour: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for each N, both splits."""
    return behaviour[(behaviour["n"] != "all") & (behaviour["split"] == "all")].to_dict("records")


def effect_rows(effects: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of tables/ablation.csv about sets of the answers' own language, with names in words."""
    own = effects["source_language"] == effects["language"]
    rows = effects[own & effects["measure"].isin(SHOWN_MEASURES)].to_dict("records")
    for row in rows:
        row["unit"] = MEASURE_UNITS[row["measure"]]
        row["measure"] = MEASURE_WORDS[row["measure"]]
        bottom = "lowest " if row["chosen_by"] == "bottom" else ""
        row["method"] = bottom + method_words(row["method"]) + MODE_WORDS[row["mode"]]
    return rows


def cut_models(behaviour: pd.DataFrame) -> list[str]:
    """Models some of whose answers were cut at the token limit."""
    rows = headline_rows(behaviour)
    return list(dict.fromkeys(row["model"] for row in rows if row["truncated"] > 0))
