"""The workflow runs from any folder, and inside of another workflow."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from study import LITTLE, copy_project, results_below, snakemake

pytestmark = pytest.mark.slow

CONFIG = (
    """
run: elsewhere
models: {mine: {path: resources/pocket/instruct, variant: instruct}}
languages: [en]
n_words: [3, 5]
forced: {per_n: 2}
ablation: {k: [1], further_k: [], controls: 3, answered_controls: 1, modes: [zero], untuned: []}
probes: {languages: [], n_words: [], per_n: 2}
figures: {dpi: 60, formats: [svg]}
"""
    + LITTLE
)
MODULE = """
configfile: "study.yaml"


module lengthlens:
    snakefile:
        {snakefile}
    config:
        config
    {further}


use rule * from lengthlens as lengthlens_*
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working folder that is not the project's, with a configuration."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "study.yaml").write_text(CONFIG)
    return folder


def told(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def outer(work: Path, snakefile: str, further: str = "") -> None:
    text = MODULE.format(snakefile=snakefile, further=further)
    (work / "Snakefile").write_text(text, encoding="utf-8")


# --- from another folder ---------------------------------------------------------------------


@pytest.mark.parametrize("by", ["-s", "--directory"])
def test_the_default_study_is_found_from_any_folder(project: Path, tmp_path: Path, by: str):
    """Its config.yaml and its models are the project's, wherever Snakemake is started."""
    words = ("-s", str(project / "Snakefile")) if by == "-s" else ("--directory", str(tmp_path))
    done = snakemake(tmp_path if by == "-s" else project, "generate", "-n", *words)
    assert done.returncode == 0, told(done)
    assert re.search(r"^generate_answers +6$", done.stdout, re.MULTILINE)


def test_a_config_yaml_that_would_not_be_read_is_told(project: Path, work: Path):
    (work / "config.yaml").write_text(CONFIG)
    done = snakemake(work, "-n", "-s", str(project / "Snakefile"))
    assert done.returncode == 1
    assert "No job was started: the working folder has a config.yaml, which is not" in told(done)
    assert "--configfile config.yaml" in told(done)


@pytest.mark.parametrize("by", ["-s", "--directory"])
def test_a_model_is_found_from_any_folder(project: Path, work: Path, by: str):
    """Checked before the run and opened in it: in the same folder, that of the project."""
    file = ("--configfile", str(work / "study.yaml"))
    if by == "-s":
        done = snakemake(work, "generate", "-s", str(project / "Snakefile"), *file)
    else:
        done = snakemake(project, "generate", "--directory", str(work), *file)
    assert done.returncode == 0, told(done)
    made = json.loads((work / "results/elsewhere/generations/mine.en.provenance.json").read_text())
    assert made["model"]["source"] == "resources/pocket/instruct"
    assert not (project / "results").exists()


# --- inside of another workflow --------------------------------------------------------------


def test_a_clone_below_the_working_folder_with_a_prefix(work: Path, tmp_path: Path):
    """The whole study: its files from the clone, its results below the prefix; then a copy."""
    copy_project(work / "lengthlens")
    outer(work, '"lengthlens/Snakefile"', 'prefix:\n        "studies"')
    done = snakemake(work, forked=True)
    assert done.returncode == 0, told(done)
    report = work / "studies/results/elsewhere/report.html"
    assert report.stat().st_size > 10_000
    assert not (work / "results").exists() and not (work / "lengthlens/results").exists()
    assert any(name.startswith("selection/") for name in results_below(report.parent))
    assert "Nothing to be done" in told(snakemake(work, "-n"))

    # Copied into a fresh clone: newer code, and no memory; then what the how-to says.
    copy = tmp_path / "copy"
    shutil.copytree(work, copy, ignore=shutil.ignore_patterns(".snakemake"))
    for file in (copy / "lengthlens").rglob("*"):
        file.touch()
    assert "Nothing to be done" not in told(snakemake(copy, "-n"))
    done = snakemake(copy, "--touch")
    assert done.returncode == 0, told(done)
    assert "Nothing to be done" in told(snakemake(copy, "-n"))


def test_a_module_that_is_no_clone_is_refused_with_what_works(project: Path, work: Path):
    """As by `github(…)`: Snakemake then fetches the files one by one. Here, from a local git."""
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(project)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "Snakefile"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
    outer(work, f'gitfile("{project}", path="Snakefile", ref="HEAD")')
    done = snakemake(work, "-n")
    assert done.returncode == 1
    assert "ModuleNotFoundError" not in told(done)
    assert "No job was started: " in told(done)
    assert "git submodule add <address of the repository> lengthlens" in told(done)
    assert 'snakefile: "lengthlens/Snakefile"' in told(done)
