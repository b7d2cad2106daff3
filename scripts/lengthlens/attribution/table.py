"""The table of model types in docs/architectures.md: proven, or why not, type by type.

`python -m lengthlens.attribution.table [TYPE ...]` makes it anew (of all types: some minutes);
tests tell when it is old.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from lengthlens.attribution.proof import proven
from lengthlens.errors import LengthlensError
from lengthlens.files.marks import between, markdown_table, put_between
from lengthlens.models.anatomy import Anatomy, LayerSites, dissect
from lengthlens.models.architectures import ARCHITECTURES
from lengthlens.models.every_type import TYPES, NotBuilt, any_model

PART = "types"  # of the page (`files.marks`)
PROVEN, REFUSED, NOT_BUILT, CRASHED = "proven", "refused", "not tried", "crashed"
_TEXTS = [list(range(20, 33)), list(range(60, 67))]
_FRAME = re.compile(
    r"architecture '[^']*'(, with this model's settings,)? is not .*?: |"
    r"\. (To add it|Install the versions).*"
)


def verdict(kind: str) -> tuple[str, str]:
    """Whether a tiny random model of a type is proven; its components, or why not."""
    try:
        model = any_model(kind)
    except NotBuilt as reason:
        return NOT_BUILT, _plain(str(reason).partition(": ")[2])
    try:
        anatomy = dissect(model)
        proven(model, anatomy, _TEXTS, kind)
    except LengthlensError as reason:
        return REFUSED, _plain(_FRAME.sub("", str(reason)))
    except Exception as error:  # of any code that a type brings: a fault of ours, told as such
        return CRASHED, _plain(f"{type(error).__name__}: {error}")
    found = "listed" if kind in ARCHITECTURES else "detected"
    return PROVEN, f"{found}: {components(anatomy)}"


def components(anatomy: Anatomy) -> str:
    """What the layers of a model consist of, kind by kind."""
    return " \\| ".join(dict.fromkeys(map(_layer, anatomy.layers)))


def _layer(layer: LayerSites) -> str:
    parts = [
        f"{site.branch.kind}, whole" if site.branch.whole else f"{site.branch.kind} by head"
        for site in layer.mixing
    ]
    parts += ["MLP"] * bool(layer.mlps) + ["bias"] * bool(layer.biases)
    return " + ".join(parts)


def _plain(reason: str) -> str:
    """A reason on one line, without what would break a table."""
    return " ".join(reason.split()).replace("|", "\\|").replace("<", "&lt;")[:300].strip()


def read_table(text: str) -> dict[str, tuple[str, str]]:
    """The rows of the page: type -> verdict and what it says."""
    rows = between(text, PART).splitlines()
    cells = [
        re.split(r"(?<!\\)\|", row.strip().strip("|")) for row in rows if row.startswith("| `")
    ]
    return {kind.strip().strip("`"): (what.strip(), why.strip()) for kind, what, why in cells}


def with_table(text: str, rows: Mapping[str, tuple[str, str]]) -> str:
    """The page with other rows."""
    counts = Counter(what for what, _ in rows.values())
    told = ", ".join(f"{counts[what]} {what}" for what in (PROVEN, REFUSED, NOT_BUILT, CRASHED))
    table = markdown_table(
        ["type", "", "components, or why not"],
        [(f"`{kind}`", what, why) for kind, (what, why) in sorted(rows.items())],
    )
    return put_between(text, PART, f"\nOf {len(rows)} types {told}.\n\n{table}\n")


def main(kinds: Iterable[str], page: Path) -> None:
    """Try some types anew, all by default, and write the page."""
    text = page.read_text(encoding="utf-8")
    rows = {kind: row for kind, row in read_table(text).items() if kind in TYPES}
    for kind in kinds or TYPES:
        rows[kind] = verdict(kind)
        print(kind, *rows[kind], sep=" | ", flush=True)
        text = with_table(text, rows)
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:], Path(__file__).parents[3] / "docs/architectures.md")
