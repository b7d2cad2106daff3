"""The checker of annotations that `conftest` puts on the whole package."""

from beartype import BeartypeConf, beartype

# An int may stand for a float, as type checkers have it.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
