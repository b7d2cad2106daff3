"""The pages of docs/ as GitHub shows them, made fit for the site.

MkDocs calls these functions while it builds. The README becomes the first page, and the pages of
docs/gallery/ get a tab of their own. A file of the project outside of docs/ that a page links to
goes into the site as plain text, so that the link works there, too. A link to a file that does not
exist is left as it is, and MkDocs refuses it.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
RELATIVE = re.compile(r"\]\((\.\./[^)#\s]+)(?:#[^)]*)?\)")
KIND = re.compile(r"^( *```\w+) \w+$", re.MULTILINE)  # "sh long" is for tests; readers see "sh"
GRAPH = re.compile(r"```mermaid\nflowchart LR\n(.*?)```\n", re.DOTALL)
WORKER = "assets/search-from-a-folder.js"


def gallery(docs: Path) -> list[str]:
    """The pages below docs/gallery/, the page of the folder first; none where there is none."""
    pages = (path.relative_to(docs).as_posix() for path in docs.glob("gallery/**/*.md"))
    return sorted(pages, key=lambda page: (page.count("/"), "README" not in page, page))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the gallery to the navigation, and what lets search work in a page opened from a folder.

    The plugin `offline` would load the latter from elsewhere. It does not if a script with
    `iframe-worker` in its address is there already.
    """
    if pages := gallery(Path(config.docs_dir)):
        config.nav.insert(2, {"Gallery": pages})
    config.extra["polyfills"] = [f"{WORKER}?iframe-worker"]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as the first page."""
    from mkdocs.structure.files import File

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?!https?:|#|docs/)", "](../", text).replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    script = Path(__file__).with_name("worker.js")
    files.append(File.generated(config, WORKER, abs_src_path=str(script)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Bring along the files outside of docs/ that a page links to; write graphs as tables."""
    from mkdocs.structure.files import File

    here = posixpath.dirname(page.file.src_uri)

    def inside(link: re.Match) -> str:
        path = posixpath.normpath(posixpath.join("docs", here, link[1]))
        target = f"project/{path}.txt"
        if path.startswith("docs/") or not (ROOT / path).is_file():
            return link[0]
        if files.get_file_from_path(target) is None:
            files.append(File.generated(config, target, abs_src_path=str(ROOT / path)))
        return f"]({posixpath.relpath(target, here or '.')})"

    return GRAPH.sub(_as_table, RELATIVE.sub(inside, KIND.sub(r"\1", markdown)))


def _as_table(graph: re.Match) -> str:
    """A graph as a table, because drawing it would take a script that is loaded from elsewhere."""
    follows: dict[str, list[str]] = {}
    for line in graph[1].splitlines():
        source, _, target = line.strip().partition(" --> ")
        follows.setdefault(source, []).append(target)
    rows = [f"| {source} | {', '.join(names)} |" for source, names in follows.items()]
    return "\n".join(["| rule | what uses its files |", "|---|---|", *rows, ""])
