"""Names in every script: a font of the machine that has the letters, or the code and a warning."""

from __future__ import annotations

import logging

import matplotlib
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from lengthlens.figures import fonts
from lengthlens.figures.fonts import choose_fonts, drawable, family_with, missing
from lengthlens.figures.style import save_figure

NAME = "日本語"


@pytest.fixture
def fresh(monkeypatch):
    """The fonts that matplotlib itself brings, whatever this machine has."""
    own = matplotlib.get_data_path()
    listed = [font for font in font_manager.fontManager.ttflist if font.fname.startswith(own)]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", listed)
    family_with.cache_clear()
    yield listed
    family_with.cache_clear()


@pytest.fixture
def japanese(fresh, tmp_path):
    """A font with three Japanese letters, filled squares, as the machine's own."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((900, 0), (900, 800), (100, 800)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [f"u{ord(letter):X}" for letter in NAME]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap({ord(c): name for c, name in zip(NAME, names, strict=True)})
    builder.setupGlyf({name: square for name in (".notdef", *names)})
    builder.setupHorizontalMetrics({name: (1000, 100) for name in (".notdef", *names)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    path = tmp_path / "squares.ttf"
    builder.save(path)
    entry = font_manager.FontEntry(
        fname=str(path), name="Squares", style="normal", variant="normal", weight=400,
        stretch="normal", size="scalable",
    )  # fmt: skip
    font_manager.fontManager.ttflist.append(entry)
    return path


def test_the_own_font_has_what_the_shipped_languages_need():
    for name in ("English", "Lëtzebuergesch", "Ελληνικά", "Русский", "العربية", "−%·…"):
        assert missing(name) == frozenset(), name
    assert missing(NAME) == frozenset(NAME)
    assert missing("two\nlines") == frozenset()


def test_without_a_font_the_code_stands_for_the_name(fresh, caplog):
    with caplog.at_level(logging.WARNING, logger="lengthlens"):
        shown = drawable({"ja": NAME, "hi": "हिन्दी", "it": "Italian"})
    assert shown == {"ja": "ja", "hi": "hi", "it": "Italian"}
    japanese, hindi = (record.getMessage() for record in caplog.records)
    assert japanese.startswith(f"No font of this machine has the Han letters of {NAME!r}: ")
    assert "the code 'ja' instead" in japanese and "Devanagari letters" in hindi


def test_a_font_that_has_the_letters_is_used(japanese, caplog, tmp_path, recwarn):
    assert drawable({"ja": NAME}) == {"ja": NAME} and not caplog.records
    figure = Figure()
    title, plain = figure.suptitle(f"CWA, {NAME}"), figure.text(0, 0, "logits")
    choose_fonts(figure)
    assert title.get_fontfamily() == [fonts.OWN, "Squares"]
    found = font_manager.findfont(
        font_manager.FontProperties(family=title.get_fontfamily()[1]), fallback_to_default=False
    )
    assert found == str(japanese) and set(map(ord, NAME)) <= fonts.letters_of(found)
    assert "Squares" not in plain.get_fontfamily()
    save_figure(figure, tmp_path / "a.png", {"schema": "x"}, "title")
    assert not [w for w in recwarn if "missing from" in str(w.message)]
