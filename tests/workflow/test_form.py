"""How the code is written: short functions of few arguments, named where they are many."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
MOST_IN_PLACE = 5
MOST_LINES, MOST_PARAMETERS = 60, 7


def long_calls(source: str) -> list[str]:
    """Calls with more arguments than `MOST_IN_PLACE` that are told by their place alone."""
    return [
        f"line {node.lineno}: {ast.unparse(node.func)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and len(node.args) > MOST_IN_PLACE
    ]


def sizes(source: str) -> Iterator[tuple[str, int, int]]:
    """Name, lines and parameters of every function, `self` and `cls` left out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            given = node.args
            names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            yield node.name, node.end_lineno - node.lineno + 1, count


def too_large(name: str, lines: int, parameters: int) -> bool:
    return lines > MOST_LINES or parameters > MOST_PARAMETERS


def test_no_call_has_more_than_five_arguments_by_place():
    found = {path.name: long_calls(path.read_text("utf-8")) for path in SCRIPTS.rglob("*.py")}
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_a_long_call_is_found():
    assert long_calls("f(1, 2, 3, 4, 5)\ng(1, 2, 3, 4, 5, x=6)") == []
    assert long_calls("a = 1\nx.f(a, 2, 3, 4, 5, 6)") == ["line 2: x.f"]


def test_functions_are_short_and_take_few_arguments():
    package, found = SCRIPTS / "lengthlens", []
    for path in SCRIPTS.rglob("*.py"):
        where = path.relative_to(package if path.is_relative_to(package) else SCRIPTS)
        found += [(f"{where}:{name}", *size) for name, *size in sizes(path.read_text("utf-8"))]
    assert [each for each in found if too_large(*each)] == []
    assert found


@pytest.mark.parametrize(
    ("source", "large"),
    [
        ("def f(a, b, c, d, e, f, *, g):\n    pass", False),
        ("def f(a, b, c, d, e, f, *, g, h):\n    pass", True),
        ("class A:\n    def f(self, a, b, c, d, e, f, g):\n        pass", False),
        ("def f():\n" + "    pass\n" * 59, False),
        ("def f():\n" + "    pass\n" * 60, True),
    ],
)
def test_a_large_function_is_found(source, large):
    assert [too_large(*size) for size in sizes(source)] == [large]


def test_rules_say_themselves_that_they_are_local():
    """A list of names, `localrules:`, does not hold for the renamed rules of a module."""
    root = SCRIPTS.parent
    texts = [path.read_text("utf-8") for path in (root / "Snakefile", *root.glob("rules/*.smk"))]
    assert not [text for text in texts if "localrules:" in text]
    assert any("localrule: True" in text for text in texts)
