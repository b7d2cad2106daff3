"""All faults, often: `make torture`. Prints a line a case, and writes a summary.

`python tests/torture/torture.py [--kills 30] [--flips 240] [--sizes 600 2500] [--seed 0] [--page]`
does as it is told; with `--only` and `--join` in several parts, one after another or at once.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/integration"), str(Path(__file__).parent)]

import corruption  # noqa: E402
import disk  # noqa: E402
import kills  # noqa: E402
from cases import Ledger, between_marks  # noqa: E402
from runs import Project  # noqa: E402

PAGE = ROOT / "docs/reliability.md"
PARTS = ("flips", "workflow", "kills", "disk", "permissions", "twice")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30, help="how often to kill")
    parser.add_argument("--flips", type=int, default=240, help="files to damage and read back")
    parser.add_argument("--sizes", type=int, nargs="*", default=[600, 2500], help="disks [kB]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=PARTS, help=f"of {PARTS}; nothing: only join")
    parser.add_argument("--whole", type=Path, help="a finished small run to compare with")
    parser.add_argument("--join", type=Path, nargs="*", default=[], help="summaries of other parts")
    parser.add_argument("--page", action="store_true", help="write the table into the docs")
    parser.add_argument("--out", type=Path, default=ROOT / "results/torture")
    given = parser.parse_args()
    ledger = Ledger()
    begun = datetime.datetime.now(datetime.UTC)
    with tempfile.TemporaryDirectory(prefix="lengthlens-torture.") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            if given.only:
                whole = Project(given.whole or folder / "whole")
                assert given.whole or whole.do("all") == 0, whole.output()[-3000:]
                expected = whole.files()
            for part in given.only:
                torture(part, ledger, folder, whole, expected, given)
            for path in given.join:
                ledger.join(path)
        finally:
            about = {
                "date": begun.date().isoformat(),
                "commit": commit(),
                "seed": given.seed,
                "minutes": round((datetime.datetime.now(datetime.UTC) - begun).seconds / 60, 1),
                "python": platform.python_version(),
            }
            about = of_all_parts(about, ledger.parts, alone=bool(given.only))
            ledger.write(given.out, about)
    print(f"\n{ledger.table()}\nwritten to {given.out}")
    if given.page:
        PAGE.with_suffix(".json").write_bytes((given.out / "summary.json").read_bytes())
        words = f"{about['date']}, commit {about['commit']}, seed {about['seed']}, "
        head = f"Last long run: {words}{about['minutes']:.0f} minutes.\n\n"
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(between_marks(page, ["\n", head, ledger.table(), "\n"]), encoding="utf-8")
    return 1 if ledger.failures else 0


def torture(part, ledger: Ledger, folder: Path, whole: Project, expected: dict, given) -> None:
    """One kind of fault."""
    if part == "flips":
        corruption.torture_readers(ledger, whole.results, given.flips, given.seed)
    elif part == "workflow":
        corruption.torture_workflow(ledger, whole, expected, given.seed)
    elif part == "kills":
        kills.torture(ledger, folder, expected, given.kills, given.seed)
    elif part == "disk":
        disk.full_disk(ledger, folder, expected, given.sizes)
    elif part == "permissions":
        disk.permissions(ledger, folder, expected)
    else:
        disk.two_at_once(ledger, folder, expected)


def of_all_parts(about: dict, parts: list[dict], alone: bool) -> dict:
    """Commits and minutes of this run (unless it only joins others) and of those it joins."""
    every = [about] * alone + parts
    commits = dict.fromkeys(part["commit"] for part in every)
    minutes = round(sum(part["minutes"] for part in every), 1)
    return about | {"commit": ", ".join(commits), "minutes": minutes}


def commit() -> str:
    words = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
