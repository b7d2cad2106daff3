"""How the code is written: arguments that cannot be told apart by their place have names."""

import ast
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
MOST_IN_PLACE = 5


def long_calls(source: str) -> list[str]:
    """Calls with more arguments than `MOST_IN_PLACE` that are told by their place alone."""
    return [
        f"line {node.lineno}: {ast.unparse(node.func)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and len(node.args) > MOST_IN_PLACE
    ]


def test_no_call_has_more_than_five_arguments_by_place():
    found = {path.name: long_calls(path.read_text("utf-8")) for path in SCRIPTS.rglob("*.py")}
    assert {name: calls for name, calls in found.items() if calls} == {}


def test_a_long_call_is_found():
    assert long_calls("f(1, 2, 3, 4, 5)\ng(1, 2, 3, 4, 5, x=6)") == []
    assert long_calls("a = 1\nx.f(a, 2, 3, 4, 5, 6)") == ["line 2: x.f"]
