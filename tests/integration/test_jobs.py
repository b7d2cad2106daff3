"""The default run has few jobs, and generation can be spread over many."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from study import copy_project, snakemake


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("jobs"))


def jobs(project: Path, *words: str) -> dict[str, int]:
    """Jobs by rule that a dry run of everything lists."""
    done = snakemake(project, "all", "-n", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    table = re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)
    return {rule: int(count) for rule, count in table}


@pytest.mark.slow
def test_the_default_run_has_few_jobs(project: Path) -> None:
    counts = jobs(project)
    assert counts["total"] <= 100
    assert counts["generate_answers"] == 6  # one a model and language


@pytest.mark.slow
def test_every_shard_can_be_a_job_of_its_own(project: Path) -> None:
    (project / "one.yaml").write_text("jobs: {shards: one}")
    assert jobs(project, "--configfile", "one.yaml")["generate_answers"] == 42


@pytest.mark.slow
def test_snakemake_looks_for_jobs_only_when_one_has_ended(project: Path) -> None:
    """A pass over all jobs and the sizes of their inputs costs a tenth of a second."""
    proofs = [f"results/pocket/proofs/pocket-{variant}.json" for variant in ("base", "instruct")]
    words = (*proofs, "--cores", "1", "--verbose")
    done = snakemake(project, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout + done.stderr
    ended = told.count("Finished jobid")
    assert ended == 4 and told.count("Resources before job selection") <= ended + 1
