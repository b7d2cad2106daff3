"""How many examples the property-based tests draw."""

import os

VARIABLE = "LENGTHLENS_EXAMPLES"
WANTED = int(os.environ.get(VARIABLE, 0))  # of `make torture`: these many, and others every time


def at_least(count: int) -> int:
    """As many examples, or more where the environment asks for more."""
    return max(count, WANTED)


def between(few: int, many: int) -> int:
    """Few examples, or as many as the environment asks for up to a limit: for slow tests."""
    return min(max(few, WANTED), many)
