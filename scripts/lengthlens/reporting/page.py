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

from lengthlens.analysis.tables import in_own_language, rows_of
from lengthlens.figures.numbers import interval, number, suffix
from lengthlens.figures.style import Cast
from lengthlens.figures.titles import span
from lengthlens.language.wrapping import WHOLE
from lengthlens.reporting.control import gate_of, wrapping_sentences
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
from lengthlens.reporting.public import pocket_models, public_config, public_provenance
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
    }
    config, behaviour = material.config, material.tables["behaviour"]
    whole = rows_of(behaviour, n="all", split="all")
    pocket = pocket_models(config)
    gate = gate_of(material.tables, material.tunings)
    effects = gate.explained(material.tables["ablation"])
    effects = effects.iloc[:0] if gate.nothing else effects
    explorer = None if gate.nothing else material.explorer
    return environment.get_template("report.html.j2").render(
        vars(material),
        sections=shown_sections(material) if sections is None else sections,
        first_samples=first_samples(material),
        lead=draw_lead(behaviour, effects, Cast(dict(material.tunings), dict(material.languages))),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
        claims=describe_claims(material.claims),
        groups=group_claims(material.claims),
        behaviour=whole.to_dict("records"),
        by_n=rows_of(behaviour[behaviour["n"] != "all"], split="all").to_dict("records"),
        halves=half_sizes(behaviour),
        findings=describe_effects(effects, material.tunings, material.languages),
        effects=effect_rows(effects),
        explorer=script_json(explorer) if explorer else "",
        vega=vega_bundle() if explorer else "",
        closed=gate.where_closed(material.languages),
        closed_reasons=list(dict.fromkeys(gate.closed.values())),
        nothing=gate.nothing,
        wrapping=wrapping_sentences(behaviour, material.languages),
        counted=config.get("counted", WHOLE),
        worst_completeness=max(material.completeness.values(), default=float("nan")),
        incomplete=[m for m, error in material.completeness.items() if not error <= INCOMPLETE],
        pocket=pocket,
        toy_only=len(pocket) == len(config["models"]),
        numbers=config["n_words"],
        counting=config["counting"],
        level=config["statistics"]["level"],
        truncated=whole["model"][whole["truncated"] > 0].unique().tolist(),
        config=yaml.safe_dump(public_config(config), sort_keys=False, allow_unicode=True),
        provenance={model: public_provenance(made) for model, made in material.provenance.items()},
        machine_provenance=json.dumps(page_provenance(material), sort_keys=True),
    )  # fmt: skip


def first_samples(material: Material) -> list[tuple[str, str, Sample]]:
    """The middle sample of every model of the first pair in the first language: the same prompt."""
    language = next(iter(material.languages), None)
    wanted: dict[str, tuple[str, str, Sample]] = {}
    for model, tuning in material.tunings.items():
        if rows := material.samples.get((model, language)):
            wanted.setdefault(tuning, (model, language, rows[len(rows) // 2]))
    return [wanted[tuning] for tuning in ("untuned", "tuned") if tuning in wanted]


def page_provenance(material: Material) -> dict[str, Any]:
    """What made the page, for programs: provenance as other files have it, with all weights."""
    models = {m: public_provenance(made)["sha256"] for m, made in material.provenance.items()}
    told = {key: material.made[key] for key in TOLD if key in material.made}
    return told | {"config": public_config(material.config), "models": models}


def half_sizes(behaviour: pd.DataFrame) -> list[dict[str, str]]:
    """Answers and topics of the select and evaluate halves, as text, from the run itself."""
    halves = [(name, rows_of(behaviour, n="all", split=name)) for name in ("select", "evaluate")]
    return [
        {
            "name": name,
            "samples": span(rows["n_samples"], "count"),
            "topics": span(rows["n_topics"], "count"),
        }
        for name, rows in halves
        if len(rows)
    ]


def effect_rows(effects: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of tables/ablation.csv about sets of the answers' own language, with names in words."""
    own = in_own_language(effects)
    rows = own[own["measure"].isin(SHOWN_MEASURES)].to_dict("records")
    for row in rows:
        row["unit"] = MEASURE_UNITS[row["measure"]]
        row["measure"] = MEASURE_WORDS[row["measure"]]
        bottom = "lowest " if row["chosen_by"] == "bottom" else ""
        row["method"] = bottom + method_words(row["method"]) + MODE_WORDS[row["mode"]]
    return rows
