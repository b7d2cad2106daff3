"""What was tried and what came of it: one line a case, and a summary by kind of fault."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

RECOVERED, REFUSED, HARMLESS, FAILED = "recovered", "refused", "harmless", "failed"
OUTCOMES = (RECOVERED, REFUSED, HARMLESS, FAILED)
TITLES = {
    RECOVERED: "recovered, equal results",
    REFUSED: "refused, cause named",
    HARMLESS: "harmless, equal content",
    FAILED: "failures",
}
BEGIN, END = "<!-- torture: begin -->", "<!-- torture: end -->"


@dataclass(frozen=True)
class Case:
    """One fault and its outcome, one of `OUTCOMES`."""

    kind: str
    what: str
    outcome: str
    words: str = ""


@dataclass
class Ledger:
    """All cases of a run of the tests; tells each as it is known."""

    parts: list[dict] = field(default_factory=list)  # what other parts say about themselves
    cases: list[Case] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, what: str, outcome: str, words: str = "") -> None:
        assert outcome in OUTCOMES, outcome
        self.cases.append(Case(kind, what, outcome, words))
        print(f"{outcome:9}  {kind}: {what}{f' ({words})' if words else ''}", flush=True)

    def skip(self, kind: str, why: str) -> None:
        self.skipped[kind] = why
        print(f"skipped    {kind}: {why}", flush=True)

    def join(self, path: Path) -> None:
        """Add the cases of another part's summary.json."""
        values = json.loads(path.read_text(encoding="utf-8"))
        self.cases += [Case(**case) for case in values["cases"]]
        self.skipped |= values["skipped"]
        self.parts.append(values["about"])

    @property
    def failures(self) -> list[Case]:
        return [case for case in self.cases if case.outcome == FAILED]

    def counts(self) -> dict[str, dict[str, int]]:
        """Kind of fault -> outcome -> number of cases."""
        found: dict[str, dict[str, int]] = {}
        for case in self.cases:
            row = found.setdefault(case.kind, dict.fromkeys(OUTCOMES, 0))
            row[case.outcome] += 1
        return found

    def table(self) -> str:
        """The summary as a Markdown table."""
        lines = [
            "| fault | cases | " + " | ".join(TITLES[name] for name in OUTCOMES) + " |",
            "|---" * (len(OUTCOMES) + 2) + "|",
        ]
        for kind, row in self.counts().items():
            numbers = " | ".join(str(row[name]) for name in OUTCOMES)
            lines.append(f"| {kind} | {sum(row.values())} | {numbers} |")
        for kind, why in self.skipped.items():
            lines.append(f"| {kind} | skipped: {why} |" + " |" * len(OUTCOMES))
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, about: dict) -> None:
        """summary.json with every case, and summary.md."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {
            "about": about,
            "counts": self.counts(),
            "skipped": self.skipped,
            "cases": [asdict(case) for case in self.cases],
        }
        (folder / "summary.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        (folder / "summary.md").write_text(self.table(), encoding="utf-8")


def between_marks(page: str, lines: Iterable[str]) -> str:
    """A page with the given lines between its marks."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert mark and end, f"the page lacks {BEGIN} or {END}"
    return f"{before}{BEGIN}\n{''.join(lines)}{END}{after}"
