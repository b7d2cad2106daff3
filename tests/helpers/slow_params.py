"""Parameters of which some take seconds: `make test` leaves these to the gate."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import pytest


def some_slow(values: Iterable, slow: Container) -> list[Any]:
    """The values as parameters, those of `slow` marked so."""
    marks = {True: [pytest.mark.slow], False: []}
    return [pytest.param(value, marks=marks[value in slow]) for value in values]
