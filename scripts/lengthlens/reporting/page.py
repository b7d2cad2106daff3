"""The report: one HTML file that opens anywhere, offline, made from the files of a run.

1. tables and figures become text and inline graphics (`findings`, `embed`, `samples`);
2. templates/report.html.j2 arranges them; everything is escaped unless it is made here.

The summary says what claims.csv and tables/ablation.csv say and nothing beyond them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup

from lengthlens.reporting.findings import (
    MEASURE_UNITS,
    MEASURE_WORDS,
    METHOD_WORDS,
    count_verdicts,
    describe_claims,
    describe_effects,
)
from lengthlens.reporting.numbers import interval, number, suffix
from lengthlens.reporting.samples import Sample

TEMPLATES = Path(__file__).parent / "templates"
POCKET = "resources/pocket"
INCOMPLETE = 0.1  # logits; rounding of bfloat16 stays below, a wrong decomposition does not


@dataclass(frozen=True)
class Figure:
    """One figure of the report.

    Attributes:
        title: its heading.
        html: made by `embed.embed_figure`.
        caption: what is shown; counts: what it rests on.
    """

    title: str
    html: str
    caption: str
    counts: str


@dataclass(frozen=True)
class Material:
    """Everything the report is made of.

    Attributes:
        title: of the report; run: its name.
        variants: model -> variant; languages: code -> name.
        claims, behaviour, effects: claims.csv, tables/behaviour.csv and tables/ablation.csv.
        figures: by name.
        samples: answers of each (model, language).
        completeness: largest |sum of attributions - logit| of each model. [logits]
        config: the whole configuration; provenance: that of each model's files, by model.
        made: provenance of the report itself.
    """

    title: str
    run: str
    variants: Mapping[str, str]
    languages: Mapping[str, str]
    claims: pd.DataFrame
    behaviour: pd.DataFrame
    effects: pd.DataFrame
    figures: Mapping[str, Figure]
    samples: Mapping[tuple[str, str], Sequence[Sample]]
    completeness: Mapping[str, float]
    config: Mapping[str, Any]
    provenance: Mapping[str, Mapping]
    made: Mapping


def render_report(material: Material) -> str:
    """The whole page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"number": number, "interval": interval, "suffix": suffix}
    figures = {
        name: {
            "title": figure.title,
            "html": Markup(figure.html),
            "caption": figure.caption,
            "counts": figure.counts,
        }
        for name, figure in material.figures.items()
    }
    return environment.get_template("report.html.j2").render(
        title=material.title,
        run=material.run,
        variants=material.variants,
        languages=material.languages,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        claims=describe_claims(material.claims),
        verdicts=count_verdicts(material.claims),
        behaviour=headline_rows(material.behaviour),
        by_n=n_rows(material.behaviour),
        findings=describe_effects(material.effects, material.variants, material.languages),
        effects=effect_rows(material.effects),
        figures=figures,
        samples=material.samples,
        completeness=material.completeness,
        worst_completeness=max(material.completeness.values(), default=float("nan")),
        incomplete=[m for m, error in material.completeness.items() if not error <= INCOMPLETE],
        pocket=uses_pocket(material.config),
        toy_only=uses_pocket(material.config) and len(pocket_models(material.config))
        == len(material.config["models"]),
        numbers=material.config["n_words"],
        counting=material.config["counting"],
        level=material.config["statistics"]["level"],
        truncated=cut_models(material.behaviour),
        config=yaml.safe_dump(public_config(material.config), sort_keys=False, allow_unicode=True),
        provenance={model: public_provenance(made) for model, made in material.provenance.items()},
        made=material.made,
    )  # fmt: skip


def headline_rows(behaviour: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows over all N and both splits, one a model and language."""
    return behaviour[(behaviour["n"] == "all") & (behaviour["split"] == "all")].to_dict("records")


def n_rows(behaviour: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for each N, both splits."""
    return behaviour[(behaviour["n"] != "all") & (behaviour["split"] == "all")].to_dict("records")


def effect_rows(effects: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of tables/ablation.csv with names in words."""
    rows = effects.to_dict("records")
    for row in rows:
        row["unit"] = MEASURE_UNITS[row["measure"]]
        row["measure"] = MEASURE_WORDS[row["measure"]]
        row["method"] = METHOD_WORDS[row["method"]]
    return rows


def cut_models(behaviour: pd.DataFrame) -> list[str]:
    """Models some of whose answers were cut at the token limit."""
    rows = headline_rows(behaviour)
    return list(dict.fromkeys(row["model"] for row in rows if row["truncated"] > 0))


def pocket_models(config: Mapping[str, Any]) -> list[str]:
    """Models that are the project's own toy pair."""
    paths = {name: str(entry.get("path", "")) for name, entry in config["models"].items()}
    return [name for name, path in paths.items() if path.rstrip("/").startswith(POCKET)]


def uses_pocket(config: Mapping[str, Any]) -> bool:
    """Whether a model is one of the project's own toy pair."""
    return bool(pocket_models(config))


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the folders of the machine: of absolute paths the last part."""
    models = {
        name: dict(entry) | ({"path": public_path(entry["path"])} if "path" in entry else {})
        for name, entry in config["models"].items()
    }
    return dict(config) | {"models": models}


def public_path(path: str) -> str:
    """A relative path as it is; of another the last part, which names no user and no machine."""
    parts = Path(path).parts
    if Path(path).is_absolute() or path.startswith("~") or ".." in parts:
        return f"…/{parts[-1]}"
    return path


def public_provenance(made: Mapping) -> dict[str, Any]:
    """Provenance of a model's files as the report shows it."""
    model = made.get("model", {})
    return {
        "source": public_path(model.get("source", "")) if model else "",
        "sha256": model.get("sha256", ""),
        "commit": made.get("commit"),
        "dirty": made.get("dirty"),
        "versions": made.get("versions", {}),
    }
