"""Fonts for names in every writing system: the machine's own if the project's font lacks a letter.

matplotlib comes with DejaVu Sans, which has, for example, no Chinese, Japanese, Korean, Devanagari
or Thai letters and draws an empty box for each.
"""

from __future__ import annotations

import functools
import logging
import unicodedata
from collections.abc import Mapping

from fontTools import unicodedata as scripts
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

OWN = "DejaVu Sans"
_LOG = logging.getLogger(__name__)


def drawable(names: Mapping[str, str]) -> dict[str, str]:
    """Names (code -> name) as figures can show them: the code where no font has the letters.

    Logs a warning that names the missing script.
    """
    shown = {}
    for code, name in names.items():
        lacking = missing(name)
        if lacking and family_with(lacking) is None:
            kinds = sorted({scripts.script_name(scripts.script(letter)) for letter in lacking})
            _LOG.warning(
                "No font of this machine has the %s letters of %r: figures show the code %r "
                "instead. Install a font for that script, such as Noto Sans, and run again.",
                ", ".join(kinds),
                name,
                code,
            )
            name = code
        shown[code] = name
    return shown


def choose_fonts(figure: Figure) -> None:
    """Give every text of a figure a font that has its letters, where this machine has one."""
    for text in figure.findobj(Text):
        lacking = missing(text.get_text())
        if lacking and (family := family_with(lacking)) is not None:
            text.set_fontfamily([OWN, family])


def missing(text: str) -> frozenset[str]:
    """The characters of a text that the project's own font lacks."""
    own = letters_of(font_manager.findfont(OWN))
    return frozenset(
        sign for sign in text if ord(sign) not in own and unicodedata.category(sign) != "Cc"
    )


@functools.lru_cache(maxsize=256)
def family_with(signs: frozenset[str]) -> str | None:
    """The first family, by name, of this machine that has all of the characters; or None."""
    wanted = {ord(sign) for sign in signs}
    for font in sorted(font_manager.fontManager.ttflist, key=lambda font: (font.name, font.fname)):
        plain = font.style == "normal" and font.weight == 400
        if plain and not font.name.startswith("Last Resort") and wanted <= letters_of(font.fname):
            return font.name
    return None


@functools.lru_cache(maxsize=512)
def letters_of(path: str) -> frozenset[int]:
    """The code points that a font file has; none of one that cannot be read."""
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
