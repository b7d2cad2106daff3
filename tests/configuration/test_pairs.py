"""Models are compared with those that belong to them, and never by their place."""

import json
from typing import Any

import pytest

from lengthlens.configuration.checks import check_series
from lengthlens.configuration.pairs import check_pairs, check_shapes, model_pairs
from lengthlens.configuration.study import Study
from lengthlens.workflow.targets import Paths

LLAMA_AND_QWEN = {"llama-base": "base", "qwen-base": "base", "qwen-instruct": "instruct"}


@pytest.mark.parametrize(
    ("variants", "pairs", "expected"),
    [
        ({"b": "base", "i": "instruct"}, [], [{"untuned": "b", "tuned": "i"}]),
        ({"i": "instruct", "b": "base"}, [], [{"tuned": "i", "untuned": "b"}]),
        ({"b": "base"}, [], [{"untuned": "b"}]),
        ({"i": "instruct", "j": "instruct"}, [], [{"tuned": "i"}, {"tuned": "j"}]),
        (
            LLAMA_AND_QWEN,
            [{"untuned": "qwen-base", "tuned": "qwen-instruct"}],
            [{"untuned": "llama-base"}, {"untuned": "qwen-base", "tuned": "qwen-instruct"}],
        ),
        (
            {"a": "base", "b": "base", "x": "instruct", "y": "instruct"},
            [{"untuned": "b", "tuned": "x"}, {"untuned": "a", "tuned": "y"}],
            [{"untuned": "a", "tuned": "y"}, {"untuned": "b", "tuned": "x"}],
        ),
        (
            {"plain": "instruct", "counts": "instruct", "alone": "base"},
            [{"untuned": "plain", "tuned": "counts"}],
            [{"untuned": "plain", "tuned": "counts"}, {"untuned": "alone"}],
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
        ("qwen-base", "qwen-base", "pairs[0].tuned: 'qwen-base' is the untuned model, too"),
    ],
)  # fmt: skip
def test_what_is_no_pair(untuned: str, tuned: str, words: str):
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


def test_both_models_may_be_prompted_alike(config: dict[str, Any], root):
    """What is tuned follows from the pair, and not from how a model is prompted."""
    for name in ("smol", "counts", "other"):
        config["models"][name] = {"hub": f"x/{name}", "revision": "1", "variant": "instruct"}
    config["pairs"] = [{"untuned": "smol", "tuned": "counts"}]
    study = Study.from_config(config, root=root)
    expected = {"small": "untuned", "smol": "untuned", "counts": "tuned", "other": "tuned"}
    assert study.tunings == expected
    assert {model for model, _ in Paths(study).keys("answers", tuned=True)} == {"counts", "other"}


def test_a_checkpoint_has_a_series_and_a_step_of_its_own():
    models = {name: {"series": "s", "step": step} for step, name in enumerate("ab")}
    assert list(check_series(models | {"c": {}})) == []
    [problem] = check_series(models | {"c": {"series": "s", "step": 1}})
    assert str(problem).startswith("models.c.step: 1 is the step of 'b', too")
    [problem] = check_series(models | {"c": {"series": "s"}})
    assert str(problem).startswith("models.c.step: missing; a checkpoint of a series has both")


@pytest.fixture
def folders(tmp_path):
    """Two models of one shape with the same tokens."""
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        shape = {"model_type": "llama", "hidden_size": 8, "num_key_value_heads": 2}
        (folder / "config.json").write_text(json.dumps(shape))
        tokens = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": []}
        (folder / "tokenizer.json").write_text(json.dumps(tokens))
    return {"b": tmp_path / "one", "i": tmp_path / "two"}


def test_a_pair_has_one_shape_and_the_same_token_ids(folders):
    variants = {"b": "base", "i": "instruct"}
    assert list(check_shapes([], variants, folders)) == []
    tokens = {"model": {"vocab": {"b": 0, "a": 1}}, "added_tokens": []}
    (folders["i"] / "tokenizer.json").write_text(json.dumps(tokens))
    [problem] = check_shapes([], variants, folders)
    assert "b and i are no pair: the token " in str(problem)
    more = {"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"content": "<end>", "id": 2}]}
    (folders["i"] / "tokenizer.json").write_text(json.dumps(more))
    assert list(check_shapes([], variants, folders)) == []  # one may have tokens of its own
    (folders["i"] / "config.json").write_text(json.dumps({"num_key_value_heads": 1}))
    [problem] = check_shapes([{"untuned": "b", "tuned": "i"}], variants, folders)
    said = "pairs[0]: b and i are no pair: num_key_value_heads is 2 of one and 1 of the other"
    assert str(problem).startswith(said)
    assert list(check_shapes([], variants, {"b": folders["b"]})) == []  # the other is not here
