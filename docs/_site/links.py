"""The pages of docs/ as GitHub shows them, made fit for the site.

MkDocs calls these functions while it builds. The README becomes the first page. A file of the
project outside of docs/ that a page links to goes into the site as plain text, so that the link
works there, too. A link to a file that does not exist is left as it is, and MkDocs refuses it.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = re.compile(r"\]\(\.\./([^)#\s]+)(?:#[^)]*)?\)")
KIND = re.compile(r"^( *```\w+) \w+$", re.MULTILINE)  # "sh long" is for tests; readers see "sh"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as the first page."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?!https?:|#|docs/)", "](../", text).replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Bring along the files outside of docs/ that a page links to."""

    def inside(link: re.Match) -> str:
        source, target = ROOT / link[1], f"project/{link[1]}.txt"
        if not source.is_file():
            return link[0]
        if files.get_file_from_path(target) is None:
            files.append(File.generated(config, target, abs_src_path=str(source)))
        return f"]({target})"

    return OUTSIDE.sub(inside, KIND.sub(r"\1", markdown))
