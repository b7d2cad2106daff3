"""The recipe as a target of the workflow."""

import csv

import pytest
from study import copy_project, snakemake


@pytest.mark.slow
def test_the_recipe_runs_and_a_missing_base_is_told(tmp_path):
    project = copy_project(tmp_path / "project")
    folder = project / "results/adapter-training"
    done = snakemake(project, "results/adapter-training/tiny/provenance.json")
    assert done.returncode == 0, done.stderr[-3000:]
    with (folder / "tiny/losses.csv").open(encoding="utf-8", newline="") as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == list(range(1, 9))
    with (folder / "tiny/development.csv").open(encoding="utf-8", newline="") as file:
        assert [(row["step"], float(row["exact"]) <= 1) for row in csv.DictReader(file)] == [
            ("4", True),
            ("8", True),
        ]
    assert sorted(path.name for path in (folder / "tiny/steps").iterdir()) == ["2", "6"]
    again = snakemake(project, "--dry-run", "results/adapter-training/tiny/provenance.json")
    assert "Nothing to be done" in again.stdout + again.stderr
    recipes = (project / "config/adapter.yaml").read_text(encoding="utf-8")
    nowhere = recipes.replace("base: resources/pocket/instruct", "base: resources/nowhere")
    (project / "config/adapter.yaml").write_text(nowhere, encoding="utf-8")
    refused = snakemake(project, "results/adapter-training/tiny/provenance.json", "--forceall")
    assert refused.returncode != 0
    assert "there is no model to tune" in refused.stderr
    assert "set `base` in config/adapter.yaml" in refused.stderr
