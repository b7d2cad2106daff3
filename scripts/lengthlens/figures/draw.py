"""What the scripts that draw figures have in common: whom a figure is about, and saving."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from lengthlens.figures.fonts import drawable
from lengthlens.figures.style import Cast, save_figure
from lengthlens.files.formats import FIGURE
from lengthlens.files.provenance import derived
from lengthlens.language.languages import load_language


def cast_of(tunings: Mapping[str, str], language_files: Iterable[str | Path]) -> Cast:
    """Models with their tunings, and the names of the languages as figures can show them."""
    languages = [load_language(path) for path in language_files]
    names = {language.code: language.name for language in languages}
    return Cast(dict(tunings), drawable(names))


def save_formats(
    figure: Figure,
    paths: Iterable[str | Path],
    config: Mapping,
    sources: Iterable[Mapping],
    dpi: int,
) -> None:
    """Save a figure under every path, with the weights that its data came from.

    Args:
        figure: what to save; its label is its title.
        paths: one for each format.
        config: the slice of the configuration that the figure depends on.
        sources: provenance of the files it was drawn from.
        dpi: of PNG files.
    """
    made = derived(FIGURE, config, sources)
    for path in paths:
        save_figure(figure, path, made, figure.get_label(), dpi)
