"""Figures inside a page: SVG that follows the page's theme, or PNG as a data URI."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from pathlib import Path
from xml.sax.saxutils import quoteattr

from PIL import Image

from lengthlens.errors import LengthlensError
from lengthlens.figures.style import (
    HAIR,
    INK,
    METHOD_COLOURS,
    MUTED,
    PAPER,
    PART_COLOURS,
    TUNING_COLOURS,
    digest_comment,
)
from lengthlens.files.integrity import changed
from lengthlens.reporting.slim import GLYPH, slim

# Colours of a figure that the page's style sheet names, and so can exchange in dark mode.
THEMED = {
    INK: "--ink",
    HAIR: "--hair",
    PAPER: "--card",
    MUTED: "--muted",
    METHOD_COLOURS["end_contrast"]: "--contrast",
    **{TUNING_COLOURS[name]: f"--{name}" for name in ("untuned", "tuned")},
    **{METHOD_COLOURS[name]: f"--{name}" for name in ("cwa", "nswap", "effect", "atp")},
    **{colour: f"--part-{place}" for place, colour in enumerate(PART_COLOURS)},
}
LARGEST, SMALLEST = 2.0, 1.25  # pixels a point, so that letters stay readable
TALL = 0.35  # width by height below which a figure scrolls in a box of its own


def embed_figure(
    path: str | Path, name: str, alt: str, glyphs: dict[str, str] | None = None
) -> str:
    """HTML of one figure.

    Args:
        path: an SVG file by matplotlib, or a PNG file.
        name: prefix of the ids, so that many figures fit in one page.
        alt: what the figure shows, for those who cannot see it.
        glyphs: gets the figure's letters, which the page then holds once (`slim.shared_glyphs`);
            without it the figure keeps them.

    Raises:
        LengthlensError: another kind of file, one that is not an SVG, or one that was changed.
    """
    path = Path(path)
    if path.suffix == ".png":
        data = base64.b64encode(_checked_png(path)).decode("ascii")
        return f'<img src="data:image/png;base64,{data}" alt={quoteattr(alt)}>'
    if path.suffix != ".svg":
        raise LengthlensError(f"{path}: only png and svg figures can be shown in the report")
    text = _checked_svg(path)
    start = text.find("<svg")
    if start < 0:
        raise LengthlensError(f"{path} is not an SVG file; delete it and run again")
    return _inline(text[start:].strip(), name, alt, glyphs)


def title_of(path: str | Path) -> str:
    """The sentence that a figure states, as `save_figure` wrote it into an SVG or PNG file."""
    path = Path(path)
    if path.suffix == ".png":
        with Image.open(io.BytesIO(_checked_png(path))) as image:
            return str(image.info.get("Title", ""))
    found = re.search(r"<dc:title>(.*?)</dc:title>", _checked_svg(path), flags=re.DOTALL)
    return unescape(found[1]) if found else ""


def _checked_png(path: Path) -> bytes:
    """A PNG file's bytes; every part of it has a checksum of its own."""
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
    except Exception as error:  # the library raises many kinds, SyntaxError among them
        raise LengthlensError(
            f"{path} is not a whole PNG file ({error}); delete it and run again"
        ) from error
    return content


def _checked_svg(path: Path) -> str:
    """An SVG file's text, if it is as `save_figure` wrote it."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise changed(path) from None
    drawn, mark, rest = text.rpartition("<!-- sha256 ")
    if not mark:
        raise LengthlensError(
            f"{path} is not an SVG file with its checksum; delete it and run again"
        )
    if digest_comment(drawn) != mark + rest:
        raise changed(path)
    return drawn


def _inline(svg: str, name: str, alt: str, glyphs: dict[str, str] | None) -> str:
    # NOTE without <title>, which browsers show as a tooltip over the whole figure: aria-label below
    svg, letters = slim(svg)
    if glyphs is None:
        svg = svg.replace("</svg>", f"<defs>{''.join(letters.values())}</defs></svg>")
        own = ""
    else:
        glyphs |= letters
        own = f"(?!{GLYPH})"
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(rf'href="#{own}', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    for colour, variable in THEMED.items():
        svg = svg.replace(colour, f"var({variable})")
    opening = svg[: svg.index(">")]
    box = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', opening)
    if box is None:
        raise LengthlensError(f"the figure {name} has no viewBox; draw it again")
    width, height = float(box[1]), float(box[2])  # points
    size = f"width: {LARGEST * width:.0f}px; min-width: {SMALLEST * width:.0f}px"
    size += f"; --ratio: {width / height:.3f}"  # for paper
    tall = ' class="tall"' * (width < TALL * height)
    head = f'<svg {box[0]}{tall} style="{size}" role="img" '
    return f"{head}aria-label={quoteattr(alt)}>{svg[svg.index('>') + 1 :]}"
