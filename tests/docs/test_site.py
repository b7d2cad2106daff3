"""The documentation site: every page has its place, and every public name its description.

What the build itself refuses (broken links and anchors, pages without a place) is tested with
`mkdocs`, where it is installed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import lengthlens

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, without the objects that MkDocs makes of it."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def _hook():
    """docs/_site/links.py."""
    spec = importlib.util.spec_from_file_location("links", DOCS / "_site/links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LINKS = _hook()


def placed(nav: list | dict | str) -> Iterator[str]:
    """All pages of a navigation."""
    if isinstance(nav, str):
        yield nav
    for part in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from placed(part)


def test_every_page_has_one_place():
    config = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _Loader)
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.glob("**/*.md")]
    given = [*placed(config["nav"]), *LINKS.gallery(DOCS)]
    assert sorted(given) == sorted([*pages, "index.md"])  # made of README.md


def test_the_gallery_finds_its_place(tmp_path):
    for name in ("pocket/README.md", "README.md", "a.md", "pocket/figure.svg"):
        path = tmp_path / "gallery" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = ["gallery/README.md", "gallery/a.md", "gallery/pocket/README.md"]
    assert LINKS.gallery(tmp_path) == found
    assert LINKS.gallery(tmp_path / "none") == []


def test_every_public_name_is_described():
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    described = re.findall(r"^::: (lengthlens[\w.]*)\.(\w+)$", page, re.MULTILINE)
    assert [name for _, name in described] == list(dict.fromkeys(name for _, name in described))
    assert {name for _, name in described} | {"__version__"} == set(lengthlens.__all__)
    assert "`lengthlens.__version__`" in page
    for home, name in described:
        assert lengthlens._HOMES[name] == home


def test_a_graph_is_written_as_a_table():
    graph = "```mermaid\nflowchart LR\n  a --> b\n  a --> c\n  b --> c\n```\n"
    rows = LINKS.GRAPH.sub(LINKS._as_table, graph).splitlines()
    assert rows[2:] == ["| a | b, c |", "| b | c |"]


@pytest.mark.slow
def test_the_build_refuses_what_is_broken_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    shutil.copytree(DOCS, tmp_path / "docs")
    for path in ROOT.iterdir():
        if path.name not in ("docs", "site"):
            (tmp_path / path.name).symlink_to(path)

    def build() -> str:
        command = [sys.executable, "-m", "mkdocs", "build", "--strict"]
        quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=quiet)
        return done.stdout + done.stderr if done.returncode else ""

    assert build() == ""
    pages = [path.read_text(encoding="utf-8") for path in (tmp_path / "site").glob("**/*.html")]
    assert len(pages) > 20
    loaded = [re.findall(r'<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)="(\w+:[^"]*)', page)
              for page in pages]  # fmt: skip
    assert sum(loaded, []) == []
    broken = ("nowhere.md", "method.md#nowhere", "../nowhere.yaml", "#nowhere", "figures/none.svg")
    with (tmp_path / "docs/paper.md").open("a") as page:
        page.write("\n".join(f"[a]({link})" for link in broken))
    (tmp_path / "docs/lost.md").write_text("# Lost\n")
    told = build()
    assert all(re.search(rf"WARNING.*'{re.escape(link)}'", told) for link in broken), told
    assert re.search(r"WARNING.*not included in the \"nav\".*\n.*- lost.md", told), told
