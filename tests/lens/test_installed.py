"""Installed with pip, the library works in a folder that has nothing of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
from pathlib import Path

import lengthlens
from transformers import AutoModelForCausalLM, AutoTokenizer

assert Path(lengthlens.__file__).is_relative_to({home!r}), lengthlens.__file__
folder = {model!r}
lens = lengthlens.Lens(
    AutoModelForCausalLM.from_pretrained(folder, dtype="float32"),
    AutoTokenizer.from_pretrained(folder),
)
found = lens.generate("Write a sentence about the sea in exactly 5 words.", 5, without="L0H0")
assert float(found["completeness_error"].max()) < 1e-4
print(lengthlens.show(found))
"""


@pytest.mark.slow
def test_the_installed_library_works_elsewhere(tmp_path: Path) -> None:
    source, home, elsewhere = (tmp_path / name for name in ("source", "home", "elsewhere"))
    elsewhere.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("scripts/lengthlens", "envs"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", home, source], check=True)
    assert list(home.glob("lengthlens/reporting/templates/report.css"))
    code = USE.format(home=str(home), model=str(ROOT / "resources/pocket/instruct"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "share of each token's logit" in done.stdout and "decision" in done.stdout
