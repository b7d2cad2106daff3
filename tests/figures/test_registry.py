"""Every figure of the list can be drawn: module, function and caption bear its name."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from lengthlens.figures.registry import FIGURES

CAPTIONS = Path(__file__).parents[2] / "rules/captions"


@pytest.mark.parametrize("name", FIGURES)
def test_an_entry_has_its_module_and_caption(name):
    module = import_module(f"lengthlens.figures.{name}")
    assert (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").strip()
    arguments = list(inspect.signature(getattr(module, f"draw_{name}")).parameters)
    assert arguments[len(FIGURES[name].reads)] == "cast"


def test_no_module_is_left_out():
    drawn = {name for name in FIGURES if (CAPTIONS / f"{name}.rst").is_file()}
    folder = Path(import_module("lengthlens.figures").__file__).parent
    modules = {path.stem for path in folder.glob("*.py")}
    drawing = {
        name for name in modules if f"def draw_{name}(" in (folder / f"{name}.py").read_text()
    }
    assert drawing == drawn == set(FIGURES)
