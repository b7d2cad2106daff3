"""The table of model types in docs/architectures.md is that of the installed transformers."""

from __future__ import annotations

from pathlib import Path

import pytest

from lengthlens.attribution.table import CRASHED, PROVEN, read_table, verdict, with_table
from lengthlens.models.every_type import TYPES

PAGE = Path(__file__).parents[2] / "docs/architectures.md"
TABLE = read_table(PAGE.read_text(encoding="utf-8"))
# Rows and positions as one axis; layers that differ; a bias of the unembedding; experts.
SAMPLE = ("opt", "bamba", "phi", "phimoe")


def test_every_type_has_a_row() -> None:
    assert sorted(TABLE) == sorted(TYPES)


def test_the_page_counts_its_rows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text, TABLE) == text


def test_enough_types_are_proven() -> None:
    assert sum(what == PROVEN for what, _ in TABLE.values()) >= 120


def test_no_type_crashes() -> None:
    assert [kind for kind, (what, _) in TABLE.items() if what == CRASHED] == []


@pytest.mark.parametrize("kind", SAMPLE)
def test_rows_of_a_sample_are_what_is_found_now(kind: str) -> None:
    assert verdict(kind) == TABLE[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted({*TYPES} - {*SAMPLE}))
def test_every_row_is_what_is_found_now(kind: str) -> None:
    assert verdict(kind)[0] == TABLE[kind][0]
