"""Models are compared with those that belong to them, and never by their place."""

from typing import Any

import pytest

from lengthlens.configuration.pairs import check_pairs, model_pairs
from lengthlens.configuration.study import Study
from lengthlens.workflow.targets import Paths

LLAMA_AND_QWEN = {"llama-base": "base", "qwen-base": "base", "qwen-instruct": "instruct"}


@pytest.mark.parametrize(
    ("variants", "pairs", "expected"),
    [
        ({"b": "base", "i": "instruct"}, [], [{"base": "b", "instruct": "i"}]),
        ({"i": "instruct", "b": "base"}, [], [{"instruct": "i", "base": "b"}]),
        ({"b": "base"}, [], [{"base": "b"}]),
        ({"i": "instruct", "j": "instruct"}, [], [{"instruct": "i"}, {"instruct": "j"}]),
        (
            LLAMA_AND_QWEN,
            [{"untuned": "qwen-base", "tuned": "qwen-instruct"}],
            [{"base": "llama-base"}, {"base": "qwen-base", "instruct": "qwen-instruct"}],
        ),
        (
            {"a": "base", "b": "base", "x": "instruct", "y": "instruct"},
            [{"untuned": "b", "tuned": "x"}, {"untuned": "a", "tuned": "y"}],
            [{"base": "a", "instruct": "y"}, {"base": "b", "instruct": "x"}],
        ),
    ],
)
def test_pairs(variants: dict, pairs: list, expected: list):
    assert list(check_pairs(pairs, variants)) == []
    assert model_pairs(variants, pairs) == expected


def test_no_pair_is_guessed():
    """A Llama would be compared with a Qwen, as the first of each variant."""
    [problem] = check_pairs([], LLAMA_AND_QWEN)
    assert problem.path == ("pairs",)
    counted = "2 base models (llama-base, qwen-base) and 1 instruct models (qwen-instruct)"
    assert counted in str(problem)
    assert str(problem).endswith("pairs: [{untuned: llama-base, tuned: qwen-instruct}]")


@pytest.mark.parametrize(
    ("untuned", "tuned", "words"),
    [
        ("qwen-bass", "qwen-instruct", "pairs[0].untuned: 'qwen-bass' is no model of this study; "
         "legal: one of llama-base, qwen-base, qwen-instruct; did you mean qwen-base?"),
        ("qwen-instruct", "qwen-instruct", "pairs[0].untuned: 'qwen-instruct' has the variant "),
        ("qwen-base", "llama-base", "pairs[0].tuned: 'llama-base' has the variant base; legal: a"),
    ],
)  # fmt: skip
def test_what_is_no_base_and_no_instruct_model(untuned: str, tuned: str, words: str):
    [problem] = check_pairs([{"untuned": untuned, "tuned": tuned}], LLAMA_AND_QWEN)
    assert str(problem).startswith(words)


def test_a_model_is_in_one_pair():
    pairs = [{"untuned": base, "tuned": "qwen-instruct"} for base in ("qwen-base", "llama-base")]
    [problem] = check_pairs(pairs, LLAMA_AND_QWEN)
    assert str(problem).startswith("pairs[1].tuned: 'qwen-instruct' is in pairs[0] already")


def test_the_partner_is_the_named_one(config: dict[str, Any], root):
    for name, variant in LLAMA_AND_QWEN.items():
        config["models"][name] = {"hub": f"x/{name}", "revision": "1", "variant": variant}
    del config["models"]["small"]
    config["pairs"] = [{"untuned": "qwen-base", "tuned": "qwen-instruct"}]
    paths = Paths(Study.from_config(config, root=root))
    assert paths.partner("qwen-instruct") == "qwen-base"
    assert paths.partner("qwen-base") == "qwen-instruct"
    assert paths.partner("llama-base") is None
