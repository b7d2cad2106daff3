"""The notebook of the examples runs, and shows what it says."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples/lens.ipynb"


def read() -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_whole_and_holds_no_outputs() -> None:
    notebook = read()
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
            compile(cell.source, NOTEBOOK.name, "exec")


@pytest.mark.slow
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "scripts"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = read()
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    ).execute()
    results = [
        output.data
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    shown, heads, error, answers, given = results
    for page in (shown, given):
        assert page["text/html"].startswith('<div class="lengthlens">')
        assert "decision" in page["text/html"] and "share of the margin" in page["text/plain"]
    rows = [line.split() for line in heads["text/plain"].splitlines()[1:-1]]
    assert rows[0][0] == "5"  # the last layer's heads push most
    assert sorted((float(row[-1]) for row in rows), reverse=True) == [float(r[-1]) for r in rows]
    assert 0 < float(error["text/plain"]) < 1e-4
    written, removed, _ = ast.literal_eval(answers["text/plain"])
    assert len(written.split()) == 5 < len(removed.split())
