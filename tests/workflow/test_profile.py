"""Under the shipped profile an edited file reruns what uses it, and a touched one nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROFILE = Path(__file__).parents[2] / "profiles/default"

SNAKEFILE = """
rule copy_data:
    input: "data.bin", code="module.py"
    output: "copy.bin"
    script: "copy_data.py"
"""
SCRIPT = """
import shutil
shutil.copy(snakemake.input[0], snakemake.output[0])
"""


def run(folder: Path) -> str:
    command = [sys.executable, "-m", "snakemake", "--cores", "1"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.mark.slow
def test_a_touch_reruns_nothing_and_an_edit_does(tmp_path: Path):
    shutil.copytree(PROFILE, tmp_path / "profiles/default")
    (tmp_path / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    (tmp_path / "copy_data.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "module.py").write_text("x = 1\n", encoding="utf-8")
    # Larger than what Snakemake compares by content unless told otherwise (1 MB).
    (tmp_path / "data.bin").write_bytes(bytes(2_000_000))
    run(tmp_path)
    for name in ("data.bin", "module.py", "copy_data.py"):
        (tmp_path / name).touch()
        assert (tmp_path / name).stat().st_mtime > (tmp_path / "copy.bin").stat().st_mtime
    assert "Nothing to be done" in run(tmp_path)

    (tmp_path / "module.py").write_text("x = 2\n", encoding="utf-8")
    assert "rule copy_data" in run(tmp_path)
