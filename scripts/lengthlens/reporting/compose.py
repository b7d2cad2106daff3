"""From the files of a run to the material of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from lengthlens.analysis.tables import rows_of
from lengthlens.errors import LengthlensError
from lengthlens.figures.registry import FIGURES
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
from lengthlens.reporting.material import Figure, Material, cut_caption
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
    answers, cwa = open_answers(files["answers"], pairs), open_cwa(files["cwa"])
    attributions = open_pairs(files["attributions"], pairs, open_attribution)
    ablations = open_pairs(files["ablations"], pairs, open_ablation)
    tokens = open_pairs(files["tokens"], pairs, open_tokens)
    names = {each.code: each.name for each in map(load_language, files["languages"])}
    codes = {code for _, code in pairs}
    studied = {code: name for code, name in names.items() if code in codes}
    probed = {code: name for code, name in names.items() if code not in codes}
    tables = {Path(path).stem: with_names(open_table(path), probed) for path in files["tables"]}
    claims = open_claims(files["claims"])
    of_answers = answers.attrs["provenance"]
    others = {f"tables/{name}.csv": table for name, table in tables.items()}
    others |= {"cwa.nc": cwa, "claims.csv": claims}
    of_pairs = {"attribution": attributions, "ablation": ablations, "tokens": tokens}
    _check_one_run(config, of_answers, of_pairs, others)
    cast = Cast(dict(tunings), studied)
    drawn_from = {"answers": answers, "attributions": attributions, "ablations": ablations}
    figures, glyphs = _figures(files, _counts(drawn_from | {"cwa": cwa} | tables, cast))
    return Material(
        title=config["report"]["title"],
        run=config["run"],
        tunings=tunings,
        languages=studied,
        claims=claims,
        tables=tables,
        figures=figures,
        glyphs=shared_glyphs(glyphs),
        explorer=draw_explorer(cwa, cast),
        samples=_samples(files["prompts"], answers, tokens, config),
        completeness=_completeness(attributions),
        config=config,
        provenance={model: of_answers[f"{model}.{code}"] for model, code in pairs},
        made=made,
    )


def _check_one_run(
    config: Mapping[str, Any],
    of_answers: Mapping[str, Mapping],
    of_pairs: Mapping[str, Mapping[tuple[str, str], Any]],
    others: Mapping[str, Any],
) -> None:
    """Check that all files are of the run that the configuration describes."""
    opened = {
        f"{folder}/{model}.{language}": file
        for folder, files in of_pairs.items()
        for (model, language), file in files.items()
    }
    check_agreement(
        this_run(config)
        | {f"generations/{pair}": made for pair, made in of_answers.items()}
        | {label: file.attrs["provenance"] for label, file in (opened | others).items()}
    )


def _samples(
    prompts: Sequence[str],
    answers: pd.DataFrame,
    tokens: Mapping[tuple[str, str], pd.DataFrame],
    config: Mapping[str, Any],
) -> dict[tuple[str, str], Any]:
    """Some answers of every pair, with their prompts and what pushed at each token."""
    texts = pd.concat(map(open_prompts, prompts)).set_index("id")["text"].to_dict()
    counting, most = config["counting"], config["report"]["answers"]
    return {
        (model, language): choose_samples(
            rows_of(answers, model=model, language=language),
            texts,
            counting,
            most,
            pushes.set_index("sample_id").to_dict("index"),
        )
        for (model, language), pushes in tokens.items()
    }


def _counts(data: Mapping[str, Any], cast: Cast) -> dict[str, str]:
    """On what each figure rests: most often on the first thing that it is drawn from."""
    counts = {}
    for name, drawing in FIGURES.items():
        module = import_module(f"lengthlens.figures.{name}")
        source = drawing.rests_on or drawing.reads[0]
        if source in data and hasattr(module, "counts"):
            also = (cast,) if name == "worked_cases" else ()
            counts[name] = module.counts(data[source], *also)
    return counts | {"ablation_all": counts["ablation"]}


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
    svg_last = sorted(files["figures"], key=lambda path: Path(path).suffix == ".svg")
    figures = {}
    for name, path in {Path(path).stem: path for path in svg_last}.items():
        if name not in captions:
            raise LengthlensError(
                f"the figure {name} has no caption; write rules/captions/{name}.rst"
            )
        title = title_of(path)
        if not title:
            raise LengthlensError(f"{path} has no title; delete it and run again")
        html = embed_figure(path, name.replace("_", "-"), title, glyphs)
        caption = cut_caption(captions[name].read_text(encoding="utf-8"))
        figures[name] = Figure(title, html, **caption, counts=counts.get(name, ""))
    return figures, glyphs
