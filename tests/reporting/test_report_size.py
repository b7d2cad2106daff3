"""Figures in fewer bytes: what is left out does not show."""

import re

from matplotlib.figure import Figure

from lengthlens.figures.style import save_figure, styled
from lengthlens.reporting.embed import embed_figure
from lengthlens.reporting.slim import shared_glyphs, slim


def drawn(path, text="Wörter"):
    with styled():
        figure = Figure(figsize=(3, 2))
        axes = figure.subplots()
        axes.plot([0.123456, 1], [0, 1], marker="o", clip_on=True)
        axes.set_title(text)
    save_figure(figure, path, {}, "a figure")
    return path


def test_every_reference_has_its_target_and_no_id_is_idle(tmp_path):
    text = drawn(tmp_path / "a.svg").read_text()
    short, glyphs = slim(text[text.index("<svg") :])
    assert len(short) + sum(map(len, glyphs.values())) < 0.75 * len(text)
    ids = re.findall(r' id="([^"]+)"', short)
    used = {a or b for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', short)}
    assert used == {*ids, *glyphs} and len(ids) == len(set(ids))
    assert len(glyphs) >= len(set("Wörter"))


def test_points_move_by_less_than_a_hundredth(tmp_path):
    text = drawn(tmp_path / "a.svg").read_text()
    short, _ = slim(text[text.index("<svg") :])
    paths = [re.findall(r'<path(?! id="DejaVu)[^>]* d="([^"]+)"', body) for body in (text, short)]
    before, after = ([float(v) for v in re.findall(r"-?\d+\.?\d*", " ".join(p))] for p in paths)
    assert len(before) == len(after) >= 40
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) <= 0.005001


def test_letters_of_several_figures_are_written_once(tmp_path):
    glyphs = {}
    first = embed_figure(drawn(tmp_path / "a.svg", "ab"), "first", "", glyphs)
    second = embed_figure(drawn(tmp_path / "b.svg", "bc"), "second", "", glyphs)
    page = shared_glyphs(glyphs) + first + second
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    used = {a or b for a, b in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)}
    assert used <= set(ids)
    alone = embed_figure(tmp_path / "a.svg", "first", "")
    assert 'href="#first-DejaVu' in alone and 'id="first-DejaVu' in alone
