"""A report from every study, whatever its answers are like.

Studies are made by hand, file by file, and go through the rules' own scripts: all tables, the
claims, figures and the report. The corners are those that real models live in: a lone base model
every answer of which is cut, answers without a word, one N, one topic, one prompt. They go through
real files and draw every figure.

Random studies make all tables and all sections of the report, too; since a case must be cheap, each
keeps its arrays in memory and draws a random third of the figures. There are few of them unless
`LENGTHLENS_EXAMPLES` asks for more. The whole proof, other studies every time:

    LENGTHLENS_EXAMPLES=300 python -m pytest -m slow tests/reporting/test_whole_studies.py -k study
"""

from __future__ import annotations

import contextlib
import html
import random
import re
import tempfile
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pytest
from examples import between
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from whole_analysis import analyse, cheaply
from whole_study import ANSWERS, Shape, Study

from lengthlens.analysis.registry import TABLES
from lengthlens.figures.registry import FIGURES
from lengthlens.reporting.sections import SECTIONS

BASE, INSTRUCT = {"b": "base"}, {"i": "instruct"}
ONE = ("en",)
CORNERS = {
    "a pair as it should be": Shape(answers={"b": "long", "i": "exact"}, languages=ONE),
    "a lone base model, all cut": Shape(BASE, {"b": "cut"}, ONE, per_n=3),
    "a lone base model, all empty": Shape(BASE, {"b": "empty"}, ONE, per_n=3),
    "all cut and empty, a single N": Shape(INSTRUCT, {"i": "cut empty"}, ONE, (4,), beyond=()),
    "one answer": Shape(INSTRUCT, {"i": "exact"}, ONE, (4,), per_n=1, beyond=()),
    "one prompt an N": Shape(answers={"b": "mixed", "i": "mixed"}, languages=ONE, per_n=1),
    "one topic": Shape(answers={"b": "cut", "i": "exact"}, languages=ONE, one_topic=True),
    "cut with N words": Shape(INSTRUCT, {"i": "cut at N"}, ("it",), per_n=3),
    "no swap and a reference": Shape(swapped=False, probed=("qaa",), languages=("lb",), per_n=2),
    "two base models": Shape(
        {"a": "base", "b": "base"}, {"a": "one word", "b": "near"}, ONE, per_n=2
    ),
    "two languages": Shape(INSTRUCT, {"i": "mixed"}, ("en", "lb"), per_n=3),
    "one layer, one head": Shape(INSTRUCT, {"i": "near"}, ONE, layers=1, heads=1, per_n=3),
}


def shapes() -> st.SearchStrategy[Shape]:
    """Random studies."""
    languages = st.sampled_from(["en", "it", "lb"])
    variants = st.lists(st.sampled_from(["base", "instruct"]), min_size=1, max_size=3)

    @st.composite
    def draw(draw) -> Shape:
        models = dict(zip("abc", draw(variants), strict=False))
        return Shape(
            models,
            {model: draw(st.sampled_from(ANSWERS)) for model in models},
            tuple(draw(st.lists(languages, min_size=1, max_size=2, unique=True))),
            tuple(sorted(draw(st.sets(st.integers(1, 9), min_size=1, max_size=3)))),
            per_n=draw(st.sampled_from([1, 2, 3, 4, 10])),
            one_topic=draw(st.booleans()),
            layers=draw(st.integers(1, 3)),
            heads=draw(st.integers(1, 3)),
            probed=draw(st.sampled_from([(), ("qaa",)])),
            beyond=draw(st.sampled_from([(), (10,), (10, 12)])),
            swapped=draw(st.sampled_from([True, True, False])),
            roles=draw(st.sampled_from([True, True, False])),
            effect=draw(st.sampled_from([3.0, 0.0])),
            series=draw(st.booleans()),
            seed=draw(st.integers(0, 1000)),
        )

    return draw()


