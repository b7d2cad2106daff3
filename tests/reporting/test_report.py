"""The report: sections, escaping, honesty about cut answers, and nothing loaded from elsewhere."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure as Drawing
from synthetic_report import (
    CONFIG,
    EVIL,
    NAMES,
    claim,
    evil_answers,
    evil_material,
    language,
)
from synthetic_study import make_ablation

from lengthlens.analysis.behaviour import summarise_answers
from lengthlens.analysis.effects import summarise_ablation
from lengthlens.errors import LengthlensError
from lengthlens.figures.numbers import in_brackets, interval, number
from lengthlens.figures.registry import FIGURES
from lengthlens.figures.style import INK, TUNING_COLOURS, save_figure, styled
from lengthlens.reporting.embed import embed_figure, title_of
from lengthlens.reporting.findings import describe_claims, describe_effects
from lengthlens.reporting.grid import short
from lengthlens.reporting.material import cut_caption
from lengthlens.reporting.page import render_report
from lengthlens.reporting.public import public_config, public_path
from lengthlens.reporting.samples import choose_samples, mark_words
from lengthlens.reporting.sections import SECTIONS, Section, Table
from lengthlens.reporting.shown import headline
from lengthlens.statistics import Bootstrap

STORY = ("summary", "claims")
FOLDED = (
    "behaviour",
    "attribution",
    "causes",
    "answers",
    "limits",
    "configuration",
    "provenance",
)


@pytest.fixture(scope="module")
def answers():
    return evil_answers()


@pytest.fixture(scope="module")
def material():
    return evil_material()


@pytest.fixture(scope="module")
def page(material):
    return render_report(material)


class Structure(HTMLParser):
    """Tags that are still open, and all ids, links and sources."""

    VOID = ("meta", "link", "img", "br", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append((tag, values))
        if tag not in self.VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        self.links += [values[key] for key in ("href", "src") if values.get(key)]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_section_is_there_and_linked(page):
    structure = Structure(page)
    assert structure.open == []
    assert [part for part in structure.ids if part in STORY + FOLDED] == [*STORY, *FOLDED]
    for section in STORY:
        assert f"#{section}" in structure.links
    for section in FOLDED:  # their headings are in sight
        part = page[page.index(f'<section id="{section}"') :]
        assert part.index("<details") < part.index("<h3") < part.index("</summary>")
    assert len(structure.ids) == len(set(structure.ids))


def test_nothing_written_by_others_becomes_html(page):
    scripts = re.findall(r"<script[^>]*>", page)
    assert scripts == [
        '<script type="module">',  # of the token view
        '<script type="application/json" id="explorer-data">',
        '<script type="module">',
    ]
    assert page.count("&lt;script&gt;") >= 5  # title twice, caption, claim, prompts, answer


def test_nothing_is_loaded_from_elsewhere(page):
    structure = Structure(page)
    assert all(link.startswith("#") for link in structure.links)
    own = page[: page.index('id="explorer-data"')]  # what follows is Vega, tested in a browser
    assert not re.search(r"url\((?!#)|@import|<link|<iframe", own)


def test_no_folder_of_the_machine_is_told(page):
    assert "/home" not in page and "someone" not in page
    assert "…/model-7" in page


def test_values_stand_beside_the_papers(page):
    assert "−0.25 words" in page and "[−0.50, +0.01]" in page
    assert "−0.07 words" in page
    assert "most in English" in page


def test_claims_without_data_are_listed_apart(page):
    claims = page[page.index('<section id="claims"') : page.index('<section id="in-depth"')]
    rows, below = claims.rsplit("</table>", 1)
    assert "No data" not in rows and "No data" in below
    assert "the run has no untuned model" in below


def test_errors_of_cut_answers_are_lower_bounds(page):
    table = page[page.index('aria-label="Word-count errors"') :]
    rows = [row for row in table[: table.index("</table>")].split("<tr>") if "≥" in row]
    assert rows and all('<th scope="row">b</th>' in row and "≥ +" in row for row in rows)
    assert "lower\nbounds" in page


def test_a_page_is_the_same_every_time(material, page):
    assert render_report(material) == page


def test_pocket_is_called_a_toy_only_where_it_is_used(material, page):
    from dataclasses import replace

    assert "The pocket pair is a toy" in page
    assert "says nothing about large language models" not in page  # one model is another's
    models = {"i": {"hub": "org/model", "revision": "main", "variant": "instruct"}}
    other = render_report(replace(material, config=CONFIG | {"models": models}))
    assert "pocket" not in other.lower()


@pytest.mark.parametrize("error", [3.0, float("nan")])
def test_a_decomposition_that_does_not_add_up_is_called_out(material, page, error):
    from dataclasses import replace

    assert "Do not trust" not in page
    broken = render_report(replace(material, completeness={"b": 1e-5, "i": error}))
    assert "Do not trust the attribution of i." in broken


def test_a_study_without_ablation_or_answers(material):
    from dataclasses import replace

    tables = dict(material.tables) | {"ablation": material.tables["ablation"].iloc[:0]}
    bare = replace(material, tables=tables, samples={}, figures={})
    assert "What removing heads does" not in render_report(bare)


def test_sections_appear_with_their_tables_and_vanish_without_a_trace(material, page, monkeypatch):
    """One entry in SECTIONS is all it takes; what leads opens it, the rest is folded in it."""
    from dataclasses import replace

    from lengthlens.reporting import shown

    echo = pd.DataFrame(
        {
            "component": ["L3H5"],
            "n": [7],
            "share": [-0.5],
            "share_low": [-0.75],
            "share_high": [0.1],
        }
    )
    section = Section(
        "echo",
        "What makes up for it?",
        f"Intro {EVIL}.",
        tables=(
            Table("echo", "Echo", lambda table: ["Half of it.", f"{len(table)} rows."], leads=True),
        ),
    )
    monkeypatch.setattr(shown, "SECTIONS", [*SECTIONS, section])
    assert render_report(material) == page
    filled = render_report(replace(material, tables=dict(material.tables) | {"echo": echo}))
    structure = Structure(filled)
    assert structure.open == [] and "echo" in structure.ids
    assert filled.count("Half of it.") == 1 and filled.count("1 rows.") == 1
    assert "−0.500 [−0.750, 0.100]" in filled
    own = filled[filled.index('<section id="echo"') :]
    assert own.index("Half of it.") < own.index("More: 1 sentence, 1 table") < own.index("1 rows.")


def test_sections_are_named_once():
    assert len({section.id for section in SECTIONS}) == len(SECTIONS)
    names = [name for section in SECTIONS for name in section.figures]
    assert set(FIGURES) <= set(names) and len(names) == len(set(names))


def test_cells_are_short():
    values = [0.123456, 1234.5, 3.0, -2, 1e-9, float("nan"), None, True, "a-b"]
    wanted = ["0.123", "1234", "3", "−2", "1.00e−09", "–", "–", "yes", "a-b"]
    assert [short(value) for value in values] == wanted


def test_effects_are_told_by_their_interval():
    ablations = {("i", "en"): make_ablation(k=(1, 2, 3), controls=8)}
    effects = summarise_ablation(ablations, Bootstrap(resamples=100))
    exact = effects["measure"] == "exact"
    verdicts = []
    for low, high in ((-0.3, -0.1), (-0.3, 0.1), (0.1, 0.3), (np.nan, np.nan)):
        table = effects.copy()
        table.loc[exact, ["effect_low", "effect_high"]] = low, high
        table.loc[exact & (table["k"] == 3), ["effect_low", "effect_high"]] = np.nan  # no controls
        found = describe_effects(table, {"i": "tuned"}, NAMES)
        k = 3 if np.isnan(low) else 2
        assert [row.chosen for row in found] == [
            f"{k} heads by {m}" for m in ("CWA", "end contrast")
        ]
        verdicts.append(found[0].verdict)
    assert verdicts == [
        "hurts more than the average random set",
        "no difference shown",
        "hurts less than the average random set",
        "no interval",
    ]
    assert describe_effects(effects, {"i": "untuned"}, NAMES) == []


def test_shares_are_percent_and_their_differences_points():
    """The column `unit` alone decides, whatever the words of the statistic are."""
    row = claim(statistic="exactness, one minus another", unit="share difference", value=0.5)
    assert describe_claims(pd.DataFrame([row]))[0].value == "+50.0 points"
    for words in ("share of exact answers (i)", "share of what is in i minus b", "slope"):
        row = claim(statistic=words, unit="share", value=0.5)
        assert describe_claims(pd.DataFrame([row]))[0].value == "50.0\u202f%"


def test_a_claim_without_data_keeps_the_unit_of_its_condition():
    nothing = dict.fromkeys(("value", "low", "high"), float("nan"))
    row = claim(statistic="", unit="share", direction="above", null=0.5, **nothing)
    (found,) = describe_claims(pd.DataFrame([row]))
    assert found.condition == "above 50.0\u202f%" and found.value == "\u2013"


def test_two_pairs_share_the_claims_but_no_anchor():
    rows = [claim(id=name) for name in ("late", "late", "early")]
    found = describe_claims(pd.DataFrame(rows))
    assert [row.id for row in found] == ["late-1", "late-2", "early"]
    assert not any(row.preregistered for row in found)


def test_numbers():
    assert number(-0.001, "words", sign=True) == "0.00"
    sizes = [0.0123, -1.2345, -12.345, 123.45]
    assert [number(size, "logits") for size in sizes] == ["0.012", "−1.23", "−12.3", "123.5"]
    assert number(float("nan"), "words") == "–"
    assert interval(float("nan"), 1.0, "words") == "–"
    assert in_brackets(float("nan"), 1.0, "words") == "(no interval)"
    assert in_brackets(-0.5, 1.0, "words", sign=True) == "[−0.50, +1.00]"


def test_words_beyond_n_are_marked():
    pieces = mark_words("One two,  three four.", 2, "whitespace")
    assert [(piece.text, piece.within) for piece in pieces] == [
        ("One ", True),
        ("two,  ", True),
        ("three ", False),
        ("four.", False),
    ]
    assert [piece.within for piece in mark_words("l'isola blu", 2, "elision")] == [True, False]


def test_control_characters_are_replaced_after_counting():
    pieces = mark_words("a\x1cb\x00 c", 2, "whitespace")
    assert [(piece.text, piece.within) for piece in pieces] == [
        ("a\x1c".replace("\x1c", "\ufffd"), True),
        ("b\ufffd ", True),
        ("c", False),
    ]


def test_samples_are_spread_over_the_file(answers):
    own = answers[(answers["model"] == "i") & (answers["language"] == "en")]
    chosen = choose_samples(own, {}, "whitespace", 3, {})
    assert [sample.sample_id for sample in chosen] == own["sample_id"].iloc[[0, 12, 23]].to_list()
    assert len(choose_samples(own, {}, "whitespace", 500, {})) == len(own)
    assert choose_samples(own, {}, "whitespace", 0, {}) == []


def test_paths():
    assert public_path("resources/pocket/base") == "resources/pocket/base"
    assert public_path("~/models/x") == "…/x"
    assert public_path("../models/x") == "…/x"
    assert public_config(CONFIG)["models"]["i"]["path"] == "…/model-7"
    assert CONFIG["models"]["i"]["path"].startswith("/home")


@pytest.fixture
def drawing():
    with styled():
        figure = Drawing(figsize=(3, 2))
        figure.subplots().plot([1, 2], color=TUNING_COLOURS["untuned"])
    return figure


def test_inline_figures_follow_the_theme_and_keep_ids_apart(tmp_path, drawing):
    save_figure(drawing, tmp_path / "a.svg", {}, "A title")
    first = embed_figure(tmp_path / "a.svg", "one", 'Errors & "words"')
    second = embed_figure(tmp_path / "a.svg", "two", "")
    assert "var(--untuned)" in first and "var(--ink)" in first
    assert INK not in first and TUNING_COLOURS["untuned"] not in first
    ids = Structure(first).ids + Structure(second).ids
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', first))
    assert used <= set(Structure(first).ids)
    assert "aria-label='Errors &amp; \"words\"'" in first
    assert "<metadata" not in first and "<title" not in first


def test_png_figures_are_data_uris(tmp_path, drawing):
    save_figure(drawing, tmp_path / "a.png", {}, "", dpi=50)
    html = embed_figure(tmp_path / "a.png", "one", 'Errors "<"')
    assert html.startswith('<img src="data:image/png;base64,')
    assert "alt='Errors \"&lt;\"'" in html


def test_what_is_no_figure_is_refused(tmp_path):
    (tmp_path / "a.svg").write_text("nothing")
    with pytest.raises(LengthlensError, match="not an SVG file"):
        embed_figure(tmp_path / "a.svg", "one", "")
    with pytest.raises(LengthlensError, match="only png and svg"):
        embed_figure(tmp_path / "a.pdf", "one", "")


def test_behaviour_rows_cover_n_and_split(answers):
    table = summarise_answers(
        answers, {code: language(code) for code in NAMES}, Bootstrap(resamples=100)
    )
    whole = table[(table["n"] == "all") & (table["split"] == "all")].set_index(
        ["model", "language"]
    )
    own = answers[(answers["model"] == "b") & (answers["language"] == "en")]
    row = whole.loc[("b", "en")]
    assert row["n_samples"] == 24 and row["n_topics"] == 12
    assert row["error"] == pytest.approx(own["error"].mean())
    assert row["truncated"] == pytest.approx(1 / 3)
    assert row["on_topic"] == 1.0
    assert row["exact"] == 0.0 and row["exact_high"] > 0
    assert set(table["n"]) == {"all", "3", "5"} and set(table["split"]) == {
        "all",
        "select",
        "evaluate",
    }


def test_an_unknown_topic_is_refused(answers):
    with pytest.raises(LengthlensError, match="'elsewhere', which resources/languages/en.yaml"):
        summarise_answers(
            answers.assign(topic="elsewhere"), {code: language(code) for code in NAMES}
        )


def test_a_correlation_has_no_unit_and_counts_components():
    row = {
        "id": "r",
        "claim": "It ranks.",
        "origin": "ours",
        "status": "confirmatory",
        "theme": "scores",
        "paper_says": "",
        "paper": float("nan"),
        "statistic": "rank correlation with the measured effect of 48 heads: cwa",
        "unit": "correlation",
        "value": 0.314,
        "low": 0.1,
        "high": 0.5,
        "level": 0.95,
        "n": 48,
        "n_topics": 18,
        "null": 0.0,
        "direction": "above",
        "verdict": "supported",
        "reason": "",
    }
    (claim,) = describe_claims(pd.DataFrame([row]))
    assert claim.value == "+0.31" and claim.preregistered
    assert claim.n == "48 components, 18 topics"
    assert claim.condition == "above 0.00"


def test_the_summary_prefers_what_is_said_of_instruct_models():
    tunings = {"small-base": "untuned", "small-chat": "tuned"}
    said = ["small-base runs on.", "small-chat stops.", "small-chat errs."]
    assert headline(said, tunings) == "small-chat stops."
    assert headline(["Nothing was shown.", "small-base runs on."], tunings) == "Nothing was shown."


def test_texts_of_any_language_have_their_own_direction(page):
    """Answers, prompts and tokens of Arabic or Hebrew read from right to left."""
    for kind in ('<div class="prompt"', '<div class="tokens"', "<q "):
        opened = re.findall(rf"{kind}[^>]*>", page)
        assert len(opened) >= 4
        assert all(' dir="auto"' in tag and ' lang="' in tag for tag in opened), kind
    assert '<b id="step-token" dir="auto">' in page
    assert "“\\u2068${token}\\u2069”" in page  # isolated inside of an English sentence


def test_a_caption_is_its_first_paragraph():
    found = cut_caption("The place at 0.5. Bars:\nintervals.\n\nMore of it.\n\nAnd so.\n")
    assert found == {"caption": "The place at 0.5. Bars: intervals.", "more": "More of it. And so."}
    assert cut_caption("One. Two.") == {"caption": "One. Two.", "more": ""}


def test_figures_are_headed_by_their_titles(tmp_path, drawing, page):
    """The sentence that is stored in the file, in whichever format."""
    stated = 'A & B fall by −2 [−3, −1] in "all" <languages>'
    for ending in ("svg", "png"):
        save_figure(drawing, tmp_path / f"a.{ending}", {}, stated, dpi=50)
        assert title_of(tmp_path / f"a.{ending}") == stated
    assert "<b>They err &lt;script&gt;" in page
