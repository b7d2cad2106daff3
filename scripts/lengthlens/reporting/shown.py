"""The sections for which a run has data, with their content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lengthlens.figures.style import Cast
from lengthlens.figures.titles import tuned_models
from lengthlens.reporting.answers import Finding, Tables
from lengthlens.reporting.control import gate_of
from lengthlens.reporting.grid import Grid, grid, with_names
from lengthlens.reporting.material import Figure, Material
from lengthlens.reporting.sections import SECTIONS, Section


@dataclass(frozen=True)
class Shown:
    """A section with what this run has for it."""

    id: str
    title: str
    note: str
    template: str
    label: str = ""
    intro: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: tuple[Grid, ...] = ()
    leads: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def story(self) -> bool:
        """Whether it stands open at the top of the page."""
        return bool(self.label)


def shown_sections(material: Material) -> list[Shown]:
    """The sections that have something to show, in their order.

    Sections that explain control say so if there is none, and show nothing of models without it.
    """
    gate = gate_of(material.tables, material.tunings)
    note = gate.note(material.languages)
    explained = {name: gate.explained(table) for name, table in material.tables.items()}
    shown = []
    for section in SECTIONS:
        if not section.explains:
            shown += _shown(section, material, material.tables, "")
        elif gate.nothing:
            shown.append(Shown(section.id, section.title, note, Section.template, section.label))
        else:
            shown += _shown(section, material, explained, note)
    return shown


def _shown(section: Section, material: Material, own: Tables, note: str) -> Iterator[Shown]:
    """The section with those of its contents that the run has, or nothing.

    Args:
        own: the tables, without the rows that the section does not show; note: above all else.
    """
    cast = Cast(dict(material.tunings), dict(material.languages))
    tables = {table: own[table.name] for table in section.tables if table.name in own}
    figures = {name: material.figures[name] for name in section.figures if name in material.figures}
    if section.template == Section.template and not figures and not tables:
        return
    if section.optional and all(table.empty for table in tables.values()):
        return
    said = {
        table: table.sentences(with_names(rows, cast.languages)) for table, rows in tables.items()
    }
    leads = [headline(each, cast.tunings) for table, each in said.items() if table.leads and each]
    asked = section.findings if len(tables) == len(section.tables) else ()
    yield Shown(
        id=section.id,
        label=section.label,
        title=section.title,
        intro=section.intro,
        note=note,
        template=section.template,
        figures=figures,
        tables=tuple(grid(rows, table.title) for table, rows in tables.items()),
        leads=tuple(leads),
        sentences=tuple(text for each in said.values() for text in each if text not in leads),
        findings=tuple(found for ask in asked if (found := ask(own, cast))),
    )


def headline(sentences: Sequence[str], tunings: Mapping[str, str]) -> str:
    """The first sentence about a tuned model, or the first where none names one."""
    tuned = tuned_models(Cast(tunings, {}))
    named = (text for text in sentences if any(model in text for model in tuned))
    return next(named, sentences[0])
