"""Commands of the documentation: those in ```sh blocks are run, those in ```sh long are dry-run.

Every page counts, and no command can hide: neither in a fence of another kind nor in a sentence.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from study import ROOT, copy_project

SINGLE = ("README.md", "CONTRIBUTING.md", "config/README.md", "benchmarks/README.md")
PAGES = (*SINGLE, *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
FENCE = re.compile(r"^ *(`{3,}|~{3,})([^\n]*)\n(.*?)^ *\1$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"^(?:\w+=\S* +)*(?:snakemake|make|python|pip) +(?=\S)")
KINDS = {"sh", "sh long", "python", "python long", "python entry", "yaml", "mermaid", ""}
OPEN = re.compile(r"…|\{\w+\}|\bmy\.yaml\b")  # places in a command that the reader fills in


def blocks(page: str) -> list[tuple[str, str]]:
    """(information, text) of every fenced block of a page."""
    found = FENCE.findall((ROOT / page).read_text(encoding="utf-8"))
    return [(kind, textwrap.dedent(text)) for _, kind, text in found]


def mentioned(page: str) -> list[str]:
    """The commands that stand in sentences and tables, and have no gap for the reader to fill."""
    text = FENCE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    commands = (code for code in INLINE.findall(text) if COMMAND.match(code))
    return [command for command in commands if not OPEN.search(command)]


def checked(line: str) -> str:
    """A command that takes long, or would install, as one that only checks its arguments."""
    line = line.partition("#")[0].strip()
    if line.startswith("source "):
        return line
    bare = re.sub(r"^(\w+=\S* +)+", "", line)
    if bare.startswith("make "):
        return f"{line} --dry-run"
    if bare.startswith("python "):
        return _known_options(line, bare)
    if bare.startswith("pip install "):
        # A file of requirements, or the project itself, must be where the command looks for it.
        return f"test -e {shlex.quote(bare.split()[-1])}"
    assert bare.startswith("snakemake "), f"{line}: no way to check this without running it"
    # Snakemake's own report needs a finished run; what stands beside it is checked.
    line = re.sub(r" --report \S+", "", line)
    cores = "" if re.search(r" --cores | --workflow-profile ", line) else " --cores 1"
    return f"{line}{cores} --dry-run"


def _known_options(line: str, bare: str) -> str:
    """`--help` of a Python program, which must name every option that the command uses."""
    words = shlex.split(bare)
    if words[1] == "-m":  # of a module: that it can be found is all that is cheap to ask
        return f"{line.partition('python ')[0]}python -c 'import {words[2]}'"
    program = line[: line.index(words[1]) + len(words[1])]
    options = [word for word in words[2:] if word.startswith("--")]
    return "\n".join(
        [f"told=$({program} --help)", *(f'grep -q -e {name} <<< "$told"' for name in options)]
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_of_a_known_kind_and_hides_no_command(page: str):
    """A fence without a kind may hold formulas and folders, but nothing to be typed."""
    for kind, text in blocks(page):
        assert kind in KINDS, f"{page}: a block of the kind {kind!r}"
        if not kind:
            hidden = [line for line in text.splitlines() if COMMAND.match(line.strip(" $"))]
            assert hidden == [], f"{page}: mark the block as sh or sh long"


def test_blocks_are_found_in_every_form():
    """The patterns above would miss nothing that Markdown shows as a block."""
    page = "a\n```sh long\nmake test\n```\n  ~~~\n  pip install x\n  ~~~\n````\n```\n````\n"
    assert [found[1:] for found in FENCE.findall(page)] == [
        ("sh long", "make test\n"),
        ("", "  pip install x\n"),
        ("", "```\n"),
    ]
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert not re.search(r"^ *(```|~~~)", FENCE.sub("", text), re.MULTILINE), page


@pytest.mark.parametrize("page", PAGES)
def test_python_in_the_pages_uses_what_there_is(page: str):
    import lengthlens

    for kind, text in blocks(page):
        if kind == "python entry":  # of a dictionary
            compile(f"{{{text}}}", page, "eval")
        if kind == "python":
            compile(text, page, "exec")
            for name in re.findall(r"lengthlens\.(\w+)", text):
                assert hasattr(lengthlens, name), name


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_commands_work(page: str, tmp_path: Path):
    lines = [checked(command) for command in mentioned(page)]
    for kind, text in blocks(page):
        if kind == "sh":
            lines += text.splitlines()
        elif kind == "sh long":
            lines += [checked(line) for line in text.splitlines()]
    if not lines:
        pytest.skip(f"{page} has no commands")
    folder = copy_project(tmp_path / "project")
    for extra in ("examples", "benchmarks"):
        shutil.copytree(ROOT / extra, folder / extra)
    for extra in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / extra, folder)
    (folder / ".venv").symlink_to(sys.prefix)
    for kind, text in blocks(page):
        named = re.match(r"# ([\w-]+\.yaml)\n", text)
        if kind == "yaml" and named:
            (folder / named[1]).write_text(text, encoding="utf-8")
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
    from lengthlens.workflow.rule_graph import rule_graph

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
