"""Tables are put together alike, and each stage is given what its function takes."""

import inspect
from importlib import import_module

import pandas as pd
import pytest

from lengthlens.analysis.registry import STAGES, TABLES
from lengthlens.analysis.tables import header, table_of
from lengthlens.workflow.targets import MADE, SOURCES


def test_a_number_with_limits_is_three_columns():
    assert header("n share±", "level") == ("n", "share", "share_low", "share_high", "level")
    assert header() == ()


def test_rows_have_the_key_of_their_file_and_no_file_leaves_the_columns():
    files = {("m", "en"): 2, ("m", "it"): 1}
    columns = ("model", "language", "n")
    table = table_of(files, lambda count: ({"n": n} for n in range(count)), columns)
    assert table.to_numpy().tolist() == [["m", "en", 0], ["m", "en", 1], ["m", "it", 0]]
    assert tuple(table_of({}, lambda count: (), columns)) == columns
    names = ("untuned", "tuned", "language", "n")
    pair = table_of({("u", "t", "en"): 1}, lambda _: [{"n": 3}], names)
    pd.testing.assert_frame_equal(pair, pd.DataFrame([["u", "t", "en", 3]], columns=names))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_given_what_its_function_takes(name):
    stage = STAGES[name]
    config = {key.partition(".")[0] for key in stage.config} - {"statistics"}
    bootstrap = {"bootstrap"} if "statistics" in stage.config else set()
    tables = import_module(f"lengthlens.analysis.stages.{name}").tables
    given = dict.fromkeys((*stage.reads, *stage.about, *config, *bootstrap))
    inspect.signature(tables).bind(**given)
    assert set(stage.origins) <= set(stage.reads)


def test_sources_and_tables_are_told_apart():
    """Other names than sources are tables, so a source may not be called as one is."""
    assert not set(SOURCES) & set(TABLES) and len(set(TABLES)) == len(TABLES)
    made = [*TABLES[: TABLES.index("series")], *SOURCES, "series", "cwa"]
    read = {source for stage in STAGES.values() for source in stage.reads}
    assert read | {source for sources in MADE.values() for source in sources} <= set(made)


def test_stages_stand_after_those_whose_tables_they_read():
    there: set[str] = set()
    for stage in STAGES.values():
        assert set(stage.reads) - set(SOURCES) <= there
        there |= set(stage.tables)
