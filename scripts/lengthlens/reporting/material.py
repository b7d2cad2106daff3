"""The data for the report, read from the files of a run by `compose`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lengthlens.reporting.samples import Sample


@dataclass(frozen=True)
class Figure:
    """One figure of the report.

    Attributes:
        title: the sentence that it states.
        html: made by `embed.embed_figure`.
        caption: what is shown; more: how it was measured, which the page folds.
        counts: what it rests on.
    """

    title: str
    html: str
    caption: str
    counts: str = ""
    more: str = ""


def cut_caption(text: str) -> dict[str, str]:
    """A caption's first paragraph, and the others, which are collapsed in the page."""
    first, *others = (" ".join(part.split()) for part in text.strip().split("\n\n"))
    return {"caption": first, "more": " ".join(others)}


@dataclass(frozen=True)
class Material:
    """Everything the report is made of.

    Attributes:
        title: of the report; run: its name.
        tunings: model -> tuning; languages: code -> name.
        claims: claims.csv.
        tables: those of the folder `tables`, by name; `behaviour` and `ablation` among them.
        figures: by name; glyphs: the letters of all, made by `slim.shared_glyphs`.
        explorer: the interactive map's specification, None without data.
        samples: answers of each (model, language).
        completeness: largest |sum of attributions - logit| of each model. [logits]
        config: the whole configuration; provenance: that of each model's files, by model.
        made: provenance of the report itself.
    """

    title: str
    run: str
    tunings: Mapping[str, str]
    languages: Mapping[str, str]
    claims: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, Figure]
    explorer: Mapping[str, Any] | None
    samples: Mapping[tuple[str, str], Sequence[Sample]]
    completeness: Mapping[str, float]
    config: Mapping[str, Any]
    provenance: Mapping[str, Mapping]
    made: Mapping
    glyphs: str = ""
