"""From the files of a run to the material of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lengthlens.errors import LengthlensError
from lengthlens.figures import ablation, cwa_by_layer, cwa_by_n, cwa_heatmaps, error_by_n
from lengthlens.languages import load_language
from lengthlens.readers import (
    open_ablation,
    open_answers,
    open_attribution,
    open_behaviour,
    open_claims,
    open_cwa,
    open_effects,
    open_pairs,
    open_prompts,
)
from lengthlens.reporting.embed import embed_figure
from lengthlens.reporting.page import Figure, Material
from lengthlens.reporting.samples import choose_samples

Files = Mapping[str, str | Sequence[str]]


def compose_material(
    files: Files,
    pairs: Sequence[Sequence[str]],
    variants: Mapping[str, str],
    config: Mapping[str, Any],
    made: Mapping,
) -> Material:
    """Read everything that the report shows.

    Args:
        files: paths by name: answers, attributions and ablations in the order of `pairs`; prompts
            and languages in the order of the languages; figures, captions, cwa, claims, behaviour,
            effects.
        pairs: (model, language).
        variants: model -> variant.
        config: the whole configuration.
        made: provenance of the report.
    """
    pairs = [(model, language) for model, language in pairs]
    answers = open_answers(files["answers"], pairs)
    attributions = open_pairs(files["attributions"], pairs, open_attribution)
    ablations = open_pairs(files["ablations"], pairs, open_ablation)
    cwa = open_cwa(files["cwa"])
    languages = [load_language(path) for path in files["languages"]]
    prompts = {
        row.id: row.text for path in files["prompts"] for row in open_prompts(path).itertuples()
    }
    counts = {
        "error_by_n": (error_by_n.TITLE, error_by_n.counts(answers)),
        "cwa_by_layer": (cwa_by_layer.TITLE, cwa_by_layer.counts(cwa)),
        "cwa_heatmaps": (cwa_heatmaps.TITLE, cwa_heatmaps.counts(cwa)),
        "cwa_by_n": (cwa_by_n.TITLE, cwa_by_n.counts(attributions)),
        "ablation": (ablation.TITLE, ablation.counts(ablations)),
    }
    return Material(
        title=config["report"]["title"],
        run=config["run"],
        variants=variants,
        languages={language.code: language.name for language in languages},
        claims=open_claims(files["claims"]),
        behaviour=open_behaviour(files["behaviour"]),
        effects=open_effects(files["effects"]),
        figures=_figures(files, counts),
        samples={
            (model, language): choose_samples(
                answers[(answers["model"] == model) & (answers["language"] == language)],
                prompts,
                config["counting"],
                config["report"]["answers"],
            )
            for model, language in pairs
        },
        completeness={
            model: max(
                float(attributions[pair]["completeness_error"].max())
                for pair in pairs
                if pair[0] == model
            )
            for model in variants
        },
        config=config,
        provenance={model: answers.attrs["provenance"][f"{model}.{code}"] for model, code in pairs},
        made=made,
    )


def _figures(files: Files, counts: Mapping[str, tuple[str, str]]) -> dict[str, Figure]:
    """Every figure once: as SVG where there is one, else as PNG."""
    captions = {Path(path).stem: Path(path) for path in files["captions"]}
    figures = {}
    for name, (title, text) in counts.items():
        drawn = {Path(path).suffix: path for path in files["figures"] if Path(path).stem == name}
        if not drawn or name not in captions:
            raise LengthlensError(f"the figure {name} or its caption is missing; draw it first")
        caption = captions[name].read_text(encoding="utf-8").strip()
        path = drawn.get(".svg", drawn.get(".png"))
        html = embed_figure(
            path, name.replace("_", "-"), f"{title}: the caption tells what is shown"
        )
        figures[name] = Figure(title, html, caption, text)
    return figures
