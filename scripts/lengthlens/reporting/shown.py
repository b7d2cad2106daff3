"""The sections for which a run has data, with their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lengthlens.figures.style import Cast
from lengthlens.reporting.answers import Finding, Tables
from lengthlens.reporting.control import gate_of
from lengthlens.reporting.grid import Grid, grid, with_names
from lengthlens.reporting.material import Material
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
    figures: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
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
    shown = []
    gate = gate_of(material.tables, material.tunings)
    cast = Cast(dict(material.tunings), dict(material.languages))
    explained = {name: gate.explained(table) for name, table in material.tables.items()}
    for section in SECTIONS:
        if section.explains and gate.nothing:
            shown.append(_nothing(section, gate.note(material.languages)))
            continue
        own = explained if section.explains else material.tables
        tables = [table for table in section.tables if table.name in material.tables]
        said = [
            table.sentences(with_names(own[table.name], material.languages)) for table in tables
        ]
        leads = [
            headline(each, material.tunings)
            for table, each in zip(tables, said, strict=True)
            if table.leads and each
        ]
        figures = {
            name: {
                "title": material.figures[name].title,
                "html": material.figures[name].html,
                **cut_caption(material.figures[name].caption),
                "counts": material.figures[name].counts,
            }
            for name in section.figures
            if name in material.figures
        }
        if section.template == Section.template and not figures and not tables:
            continue
        if section.optional and all(own[table.name].empty for table in tables):
            continue
        shown.append(
            Shown(
                id=section.id,
                label=section.label,
                title=section.title,
                intro=section.intro,
                note=gate.note(material.languages) if section.explains else "",
                template=section.template,
                figures=figures,
                tables=tuple(grid(own[table.name], table.title) for table in tables),
                leads=tuple(leads),
                sentences=tuple(text for each in said for text in each if text not in leads),
                findings=_findings(section, own, cast),
            )
        )
    return shown


def cut_caption(text: str) -> dict[str, str]:
    """A caption's first paragraph, and the others, which are collapsed in the page."""
    first, *others = (" ".join(part.split()) for part in text.strip().split("\n\n"))
    return {"caption": first, "more": " ".join(others)}


def _nothing(section: Section, note: str) -> Shown:
    """A section that explains control, in a run without any."""
    return Shown(section.id, section.title, note, Section.template, section.label)


def _findings(section: Section, tables: Tables, cast: Cast) -> tuple[Finding, ...]:
    """The answers to a section's questions."""
    if not all(table.name in tables for table in section.tables):
        return ()
    asked = (ask(tables, cast) for ask in section.findings)
    return tuple(found for found in asked if found is not None)


def headline(sentences: Sequence[str], tunings: Mapping[str, str]) -> str:
    """The first sentence about a tuned model, or the first where none names one."""
    tuned = [model for model, tuning in tunings.items() if tuning == "tuned"]
    named = (text for text in sentences if any(model in text for model in tuned))
    return next(named, sentences[0])
