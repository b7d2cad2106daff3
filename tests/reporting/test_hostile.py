"""Texts of models and configurations are data: nowhere in page or figures do they become code."""

from __future__ import annotations

import functools
import html
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import xarray as xr
from matplotlib.figure import Figure
from synthetic_attribution import make_attribution
from synthetic_report import CONFIG, NAMES, TUNINGS, evil_material, make_tokens
from test_report import Structure

from lengthlens.attribution.cwa import aggregate_attribution
from lengthlens.errors import LengthlensError
from lengthlens.figures.style import Cast, save_figure, styled
from lengthlens.files.formats import FIGURE
from lengthlens.reporting.embed import embed_figure
from lengthlens.reporting.explorer import draw_explorer, script_json, vega_bundle
from lengthlens.reporting.material import Material
from lengthlens.reporting.page import render_report
from lengthlens.reporting.samples import mark_words
from lengthlens.reporting.tokens import describe_tokens
from lengthlens.statistics import Bootstrap

ATTACKS = (
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "--> <img src=x onerror=alert(1)> <!--",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "]]><script>alert(1)</script>\u2028",
    "</title></style></code></pre><b>",
)


@functools.cache
def harmless_material() -> tuple[Material, xr.Dataset]:
    """The material of a page, and the means behind its map."""
    pairs = [(model, code) for model in TUNINGS for code in NAMES]
    sums = {pair: make_attribution(0, layers=3, heads=2).dataset for pair in pairs}
    return evil_material(), aggregate_attribution(sums, Bootstrap(resamples=80))


def hostile_page(attack: str) -> str:
    """A page in which every text that others write is the attack."""
    material, means = harmless_material()
    languages = {"en": attack, "it": f"Italian {attack}"}
    text = f"One {attack} two three four"
    tokens = make_tokens({"sample_id": "x", "text": text, "n": 3})
    tokens |= {"ender_text": [attack] * len(tokens["token"])}
    shown = describe_tokens(tokens)
    pieces = tuple(mark_words(text, 3, "whitespace"))
    samples = {
        pair: [
            replace(row, prompt=attack, pieces=pieces, tokens=shown if row.tokens else ())
            for row in rows
        ]
        for pair, rows in material.samples.items()
    }
    page = render_report(
        replace(
            material,
            title=attack,
            languages=languages,
            claims=material.claims.assign(claim=attack, reason=attack, paper_says=attack),
            explorer=draw_explorer(means, Cast(TUNINGS, languages)),
            samples=samples,
            config=CONFIG | {"report": {"title": attack, "answers": 3}},
        )
    )
    return page.replace(vega_bundle(), "")  # 0.9 MB of others' code, the same in every page


@pytest.mark.parametrize("attack", [" ".join(ATTACKS), " ".join(reversed(ATTACKS))])
def test_the_page_has_the_same_elements_whatever_the_texts_are(attack):
    """Elements and their attributes' names are those of a page with harmless texts."""
    found = Structure(hostile_page(attack))
    harmless = Structure(hostile_page(re.sub(r"[^\s\w]", "x", attack)))
    assert found.open == []
    shape = [(tag, sorted(values)) for tag, values in found.tags]
    assert shape == [(tag, sorted(values)) for tag, values in harmless.tags]
    assert not [name for _, values in found.tags for name in values if name.startswith("on")]


@pytest.mark.parametrize("attack", ATTACKS)
def test_embedded_json_comes_back_and_ends_no_script(attack):
    text = script_json({"text": attack, attack: 1})
    assert "<" not in text and "\u2028" not in text
    assert json.loads(text) == {"text": attack, attack: 1}


@pytest.mark.parametrize("attack", ATTACKS)
def test_figures_hold_texts_as_texts(attack, tmp_path):
    with styled():
        figure = Figure()
        axes = figure.subplots()
        axes.set_title(attack, parse_math=False)
        axes.plot([0, 1], label=attack)
        axes.legend()
    path = tmp_path / "a.svg"
    save_figure(figure, path, {"schema": FIGURE, "config": {"x": attack}}, attack, dpi=50)
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
    assert not tags & {"script", "img", "b"}
    [source] = re.findall(r"<dc:source>(.*?)</dc:source>", path.read_text(), re.DOTALL)
    assert json.loads(html.unescape(source))["config"]["x"] == attack
    inline = Structure(embed_figure(path, "a", attack))
    assert inline.open == []
    assert {tag for tag, _ in inline.tags} <= {"svg", "g", "path", "use", "defs", "style", "rect", "clippath"}  # fmt: skip # noqa: E501


def test_figures_that_were_changed_are_not_embedded(tmp_path):
    figure = Figure()
    figure.subplots().plot([0, 1])
    for ending in ("svg", "png"):
        path = tmp_path / f"a.{ending}"
        save_figure(figure, path, {}, "", dpi=50)
        content = path.read_bytes()
        embed_figure(path, "a", "")
        for place in (60, len(content) // 2, len(content) - 20):
            changed = bytearray(content)
            changed[place] ^= 4
            path.write_bytes(changed)
            with pytest.raises(LengthlensError, match=f"a.{ending} .*delete it and run again"):
                embed_figure(path, "a", "")
