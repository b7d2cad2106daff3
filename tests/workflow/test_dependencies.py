"""The files that `modules_of` finds are those that Python really loads."""

import graphlib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lengthlens.errors import LengthlensError
from lengthlens.workflow.dependencies import _imports, modules_of

SCRIPTS = Path(__file__).parents[2] / "scripts"

# For each script: forget the package, run the imports of the script, then again and again those
# of every loaded package file (functions included) until nothing new appears. One process for
# all, because loading torch takes seconds; every file is compiled once.
LOAD_FOR_REAL = """
import ast, functools, json, sys, tempfile
from pathlib import Path

scripts = Path(sys.argv[1])
sys.path.insert(0, str(scripts))
compiled = tempfile.TemporaryDirectory()
sys.pycache_prefix = compiled.name

@functools.cache
def imports(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n)]
    unused = {id(n) for block in blocks for part in block.body for n in ast.walk(part)}
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    used = [n for n in nodes if id(n) not in unused]
    return [compile(ast.Module([n], []), str(path), "exec") for n in used]

def run_imports(path, package):
    for code in imports(path):
        exec(code, {"__package__": package})

def package_modules():
    return [name for name in sys.modules if name.split(".")[0] == "lengthlens"]

def loaded():
    modules = [sys.modules[name] for name in package_modules()]
    return {Path(m.__file__): m.__package__ for m in modules if getattr(m, "__file__", None)}

result = {}
for script in sorted(scripts.glob("*.py")):
    for name in package_modules():
        del sys.modules[name]
    run_imports(script, None)
    done = {}
    while new := {path: package for path, package in loaded().items() if path not in done}:
        for path, package in new.items():
            run_imports(path, package)
        done |= new
    result[script.name] = sorted(str(path) for path in done)
print(json.dumps(result))
"""


def load_for_real(scripts: Path) -> dict[str, list[Path]]:
    """Script name -> package files that Python loads for it."""
    command = [sys.executable, "-c", LOAD_FOR_REAL, str(scripts)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    loaded = json.loads(result.stdout.splitlines()[-1])
    return {name: [Path(path) for path in paths] for name, paths in loaded.items()}


def write_project(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "make_thing.py"


def found_names(script: Path) -> list[str]:
    return [str(path.relative_to(script.parent / "lengthlens")) for path in modules_of(script)]


@pytest.mark.slow
def test_every_script_of_the_workflow():
    truth = load_for_real(SCRIPTS)
    assert truth, "there are no scripts"
    assert {name: modules_of(SCRIPTS / name) for name in truth} == truth


def test_every_way_to_import(tmp_path: Path):
    script = write_project(
        tmp_path,
        {
            "make_thing.py": (
                "from lengthlens.direct import x\nfrom lengthlens import sibling\n"
                "import lengthlens.plain as p\nimport json, os.path\n"
            ),
            "lengthlens/__init__.py": "__version__ = '1'\n",
            "lengthlens/direct.py": (
                "from typing import TYPE_CHECKING\n"
                "if TYPE_CHECKING:\n    from lengthlens import only_for_checkers\n"
                "x = 1\ndef f():\n    from lengthlens.inside import y\n"
            ),
            "lengthlens/only_for_checkers.py": "",
            "lengthlens/inside.py": "from lengthlens import __version__ as y\n",
            "lengthlens/sibling.py": "from .figures import heat\n",
            "lengthlens/plain.py": "from . import relative\n",
            "lengthlens/relative.py": "",
            "lengthlens/figures/__init__.py": "",
            "lengthlens/figures/heat.py": "from ..deep import z\nfrom .style import colour\n",
            "lengthlens/figures/style.py": "colour = 1\n",
            "lengthlens/deep.py": "z = 1\n",
            "lengthlens/unused.py": "",
        },
    )
    assert modules_of(script) == load_for_real(tmp_path)["make_thing.py"]
    assert "unused.py" not in found_names(script)
    assert "only_for_checkers.py" not in found_names(script)


def test_paths_are_relative_where_the_script_is(monkeypatch: pytest.MonkeyPatch):
    """Absolute inputs would make every rule stale in a moved folder."""
    monkeypatch.chdir(SCRIPTS.parent)
    for script in Path("scripts").glob("*.py"):
        assert all(not path.is_absolute() and path.is_file() for path in modules_of(script))


def test_a_reader_must_come_from_its_module(tmp_path: Path):
    script = write_project(
        tmp_path,
        {
            "make_thing.py": "from lengthlens import open_it\n",
            "lengthlens/__init__.py": "def __getattr__(name): ...\n",
        },
    )
    with pytest.raises(LengthlensError, match="imports open_it from lengthlens.*import it from"):
        modules_of(script)


def test_an_import_of_nothing_is_an_error(tmp_path: Path):
    script = write_project(
        tmp_path,
        {"make_thing.py": "import lengthlens.gone\n", "lengthlens/__init__.py": ""},
    )
    with pytest.raises(LengthlensError, match="imports lengthlens.gone, but there is no"):
        modules_of(script)


def test_a_file_that_cannot_be_parsed_is_an_error(tmp_path: Path):
    script = write_project(tmp_path, {"make_thing.py": "def f(:\n"})
    with pytest.raises(LengthlensError, match="Cannot read the imports of .*make_thing.py"):
        modules_of(script)


def test_no_circular_imports_in_the_package():
    """Packages' own __init__ files, loaded with every module below them, are left out."""
    graph = {
        path: [other for other in _imports(path, SCRIPTS) if other.name != "__init__.py"]
        for path in (SCRIPTS / "lengthlens").rglob("*.py")
    }
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(order) == set(graph)


def test_folders_import_only_from_those_above_them_in_the_documentation():
    """import-linter holds the contract of pyproject.toml, whose layers are the documented ones."""
    root = SCRIPTS.parent
    table = (root / "docs/workflow.md").read_text(encoding="utf-8")
    order = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", table, re.MULTILINE)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    assert contract["layers"] == order[::-1] and contract["exhaustive"]
    # in a process of its own: import-linter switches off every logger that exists before it
    code = "import sys; from importlinter import cli; sys.exit(cli.lint_imports(no_cache=True))"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr


def test_a_module_that_is_imported_by_name_counts_with_all_that_it_imports():
    script, figure = SCRIPTS / "draw_figure.py", "lengthlens.figures.scores"
    added = set(modules_of(script, figure)) - set(modules_of(script))
    assert SCRIPTS / "lengthlens/figures/scores.py" in added
    assert SCRIPTS / "lengthlens/figures/same_text.py" not in added
