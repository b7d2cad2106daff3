"""Captions are valid reStructuredText, which Snakemake's own report renders."""

from __future__ import annotations

import re
from pathlib import Path

import docutils.core
import pytest

from lengthlens.analysis.registry import STAGES
from lengthlens.figures.registry import FIGURES
from lengthlens.reporting.material import cut_caption

ROOT = Path(__file__).parents[2]
CAPTIONS = sorted((ROOT / "rules/captions").glob("*.rst"))


def complaints(text: str) -> list[str]:
    """What docutils objects to: everything from an information on, none of it printed."""
    document = docutils.core.publish_doctree(
        text, settings_overrides={"report_level": 5, "halt_level": 5}
    )
    return [message.astext() for message in document.findall(docutils.nodes.system_message)] + [
        problem.astext() for problem in document.findall(docutils.nodes.problematic)
    ]


def test_a_substitution_that_is_not_defined_is_an_error():
    """So `|error|`, the size of an error, cannot stand in a caption."""
    assert complaints("Middle: mean |error|.") != []
    assert complaints("Middle: mean absolute error.") == []


@pytest.mark.parametrize("path", CAPTIONS, ids=lambda path: path.stem)
def test_a_caption_is_valid(path: Path):
    text = path.read_text(encoding="utf-8")
    assert complaints(text) == []
    assert not re.search(r"{{|{%", text)  # Snakemake fills in templates, and these are none


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_caption_of_three_sentences_at_most(name: str):
    """How it was measured follows in a paragraph of its own, which the report folds."""
    text = (ROOT / f"rules/captions/{name}.rst").read_text(encoding="utf-8")
    assert len(re.split(r"(?<=[.?]) +(?=[A-Z])", cut_caption(text)["caption"])) <= 3


def test_every_caption_is_used_and_there():
    """Those that rules name for tables, and one for every figure."""
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    named = set(re.findall(r'caption="captions/(\w+)\.rst"', rules))
    tables = {name: entry for stage in STAGES.values() for name, entry in stage.tables.items()}
    named |= {*FIGURES, *(one.caption or name for name, one in tables.items() if one.label)}
    assert named == {path.stem for path in CAPTIONS}
