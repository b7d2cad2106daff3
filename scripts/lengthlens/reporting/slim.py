"""Smaller SVG files from matplotlib that look the same.

Ids that nothing refers to, blanks, and decimals below a hundredth of a point are removed. Every
figure contains its letters as outlines; these are taken out, so that a page can store each of them
once (`shared_glyphs`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

GLYPH = "DejaVu"  # how the ids of letters begin
_GLYPH = re.compile(rf'<path id="({GLYPH}[^"]+)" d="[^"]*"(?: transform="[^"]*")?/>')
_LONG = re.compile(r"-?\d+\.\d{3,}")
_PATH = re.compile(r' d="([^"]*)"')
_PLACED = re.compile(r'( (?:d|x|y|x1|y1|x2|y2|width|height|points)="[^"]*"|translate\([^)]*\))')


def slim(svg: str) -> tuple[str, dict[str, str]]:
    """A shorter SVG, and its glyphs: id -> element; they are no longer in the SVG."""
    svg = re.sub(r"<(metadata|title)>.*?</\1>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s+", " ", svg).replace("> <", "><").replace(" />", "/>")
    svg = svg.replace("xlink:href=", "href=")
    glyphs = {found[1]: found[0] for found in _GLYPH.finditer(svg)}
    svg = _GLYPH.sub("", svg).replace("<defs></defs>", "")
    used = set(re.findall(r'(?<=href="#)[^"]+|(?<=url\(#)[^)]+', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", svg)
    svg = _PLACED.sub(lambda found: _LONG.sub(_rounded, found[0]), svg)
    svg = re.sub(
        r'style="([^"]*)"',
        lambda found: found[0].replace("; ", ";").replace(": ", ":"),
        svg,
    )
    svg = _PATH.sub(_close, svg)
    while "<g></g>" in svg:
        svg = svg.replace("<g></g>", "")
    return svg, glyphs


def _close(found: re.Match) -> str:
    """A path without blanks around its letters."""
    return f' d="{re.sub(" ?([A-Za-z]) ?", lambda letter: letter[1], found[1]).strip()}"'


def _rounded(found: re.Match) -> str:
    text = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def shared_glyphs(glyphs: Mapping[str, str]) -> str:
    """One hidden SVG with the glyphs of all figures; equal ids are equal letters."""
    if not glyphs:
        return ""
    inside = "".join(glyphs[name] for name in sorted(glyphs))
    return (
        f'<svg width="0" height="0" class="glyphs" aria-hidden="true"><defs>{inside}</defs></svg>'
    )
