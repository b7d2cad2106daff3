"""What a run finds, as Markdown: the report's short answers and first sentences.

    PYTHONPATH=scripts python -m lengthlens.reporting.digest results/pocket docs/findings.md

puts the digest of a finished run into a page: the story alone into README.md, all of it elsewhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from lengthlens.reporting.shown import Shown

BEGIN, END = "<!-- findings: begin -->", "<!-- findings: end -->"
DEEPER = "<!-- in depth -->"  # between the story and everything else
_SPECIAL = re.compile(r"[\\`*_<>]")  # brackets of intervals do no harm


def digest(sections: Iterable[Shown], run: str, made: Mapping) -> str:
    """Everything that sections find, the story first; intervals stand in brackets.

    Args:
        sections: of the report.
        run: its name; made: its provenance.
    """
    sections = list(sections)
    parts = [f"<!-- run {run}, lengthlens {made['lengthlens']}, commit {made['commit']} -->"]
    parts += [_section(section) for section in sections if section.story]
    parts += [DEEPER, *(_section(section) for section in sections if not section.story)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Shown) -> str:
    lines = [f"- {_escaped(text)}" for text in section.leads]
    for found in section.findings:
        answer = f" *{_escaped(found.answer)}*" if found.answer else ""
        lines += ["", f"**{_escaped(found.question)}**{answer}", ""]
        lines += [f"- {_escaped(text)}" for text in found.evidence]
    return f"### {_escaped(section.title)}\n\n" + "\n".join(lines).strip() if lines else ""


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def one_list(text: str) -> str:
    """A digest as one list without headings: what answers a question stands below it."""
    lines, inside = [], False
    for line in text.splitlines():
        if line.startswith("#"):
            inside = False
        elif line.startswith("**"):
            lines.append(f"- {line}")
            inside = True
        elif line:
            lines.append(f"  {line}" if inside and line.startswith("- ") else line)
    return "\n".join(lines)


def put(page: str, text: str) -> str:
    """A page with the text between its marks.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{text.strip()}\n{END}{after}"


def main(folder: str, *pages: str) -> None:
    found = Path(folder, "findings.md").read_text(encoding="utf-8")
    for page in map(Path, pages):
        text = one_list(found.partition(DEEPER)[0]) if page.name == "README.md" else found
        page.write_text(put(page.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
