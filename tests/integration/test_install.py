"""The package, installed by pip, works outside of the project's folder."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from study import ROOT

pytestmark = pytest.mark.slow
USE = """
import lengthlens
from lengthlens.reporting.page import TEMPLATES
print(lengthlens.__file__)
print(*sorted(path.name for path in TEMPLATES.iterdir()))
"""


@pytest.mark.skipif(not importlib.util.find_spec("setuptools"), reason="setuptools is missing")
def test_pip_installs_a_package_that_can_be_imported_elsewhere(tmp_path: Path):
    """Dependencies are those of this environment; nothing is fetched."""
    source, target = tmp_path / "source", tmp_path / "target"
    parts = {"pyproject.toml", "README.md", "LICENSE", "envs", "scripts"}
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in parts:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=ignored)
        else:
            source.mkdir(exist_ok=True)
            shutil.copy2(ROOT / part, source / part)
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run([*pip, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    used = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
    )
    assert used.returncode == 0, used.stderr
    place, templates = used.stdout.splitlines()
    assert place.startswith(str(target))
    shipped = ROOT / "scripts/lengthlens/reporting/templates"
    assert templates.split() == sorted(path.name for path in shipped.iterdir())
