"""Any data whatsoever as a configuration: a study, or problems told in short lines."""

import random
from pathlib import Path
from typing import Any

import pytest
from examples import at_least
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_project import TOPICS, make_config

from lengthlens.configuration.study import ConfigurationError, Study

pytestmark = pytest.mark.usefixtures("languages_read_once")

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=5)
    | st.sampled_from([*TOPICS, "auto", "cwa", "en", "..", "-1", "1e3", "a" * 200, "\ud800", "\0"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=6,
)


def hold_to_the_promise(config: Any, root: Path) -> None:
    """A study, or a ConfigurationError with at least one short line for each problem."""
    try:
        study = Study.from_config(config, root=root)
    except ConfigurationError as error:
        assert error.problems
        assert str(error).count("\n") >= len(error.problems)
        assert all(0 < len(problem) < 600 for problem in error.problems)
        assert "additionalProperties" not in str(error)
    else:
        assert (root / study.results).resolve().parent == (root / "results").resolve()


@settings(max_examples=at_least(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(config=VALUES)
def test_any_data(root: Path, config: Any):
    hold_to_the_promise(config, root)


@settings(max_examples=at_least(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_a_valid_configuration_damaged_in_places(root: Path, data: st.DataObject, seed: int):
    config = make_config()
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        damage(config, chance, data.draw(VALUES), data.draw(SCALARS))
    hold_to_the_promise(config, root)


def damage(config: dict[Any, Any], chance: random.Random, value: Any, key: Any) -> None:
    """Put `value` at a random place, or delete or misname a key there."""
    here: Any = config
    while True:
        if not isinstance(here, dict | list) or not here:
            return
        place = chance.choice(list(here) if isinstance(here, dict) else range(len(here)))
        if isinstance(here[place], dict | list) and chance.random() < 0.7:
            here = here[place]
            continue
        action = chance.choice(["put", "put", "delete", "add"])
        if action == "put":
            here[place] = value
        elif action == "delete":
            del here[place]
        elif isinstance(here, dict):
            here[key] = value
        else:
            here.append(value)
        return
