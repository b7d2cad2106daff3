"""What a run found, as Markdown: the report's short answers and first sentences, and the claims.

    PYTHONPATH=scripts python -m lengthlens.reporting.digest results/pocket docs/findings.md

puts the digest of a finished run into a page: only the main findings into README.md, everything
into other pages. A page with marked claims (docs/paper.md) gets their verdicts and the figure that
it shows.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from lengthlens.errors import LengthlensError
from lengthlens.files.marks import markdown_table, marks, put_between
from lengthlens.readers import open_claims
from lengthlens.reporting.findings import Claim, describe_claims
from lengthlens.reporting.shown import Shown

PART = "findings"
BEGIN, END = marks(PART)
DEEPER = "<!-- in depth -->"  # between the story and everything else
CLAIMS = re.compile(r"(<!-- claims: ([\w -]+) -->\n).*?(<!-- end of claims -->)", re.DOTALL)
SHOWN = "worked_cases"  # the figure of the page of claims
_SPECIAL = re.compile(r"[\\`*_<>]")  # brackets of intervals do no harm


def digest(sections: Iterable[Shown], run: str, made: Mapping) -> str:
    """Everything that the sections find, the story first, with intervals in brackets.

    Args:
        sections: of the report.
        run: its name; made: its provenance.
    """
    sections = list(sections)
    parts = [_origin(run, made)]
    parts += [_section(section) for section in sections if section.story]
    parts += [DEEPER, *(_section(section) for section in sections if not section.story)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _origin(run: str, made: Mapping) -> str:
    """The run and the commit of its code, as a comment that pages do not show."""
    return f"<!-- run {run}, lengthlens {made['lengthlens']}, commit {made['commit']} -->"


def _section(section: Shown) -> str:
    lines = [f"- {_escaped(text)}" for text in section.leads]
    for found in section.findings:
        answer = f" *{_escaped(found.answer)}*" if found.answer else ""
        lines += ["", f"**{_escaped(found.question)}**{answer}", ""]
        lines += [f"- {_escaped(text)}" for text in (*found.evidence, *found.further)]
    return f"### {_escaped(section.title)}\n\n" + "\n".join(lines).strip() if lines else ""


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def one_list(text: str) -> str:
    """A digest as one list without headings; answers are placed below their questions."""
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
    return put_between(page, PART, text.strip())


def put_claims(page: str, claims: Iterable[Claim], run: str, made: Mapping) -> str:
    """A page with a table of the claims that each of its marks names, and their verdicts.

    Args:
        page: with marks `<!-- claims: id id … -->` and `<!-- end of claims -->`.
        claims: of the run; made: provenance of its claims.csv.

    Raises:
        LengthlensError: the run has no claim of a name.
    """
    known = {claim.id: claim for claim in claims}

    def table(mark: re.Match) -> str:
        ids = mark[2].split()
        if unknown := [name for name in ids if name not in known]:
            raise LengthlensError(
                f"{run} has no claim {', '.join(unknown)}; its claims.csv was made from another "
                "resources/claims.yaml: run the study again, or correct the page's mark"
            )
        told = markdown_table(["claim", "paper", run, "verdict"], [_row(known[n]) for n in ids])
        return "\n".join([mark[1].strip(), _origin(run, made), "", told, "", mark[3]])

    return CLAIMS.sub(table, page)


def _row(claim: Claim) -> list[str]:
    """The cells of a claim's line in a table."""
    said = (claim.paper or "says so") if claim.origin == "paper" else "not asked"
    found = f"{claim.value} {claim.interval}" if claim.css != "none" else ""
    verdict = f"{claim.verdict}; {claim.reason}" if claim.reason else claim.verdict
    cells = (claim.text, said, found, verdict)
    name, *others = (_escaped(cell).replace("|", "\\|") for cell in cells)
    return [f"{name} (`{claim.id}`)", *others]


def main(folder: str, *pages: str) -> None:
    found = Path(folder, "findings.md").read_text(encoding="utf-8")
    claims = open_claims(Path(folder, "claims.csv"))
    told = (describe_claims(claims), Path(folder).name, claims.attrs["provenance"])
    for page in map(Path, pages):
        text = page.read_text(encoding="utf-8")
        if CLAIMS.search(text):
            new = put_claims(text, *told)
            figure = f"{SHOWN}.svg"
            shutil.copyfile(Path(folder, "figures", figure), page.parent / "figures" / figure)
        else:
            story = page.name == "README.md"
            new = put(text, one_list(found.partition(DEEPER)[0]) if story else found)
        page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
