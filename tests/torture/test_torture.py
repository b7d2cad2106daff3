"""A short version of `make torture`: one small run, and a few faults of most kinds."""

from __future__ import annotations

import shutil

import corruption
import disk
import kills
import pytest
from cases import BEGIN, END, FAILED, REFUSED, Ledger, between_marks
from readback import kinds
from runs import Project, differences


def test_the_summary_counts_every_case(tmp_path):
    ledger = Ledger()
    ledger.add("a", "1", REFUSED)
    ledger.add("a", "2", FAILED, "why")
    ledger.skip("b", "no root")
    ledger.write(tmp_path, {"seed": 0})
    assert "| a | 2 | 0 | 1 | 0 | 1 |" in (tmp_path / "summary.md").read_text()
    assert "| b | skipped: no root |" in ledger.table()
    assert [case.what for case in ledger.failures] == ["2"]
    page = f"before {BEGIN} old {END} after"
    assert between_marks(page, ["new\n"]) == f"before {BEGIN}\nnew\n{END} after"


def test_files_that_differ_are_named():
    assert differences({"a": b"1", "b": b"2"}, {"b": b"3", "c": b"4"}) == ["a", "b", "c"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Project:
    folder = tmp_path_factory.mktemp("torture")
    for part in (folder, *folder.parents[:2]):
        part.chmod(0o755)
    project = Project(folder / "whole")
    assert project.do("all") == 0, project.output()[-3000:]
    return project


@pytest.mark.slow
def test_flipped_bits(whole):
    """Every kind of file three times; no flip gives another number or an error from the depths."""
    ledger = Ledger()
    found = kinds(whole.results)
    assert len(found) >= 17
    corruption.torture_readers(ledger, whole.results, 3 * len(found), seed=1)
    assert not ledger.failures
    assert sum(case.outcome == REFUSED for case in ledger.cases) > 2 * len(found)


@pytest.mark.slow
def test_killed_twice(whole, tmp_path):
    ledger = Ledger()
    kills.torture(ledger, tmp_path, whole.files(), kills=2, seed=1)
    assert not ledger.failures and len(ledger.cases) == 2


@pytest.mark.slow
def test_two_runs_at_once(whole, tmp_path):
    ledger = Ledger()
    disk.two_at_once(ledger, tmp_path, whole.files())
    assert not ledger.failures and len(ledger.cases) == 3


@pytest.mark.slow
def test_denied_folders(whole):
    ledger = Ledger()
    folder = whole.folder.parent / "denied"
    folder.mkdir()
    try:
        disk.permissions(ledger, folder, whole.files())
    finally:
        shutil.rmtree(folder)
    assert not ledger.failures and (ledger.cases or ledger.skipped)
