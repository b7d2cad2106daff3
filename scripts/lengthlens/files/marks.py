"""Parts of pages that programs write, between two comments that readers do not see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def marks(name: str) -> tuple[str, str]:
    """The comments before and after a part."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def between(page: str, name: str) -> str:
    """What stands between a part's marks; empty where there are none."""
    begin, end = marks(name)
    return page.partition(begin)[2].partition(end)[0]


def put_between(page: str, name: str, text: str) -> str:
    """A page with other text between a part's marks.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = marks(name)
    before, opened, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not opened or not closed:
        raise ValueError(f"the page has no {begin} … {end}")
    return f"{before}{begin}\n{text}\n{end}{after}"


def markdown_table(head: Sequence[object], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown; every cell is written as `str` has it."""
    first, *others = (f"| {' | '.join(map(str, row))} |" for row in (head, *rows))
    return "\n".join([first, "|---" * len(head) + "|", *others])
