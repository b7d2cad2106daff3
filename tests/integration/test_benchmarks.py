"""The benchmarks measure what they say, on the smallest workload."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from study import ROOT

pytestmark = pytest.mark.slow

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
CELL = {"size": "1M", "variant": "instruct", "prompts": 7, "rows": 4, "cap": 16}


def measured(script: str, cell: dict) -> dict:
    done = subprocess.run(
        [sys.executable, f"benchmarks/{script}.py", "--measure", json.dumps(cell)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("method", ["ours", "dump", "lens-batched"])
def test_time_is_measured_beside_generate_and_attribution_is_complete(method: str) -> None:
    found = measured("attribution", CELL | {"method": method})
    assert found["tokens"] >= 7 * 3
    assert min(found[name] for name in ("cpu", "wall", "generate_cpu", "generate_wall")) > 0
    assert 0 < found["error"] < 2e-5


def test_memory_beyond_the_model_is_measured() -> None:
    cell = {"variant": "instruct", "prompts": 7}
    plain, ours = (
        measured("memory", cell | {"method": method})["memory"] for method in ("generate", "ours")
    )
    assert 1 < plain < 500 and 1 < ours < 500


def test_the_page_shows_the_results(tmp_path: Path) -> None:
    """If this fails: `PYTHONPATH=scripts python benchmarks/show.py`."""
    copy = shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    subprocess.run([sys.executable, copy / "show.py"], env=ENVIRONMENT, check=True)
    assert (copy / "README.md").read_bytes() == (ROOT / "benchmarks/README.md").read_bytes()


def test_two_commits_are_compared_in_multiples_of_generate(monkeypatch) -> None:
    """After ÷ before, run by run: 1.2 / 1.0 and 1.1 / 1.1 with attribution."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    table = runpy.run_path(str(ROOT / "benchmarks/two_commits.py"))["table"]
    before = [
        {"cpu": 2.0, "loop_cpu": 1.8, "generate_cpu": 2.0},
        {"cpu": 3.3, "loop_cpu": 2.7, "generate_cpu": 3.0},
    ]
    after = [
        {"cpu": 2.4, "loop_cpu": 1.8, "generate_cpu": 2.0},
        {"cpu": 1.1, "loop_cpu": 0.9, "generate_cpu": 1.0},
    ]
    lines = table({"before": before, "after": after}).splitlines()
    assert lines[2].endswith("| 1.000 (1.000–1.000) |")
    assert lines[3].endswith("| 1.100 (1.000–1.200) |")