def reported(shape: Shape, figures: Collection[str] | None = None) -> str:
    """The report of a study, once its tables and its words have been checked.

    Args:
        shape: of the study.
        figures: those that are drawn, with arrays in memory; by default all of them, from files.
    """
    memory = contextlib.nullcontext() if figures is None else cheaply()
    with tempfile.TemporaryDirectory() as folder, memory:
        study = Study(shape, Path(folder))
        study.write()
        page = analyse(study, tuple(FIGURES) if figures is None else figures)
        tables = {name: pd.read_csv(study.below(f"tables/{name}.csv")) for name in TABLES}
    check_numbers(tables)
    check_words(page)
    ids = re.findall(r'\bid="([^"]+)"', re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    assert len(ids) == len(set(ids)), {name for name in ids if ids.count(name) > 1}
    check_gate(page, tables["control"], shape)
    return page


def check_numbers(tables: dict[str, pd.DataFrame]) -> None:
    """No number is infinite, and none with an interval rests on no answer."""
    for name, table in tables.items():
        numbers = table.select_dtypes("number")
        assert not numbers.isin([float("inf"), float("-inf")]).any(axis=None), name
        if "n_samples" in table:
            limits = [column for column in table if column.endswith(("_low", "_high"))]
            nothing = table[table["n_samples"] == 0]
            assert nothing[limits].isna().all(axis=None), f"{name}: limits from no answer"


def visible(page: str) -> str:
    """What a reader sees: the page without scripts, styles, pictures, tags."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def check_words(page: str) -> None:
    """No missing or infinite number is written out, and no sentence rests on no answers."""
    words = visible(page)
    for bad in (r"\bnan\b", r"\bNaN\b", r"\bNone\b", r"\binf\b", r"<NA>", r"\bNaT\b"):
        found = re.search(rf".{{60}}{bad}.{{30}}", words)
        assert not found, f"shown to a reader: {found and found.group()}"
    for listed in re.findall(r"<ul[^>]*>(.*?)</ul>", page, flags=re.DOTALL):
        items = re.findall(r"<li>(.*?)</li>", listed, flags=re.DOTALL)
        assert len({*items}) == len(items), f"said twice: {listed}"
    for item in re.findall(r"<li>(.*?)</li>", page, flags=re.DOTALL):
        said = visible(item)
        assert not re.search(r"– (%|points|words|logits)", said), f"no number: {said}"
        empty = re.search(r"\b(n = 0|0 answers|0 to 0 answers|0 random sets of)\b", said)
        assert not (empty and re.search(r"\d (points|words|logits|%)", said)), said


def check_gate(page: str, control: pd.DataFrame, shape: Shape) -> None:
    """The report says that there is nothing to explain exactly where no gate is open."""
    subjects = [m for m, v in shape.models.items() if v == "instruct"] or list(shape.models)
    opened = control[control["model"].isin(subjects)]["open"]
    assert len(opened) == len(subjects) * len(shape.languages)
    assert ("No control is shown, so there is nothing to explain" in page) == (not opened.any())
    if not opened.any():
        for section in (section for section in SECTIONS if section.explains):
            shown = re.search(rf'<section id="{section.id}".*?</section>', page, re.DOTALL)
            said = visible(shown.group()).replace(section.title, "")
            assert "Nothing to explain" in said and not re.search(r"\d", said), section.id


def test_a_report_from_the_smallest_study():
    reported(CORNERS["one answer"], figures=())


@pytest.mark.slow  # each takes up to half a minute; `.ci/run` makes two of them
@pytest.mark.parametrize("name", CORNERS)
def test_a_report_from_every_corner(name):
    reported(CORNERS[name])


@pytest.mark.slow
@settings(
    max_examples=between(4, 300),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink takes dozens of cases
)
@given(shapes())
def test_a_report_from_every_study(shape):
    names = sorted(FIGURES)
    reported(shape, random.Random(shape.seed).sample(names, len(names) // 3))
