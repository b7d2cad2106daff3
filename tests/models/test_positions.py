"""Up to where a model's rotary frequencies are a row's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from lengthlens.errors import LengthlensError
from lengthlens.models.positions import check_positions, steady_positions

LONG = {"rope_type": "longrope", "original_max_position_embeddings": 4096}


@pytest.mark.parametrize(
    ("parameters", "steady"),
    [
        (None, None),
        ({"rope_type": "default"}, None),
        ({"rope_type": "llama3", "original_max_position_embeddings": 8192}, None),
        ({"rope_type": "yarn", "original_max_position_embeddings": 8192}, None),
        (LONG, 4096),
        ({"rope_type": "dynamic", "factor": 2.0}, 2048),
        ({"full_attention": LONG, "sliding_attention": {"rope_type": "default"}}, 4096),
    ],
)
def test_frequencies_that_follow_the_longest_row(parameters, steady) -> None:
    config = SimpleNamespace(
        model_type="m", rope_parameters=parameters, max_position_embeddings=2048
    )
    config.get_text_config = lambda decoder: config
    assert steady_positions(config) == steady
    check_positions(config, 2048)
    if steady is not None:
        check_positions(config, steady)
        with pytest.raises(LengthlensError, match=f"{steady + 1} positions, but beyond {steady}"):
            check_positions(config, steady + 1)
