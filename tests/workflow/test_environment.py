"""The lists of packages agree with each other and with what the code imports."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
# Snakemake is started as a command, xarray itself loads h5netcdf to read and write netCDF, and
# transformers loads accelerate for GGUF files and for models over several GPUs.
NOT_IMPORTED = {"snakemake", "h5netcdf", "accelerate"}


def read_pins(name: str) -> dict[str, str]:
    """Package (normalised) -> version of a requirements file, each line `name==version`."""
    pins = {}
    for line in (ROOT / "envs" / name).read_text(encoding="utf-8").splitlines():
        line = line.partition("#")[0].strip()
        if line and not line.startswith("-r "):
            match = re.fullmatch(r"([A-Za-z0-9_.-]+)==(\d+(?:\.\d+)+)", line)
            assert match, f"{name}: {line!r} does not pin an exact version"
            pins[normalise(match[1])] = match[2]
    return pins


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported_packages(folder: str) -> set[str]:
    """Distributions that the Python files below `folder` import, functions included."""
    modules = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(node.module.split(".")[0])
    own = {path.stem for path in (ROOT / folder).rglob("*.py")} | {"lengthlens"}
    owners = packages_distributions()
    return {
        normalise(owners.get(module, [module])[0])
        for module in modules - set(sys.stdlib_module_names) - own
    }


def test_conda_and_pip_list_the_same_packages():
    conda = yaml.safe_load((ROOT / "envs/environment.yaml").read_text(encoding="utf-8"))
    [pip_section] = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    pins = dict(entry.split("==") for entry in pip_section)
    assert {normalise(name): version for name, version in pins.items()} == read_pins(
        "requirements.txt"
    )


def test_development_requirements_build_on_the_runtime_ones():
    text = (ROOT / "envs/requirements-dev.txt").read_text(encoding="utf-8")
    assert "-r requirements.txt" in text.splitlines()
    assert not read_pins("requirements-dev.txt").keys() & read_pins("requirements.txt").keys()


def test_conda_and_the_project_want_the_same_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    conda = yaml.safe_load((ROOT / "envs/environment.yaml").read_text(encoding="utf-8"))
    assert project["requires-python"] == ">=3.11"
    assert conda["dependencies"][0].startswith("python>=3.11")


def test_every_import_of_the_workflow_is_a_requirement_and_the_reverse():
    imported = imported_packages("scripts")
    required = set(read_pins("requirements.txt"))
    assert imported - required == set(), "imported but not in envs/requirements.txt"
    assert required - imported - NOT_IMPORTED == set(), "required but never imported"


def test_every_import_of_the_tests_is_a_development_requirement():
    files = ("requirements.txt", "requirements-dev.txt")
    listed = {name for file in files for name in read_pins(file)}
    assert imported_packages("tests") - listed == set()


def test_no_package_host_is_named():
    """Where packages come from is the user's own pip configuration."""
    for path in [*(ROOT / "envs").iterdir(), ROOT / "Makefile", ROOT / ".ci/run"]:
        assert not re.search(r"https?://", path.read_text(encoding="utf-8")), path
