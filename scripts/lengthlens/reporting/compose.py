"""From the files of a run to the material of its report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from lengthlens.errors import LengthlensError
from lengthlens.figures import (
    ablation,
    circuit,
    count,
    cwa_by_layer,
    cwa_by_n,
    cwa_heatmaps,
    depth,
    error_by_n,
    faithfulness,
    repair,
    same_text,
    scores,
    tracing,
    transfer,
    worked_cases,
)
from lengthlens.figures.style import Cast
from lengthlens.files.identity import check_agreement, this_run
from lengthlens.language.languages import load_language
from lengthlens.readers import (
    open_ablation,
    open_answers,
    open_attribution,
    open_claims,
    open_cwa,
    open_pairs,
    open_prompts,
    open_table,
    open_tokens,
)
from lengthlens.reporting.embed import embed_figure, title_of
from lengthlens.reporting.explorer import draw_explorer
from lengthlens.reporting.grid import with_names
from lengthlens.reporting.material import Figure, Material
from lengthlens.reporting.samples import choose_samples
from lengthlens.reporting.slim import shared_glyphs

Files = Mapping[str, str | Sequence[str]]


def compose_material(
    files: Files,
    pairs: Sequence[Sequence[str]],
    tunings: Mapping[str, str],
    config: Mapping[str, Any],
    made: Mapping,
) -> Material:
    """Read everything that the report shows.

    Args:
        files: paths by name: answers, attributions and ablations in the order of `pairs`; prompts
            in the order of the languages; languages, those that are only probed last, whose names
            stand in the tables in place of their codes; figures and tables of the folders of
            these names; captions of the figures; cwa; claims;
            tokens in the order of `pairs`.
        pairs: (model, language).
        tunings: model -> tuning.
        config: the whole configuration.
        made: provenance of the report.

    Raises:
        LengthlensError: files of different runs.
    """
    pairs = [(model, language) for model, language in pairs]
    answers = open_answers(files["answers"], pairs)
    attributions = open_pairs(files["attributions"], pairs, open_attribution)
    ablations = open_pairs(files["ablations"], pairs, open_ablation)
    cwa = open_cwa(files["cwa"])
    names, probed = _languages(files["languages"], {language for _, language in pairs})
    prompts = {
        row.id: row.text for path in files["prompts"] for row in open_prompts(path).itertuples()
    }
    tables = {Path(path).stem: with_names(open_table(path), probed) for path in files["tables"]}
    cast = Cast(dict(tunings), names)
    counts = _counts(tables) | {
        "error_by_n": error_by_n.counts(answers),
        "cwa_by_layer": cwa_by_layer.counts(cwa),
        "cwa_heatmaps": cwa_heatmaps.counts(cwa),
        "cwa_by_n": cwa_by_n.counts(attributions),
        **dict.fromkeys(("ablation", "ablation_all"), ablation.counts(ablations)),
        "worked_cases": worked_cases.counts(answers, cast),
    }
    pushes = open_pairs(files["tokens"], pairs, open_tokens)
    tokens = {
        pair: {row["sample_id"]: row for row in table.to_dict("records")}
        for pair, table in pushes.items()
    }
    figures, glyphs = _figures(files, counts)
    claims = open_claims(files["claims"])
    check_agreement(
        this_run(config)
        | {f"generations/{pair}": origin for pair, origin in answers.attrs["provenance"].items()}
        | {
            f"{kind}/{model}.{language}": part.attrs["provenance"]
            for kind, parts in (
                ("attribution", attributions),
                ("ablation", ablations),
                ("tokens", pushes),
            )
            for (model, language), part in parts.items()
        }
        | {f"tables/{name}.csv": table.attrs["provenance"] for name, table in tables.items()}
        | {"cwa.nc": cwa.attrs["provenance"], "claims.csv": claims.attrs["provenance"]}
    )
    return Material(
        title=config["report"]["title"],
        run=config["run"],
        tunings=tunings,
        languages=names,
        claims=claims,
        tables=tables,
        figures=figures,
        glyphs=shared_glyphs(glyphs),
        explorer=draw_explorer(cwa, cast),
        samples={
            (model, language): choose_samples(
                answers[(answers["model"] == model) & (answers["language"] == language)],
                prompts,
                config["counting"],
                config["report"]["answers"],
                tokens[model, language],
            )
            for model, language in pairs
        },
        completeness=_completeness(attributions),
        config=config,
        provenance={model: answers.attrs["provenance"][f"{model}.{code}"] for model, code in pairs},
        made=made,
    )


def _languages(
    paths: Sequence[str], studied: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Names of the studied languages by code, and of those that are only probed."""
    names = {language.code: language.name for language in map(load_language, paths)}
    own = {code: name for code, name in names.items() if code in studied}
    return own, {code: name for code, name in names.items() if code not in studied}


def _counts(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """The counts on which the figures of a table are based, by figure."""
    modules = (same_text, scores, faithfulness, tracing, depth, transfer, repair, circuit, count)
    others = {"circuit": "places", "count": "count_probes"}  # tables of another name
    named = {module.__name__.rpartition(".")[2]: module for module in modules}
    return {
        name: module.counts(tables[table])
        for name, module in named.items()
        if (table := others.get(name, name)) in tables
    }


def _completeness(attributions: Mapping[tuple[str, str], xr.Dataset]) -> dict[str, float]:
    """The largest error of each model that has any answer. [logits]"""
    errors: dict[str, float] = {}
    for (model, _), data in attributions.items():
        if data.sizes["sample"]:
            worst = float(data["completeness_error"].max())
            errors[model] = max(errors.get(model, worst), worst)
    return errors


def _figures(files: Files, counts: Mapping[str, str]) -> tuple[dict[str, Figure], dict[str, str]]:
    """Every figure once, as SVG if there is one, otherwise as PNG; and the letters of all."""
    glyphs: dict[str, str] = {}
    captions = {Path(path).stem: Path(path) for path in files["captions"]}
    drawn: dict[str, dict[str, str]] = {}
    for path in files["figures"]:
        drawn.setdefault(Path(path).stem, {})[Path(path).suffix] = path
    figures = {}
    for name, paths in drawn.items():
        if name not in captions:
            raise LengthlensError(
                f"the figure {name} has no caption; write rules/captions/{name}.rst"
            )
        path = paths.get(".svg", paths.get(".png"))
        title = title_of(path)
        if not title:
            raise LengthlensError(f"{path} has no title; delete it and run again")
        html = embed_figure(path, name.replace("_", "-"), title, glyphs)
        caption = captions[name].read_text(encoding="utf-8").strip()
        figures[name] = Figure(title, html, caption, counts.get(name, ""))
    return figures, glyphs
