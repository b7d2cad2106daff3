"""A page about a finished run, for readers who do not want to run anything.

    PYTHONPATH=scripts python -m lengthlens.reporting.gallery results/pocket docs/gallery/pocket \\
        "make reproduce"

writes the folder docs/gallery/pocket. Its README.md contains what was run, what was found, every
figure of the run with its caption, and the verdict on every claim. The figures are saved with few
colours to keep the gallery small. Everything comes from the run's own files.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from lengthlens.claims.verdicts import NO_DATA
from lengthlens.figures.numbers import MINUS, NONE
from lengthlens.figures.registry import FIGURES
from lengthlens.files.formats import REPORT
from lengthlens.files.marks import markdown_table
from lengthlens.files.provenance import read_with_sidecar
from lengthlens.readers import open_claims
from lengthlens.reporting.digest import DEEPER
from lengthlens.reporting.embed import title_of

COLOURS = 64  # of a figure
WIDTH = 1400  # at most [pixels]
ROOT = Path(__file__).parents[3]


def page(run: Path, command: str) -> str:
    """The page about a run.

    Args:
        run: its results folder, with findings.md, claims.csv and figures/.
        command: that makes it.
    """
    text, made = read_with_sidecar(run / "findings.md", REPORT)
    config, commit = made["config"], made["commit"]
    story, _, deeper = text.partition(DEEPER)
    models = "".join(f"| weights of {name} | `{seal}` |\n" for name, seal in made["models"].items())
    return (
        "\n\n".join(
            [
                f"# {config['report']['title'] or config['run']}",
                f"| | |\n|---|---|\n| command | `{command}` |\n"
                f"| date and commit | {_date(commit)}, "
                f"`{commit}` |\n| lengthlens | {made['lengthlens']} |\n{models}".rstrip(),
                "Everything on this page was written by the run. Intervals stand in brackets; they "
                "are pointwise, so some of many miss the truth by chance.",
                _lowered(story),
                "## Every figure",
                *_figures(run, drawn(run)),
                "## Everything else that it found",
                _lowered(deeper),
                "## Claims and verdicts",
                _claims(run),
            ]
        )
        + "\n"
    )


def _date(commit: str) -> str:
    """When a commit was made."""
    told = subprocess.run(
        ["git", "show", "-s", "--format=%cs", commit], cwd=ROOT, capture_output=True, text=True
    )
    return told.stdout.strip() or "unknown date"


def _lowered(findings: str) -> str:
    """Findings without the comment that names their run; headings are lowered to fit the page."""
    text = re.sub(r"<!--.*?-->", "", findings, flags=re.DOTALL)
    return re.sub(r"^###", "##", text, flags=re.MULTILINE).strip()


def drawn(run: Path) -> list[str]:
    """Names of the figures that a run drew."""
    return [name for name in FIGURES if (run / "figures" / f"{name}.png").exists()]


def _figures(run: Path, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        title = title_of(run / "figures" / f"{name}.png")
        caption = (ROOT / "rules/captions" / f"{name}.rst").read_text(encoding="utf-8")
        yield f"### {title}\n\n![{title}]({name}.png)\n\n{caption.strip()}"


def _claims(run: Path) -> str:
    """One row per claim for which the run had data; the others are counted."""
    claims = open_claims(run / "claims.csv")
    told = claims[claims["verdict"] != NO_DATA]
    rows = [
        (row.claim, row.status, row.verdict,
         f"{_number(row.value)} [{_number(row.low)}, {_number(row.high)}] {row.unit}")
        for row in told.itertuples()
    ]  # fmt: skip
    rest = f"\n\nThe run has no data on {len(claims) - len(told)} more claims." * (
        len(claims) > len(told)
    )
    return markdown_table(["claim", "status", "verdict", "measured"], rows) + rest


def _number(value: float) -> str:
    """A number with three digits, because claims have many kinds of units."""
    return NONE if math.isnan(value) else f"{value:.3g}".replace("-", MINUS)


def draw(source: Path, target: Path) -> None:
    """A figure with few colours."""
    with Image.open(source) as image:
        small = image.convert("RGB")
        small.thumbnail((WIDTH, 10 * WIDTH))
        small.quantize(COLOURS).save(target, optimize=True)


def main(run: str, folder: str, command: str) -> None:
    source, target = Path(run), Path(folder)
    text = page(source, command)
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.png"):
        old.unlink()
    for name in drawn(source):
        draw(source / "figures" / f"{name}.png", target / f"{name}.png")
    (target / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:4])
