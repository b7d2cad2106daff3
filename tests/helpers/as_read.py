"""Tables as the report and the figures get them: written to a file, and read from it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from lengthlens.files import formats
from lengthlens.files.tables import write_table
from lengthlens.readers import open_table


def as_read(table: pd.DataFrame) -> pd.DataFrame:
    """A table of the folder `tables`, once it has been a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(table, path, {"schema": formats.TABLE})
        return open_table(path)
