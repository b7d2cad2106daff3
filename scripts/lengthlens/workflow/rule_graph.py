"""The graph of the workflow's rules in docs/workflow.md, drawn by Snakemake itself.

`make docs` writes it; a test tells when it is old.
"""

import re
import subprocess
import sys
from pathlib import Path

from lengthlens.files.marks import put_between

PART = "rules"  # of the page (`files.marks`)
_LEFT_OUT = re.compile(r"\s*style |---|title:")  # colours are chance, and the page is the title


def rule_graph(root: Path) -> str:
    """The rules of the default study as a Mermaid flowchart, equal for equal workflows."""
    options = ["--rulegraph", "mermaid-js", "--forceall", "--nolock"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *options],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.strip() for line in done.stdout.splitlines() if not _LEFT_OUT.match(line)]
    names = dict(re.fullmatch(r"(id\d+)\[(\w+)\]", line).groups() for line in lines if "[" in line)
    arrows = [tuple(line.split(" --> ")) for line in lines if " --> " in line]
    edges = sorted((names[start], names[end]) for start, end in arrows if names[end] != "all")
    return "\n".join(["flowchart LR", *(f"  {start} --> {end}" for start, end in edges)])


def with_graph(page: str, graph: str) -> str:
    """The page with the graph between its marks."""
    return put_between(page, PART, f"```mermaid\n{graph}\n```")


if __name__ == "__main__":
    project = Path(__file__).parents[3]
    path = project / "docs/workflow.md"
    text = with_graph(path.read_text(encoding="utf-8"), rule_graph(project))
    path.write_text(text, encoding="utf-8")
