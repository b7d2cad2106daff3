"""Commands of the documentation: those in ```sh blocks are run, those in ```sh long are dry-run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from study import ROOT, copy_project

PAGES = ("README.md", "CONTRIBUTING.md", "config/README.md", "docs/tutorial.md", "docs/how-to.md")
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: str) -> list[tuple[str, str]]:
    """(information, text) of every fenced block of a page."""
    return FENCE.findall((ROOT / page).read_text(encoding="utf-8"))


def checked(line: str) -> str:
    """A command that takes long, as one that only checks its arguments."""
    if line.startswith("make "):
        return f"{line} --dry-run"
    if line.startswith("python "):
        return f"{' '.join(line.split()[:2])} --help"
    assert line.startswith("snakemake "), f"{line}: no way to check this without running it"
    # Snakemake's own report needs a finished run; what stands beside it is checked.
    return re.sub(r" --report \S+", " --cores 1", line.partition("#")[0]) + " --dry-run"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_is_marked(page: str):
    for kind, text in blocks(page):
        if not kind:
            assert not re.search(r"^(snakemake|make|python|pip) ", text, flags=re.MULTILINE), text


@pytest.mark.parametrize("page", PAGES)
def test_python_in_the_pages_uses_what_there_is(page: str):
    import lengthlens

    for kind, text in blocks(page):
        if kind == "python":
            compile(text, page, "exec")
            for name in re.findall(r"lengthlens\.(\w+)", text):
                assert hasattr(lengthlens, name), name


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_work(page: str, tmp_path: Path):
    folder = copy_project(tmp_path / "project")
    shutil.copy2(ROOT / "Makefile", folder)
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / ".venv").symlink_to(sys.prefix)
    lines = []
    for kind, text in blocks(page):
        named = re.match(r"# ([\w-]+\.yaml)\n", text)
        if kind == "yaml" and named:
            (folder / named[1]).write_text(text, encoding="utf-8")
        if kind == "sh":
            lines += text.splitlines()
        elif kind == "sh long":
            lines += [
                line if line.startswith("source ") else checked(line) for line in text.splitlines()
            ]
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(lines)],
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.slow
def test_the_graph_of_rules_is_current():
    from lengthlens.rule_graph import rule_graph

    assert rule_graph(ROOT) in (ROOT / "docs/workflow.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_another_workflow_can_use_this_one(tmp_path: Path):
    """The how-to's Snakefile, with this project's path; its rules get the prefix."""
    [text] = [text for kind, text in blocks("docs/how-to.md") if kind == "python long"]
    text = text.replace("/path/to/lengthlens", str(ROOT))
    (tmp_path / "Snakefile").write_text(text, encoding="utf-8")
    (tmp_path / "study.yaml").write_text("run: mine\nlanguages: [en]\nn_words: [3]\n")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lengthlens_render_report" in done.stdout + done.stderr
