"""Only what a change concerns runs again: the whole workflow once, then dry runs after changes."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from study import LITTLE, finished_study, snakemake

from lengthlens.figures.registry import FIGURES

pytestmark = pytest.mark.slow

CONFIG = (
    """
run: stale
languages: [en]
n_words: [3]
ablation: {k: [1], controls: 3, base_controls: 1}
probes: {languages: [], n_words: [4], per_n: 2}
figures: {dpi: 60}
"""
    + LITTLE
)
DRAWN = {f"draw_{name}" for name in FIGURES}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the whole study was run once, very small."""
    folder = finished_study(tmp_path_factory.mktemp("project"), CONFIG)
    assert (folder / "results/stale/report.html").stat().st_size > 10_000
    return folder


def planned(folder: Path, change: str = "{}") -> Counter:
    """Jobs by rule that a dry run with a changed configuration would start, targets aside."""
    (folder / "change.yaml").write_text(change)
    done = snakemake(folder, "all", "-n", "--configfile", "small.yaml", "change.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    if "Nothing to be done" in done.stdout + done.stderr:
        return Counter()
    table = re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)
    counts = Counter({rule: int(count) for rule, count in table if rule not in ("total", "all")})
    assert counts, done.stdout
    return counts


@pytest.fixture
def edited(project: Path):
    """Append a line to a file for the duration of a test."""
    kept: dict[Path, bytes] = {}

    def edit(name: str, line: str) -> None:
        path = project / name
        kept[path] = path.read_bytes()
        path.write_bytes(kept[path] + line.encode())

    yield edit
    for path, content in kept.items():
        path.write_bytes(content)


def test_a_second_run_does_nothing(project):
    assert planned(project) == Counter()


def test_touched_files_rerun_nothing(project):
    for part in ("scripts", "resources", "results", "config.yaml"):
        for path in [project / part, *(project / part).rglob("*")]:
            if path.is_file():
                path.touch()
    assert planned(project) == Counter()


def test_a_changed_style_redraws_figures_alone(project, edited):
    edited("scripts/lengthlens/figures/style.py", "\n# another style\n")
    assert set(planned(project)) - {"render_report"} == DRAWN


def test_a_changed_resolution_redraws_figures_alone(project):
    assert set(planned(project, "figures: {dpi: 61}")) - {"render_report"} == DRAWN


@pytest.mark.parametrize("change", ["n_words: [3, 5]", "prompts: {per_n: 8}"])
def test_another_n_or_more_prompts_generate_only_what_is_added(project, tmp_path, change):
    counts = planned(project, change)
    assert counts["generate_answers"] == 2, counts  # one for each model
    assert counts["hash_weights"] == counts["prove_model"] == 0
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    shards = copy / "results/stale/shards"
    before = {path.name: path.read_bytes() for path in shards.iterdir() if path.is_file()}
    (copy / "change.yaml").write_text(change)
    done = snakemake(copy, "generate", "--configfile", "small.yaml", "change.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("1 of 2 shards were there") == 2
    after = {path.name: path.read_bytes() for path in shards.iterdir() if path.is_file()}
    assert len(after) == 2 * len(before)
    assert {name: after[name] for name in before} == before
    for name in before:  # put back, not copied
        assert any(kept.samefile(shards / name) for kept in (shards / ".kept").rglob(name))


def test_a_proof_made_anew_makes_no_answer_stale(project, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    with (copy / "scripts/lengthlens/attribution/proof.py").open("a") as file:
        file.write("\n# a better proof\n")
    done = snakemake(copy, "generate", "--configfile", "small.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("Proving that attribution is complete") == 2, done.stderr
    assert done.stderr.count("1 of 1 shards were there") == 2


def test_another_language_generates_only_itself(project):
    counts = planned(project, "languages: [en, it]")
    assert counts["generate_answers"] == 2, counts
    assert counts["attribute_answers"] == 2, counts
    assert counts["ablate_components"] == 4, counts  # transfer: what one finds is removed in all


def test_an_edited_module_reruns_what_uses_it(project, edited):
    edited("scripts/lengthlens/attribution/per_sample.py", "\n# another method\n")
    counts = planned(project)
    assert counts["attribute_answers"] == 2
    assert counts["generate_answers"] == counts["collect_answers"] == counts["build_prompts"] == 0


def test_an_edited_generation_module_reruns_generation(project, edited):
    edited("scripts/lengthlens/decoding/decode.py", "\n# another loop\n")
    counts = planned(project)
    assert counts["generate_answers"] == 2
    assert counts["build_prompts"] == counts["hash_weights"] == 0


def test_another_seed_of_the_bootstrap_leaves_the_models_alone(project):
    counts = planned(project, "statistics: {seed: 1}")
    assert counts["aggregate_cwa"] == 1
    assert counts["generate_answers"] == counts["ablate_components"] == 0
