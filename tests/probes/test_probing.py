"""The rows of a probes file, made by a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
from toys import SETTINGS

from lengthlens.generation.answers import answer_prompts
from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.language.languages import load_language
from lengthlens.language.prompts import build_prompts
from lengthlens.language.words import CONVENTIONS, count_words
from lengthlens.probes.probing import answer_probes, further, probe_prompts
from lengthlens.weights.checkpoints import ModelSpec

LANGUAGE = load_language(Path(__file__).parents[2] / "resources/languages/en.yaml")
CONFIG = {
    "n_words": [2, 3],
    "prompts": {"per_n": 4, "seed": 0, "shard": 4},
    "probes": {"n_words": [5], "per_n": 2},
}
PROMPTS = probe_prompts(LANGUAGE, CONFIG)
OPTIONS = SETTINGS, "whitespace"


@pytest.fixture(scope="module")
def loaded(tiny_llama_dir: Path) -> LoadedModel:
    """A random model that likes to end sentences and mostly writes pieces of words."""
    loaded = load(ModelSpec(name="tiny", variant="instruct", path=str(tiny_llama_dir)))
    loaded.model.lm_head.weight[loaded.classes.enders] *= 2
    return loaded


@pytest.fixture(scope="module")
def free(loaded) -> list[dict]:
    return [
        row
        for rows, _ in answer_prompts(loaded, PROMPTS[0], SETTINGS, "whitespace")
        for row in rows
    ]


@pytest.fixture(scope="module")
def rows(loaded, free) -> list[dict]:
    answered = []
    found = answer_probes(loaded, LANGUAGE, PROMPTS, *OPTIONS, free, answered.append)
    assert sum(answered) == len(found) - len(free)  # the study's own are not answered again
    return found


def of(rows, probe):
    return [row for row in rows if row["probe"] == probe]


def test_every_probe_has_its_prompts(rows, free) -> None:
    ids = [row["sample_id"] for row in free]
    assert [row["sample_id"] for row in of(rows, "free")] == ids
    assert [row["sample_id"] for row in of(rows, "aligned")] == ids
    beyond = of(rows, "extrapolation")
    assert [row["sample_id"] for row in beyond] == ["en-n5-0000#0", "en-n5-0001#0"]
    assert {row["n"] for row in beyond} == {5}


def test_free_answers_are_those_of_the_study(loaded, rows, free) -> None:
    """Where the study has none, the same prompts are answered, without capture: the same text."""
    known = [{key: row[key] for key in free[0]} for row in of(rows, "free")]
    assert known == free
    anew = answer_probes(loaded, LANGUAGE, PROMPTS, *OPTIONS, None, lambda count: None)
    assert anew == rows


def test_one_step_is_one_word(loaded, rows) -> None:
    """Under every convention an aligned answer has as many words as tokens that spell."""
    aligned = of(rows, "aligned")
    assert any(row["words"] > 1 for row in aligned)
    ender = loaded.vocabulary.ender
    for row in aligned:
        steps = sum(not ender[token] for token in row["tokens"])
        assert [count_words(row["text"], convention) for convention in CONVENTIONS] == [steps] * 3
        assert row["words"] == steps
        assert row["one_token"] in (1.0, None) and row["tokens_per_word"] in (1.0, None)
        assert row["cost"] >= 0 and 0 <= row["changed"] <= 1
        assert (row["cost"] == 0) == (row["changed"] == 0)
        assert row["degenerate"] == "empty" or steps


def test_the_constraint_is_felt(rows) -> None:
    """A random model would hardly write whole words by itself."""
    assert max(row["changed"] for row in of(rows, "aligned")) > 0.5
    assert all("cost" not in row for row in rows if row["probe"] != "aligned")
    lexicon = {(row["lexicon_words"], row["lexicon_whole"]) for row in of(rows, "aligned")}
    ((words, whole),) = lexicon
    assert 0 < whole < words


def test_the_limit_grows_with_n() -> None:
    assert further(SETTINGS, *PROMPTS).max_new_tokens == 15  # 9 tokens for 3 words, so 15 for 5


def test_n_of_the_study_are_not_beyond_it() -> None:
    config = {
        "n_words": [3, 10],
        "prompts": {"per_n": 4, "seed": 1, "shard": 4},
        "probes": {"n_words": [10, 11], "per_n": 2},
    }
    study, beyond = probe_prompts(LANGUAGE, config)
    assert study == [p for n in (3, 10) for p in build_prompts(LANGUAGE, n, 0, 4, 1)]
    assert beyond == build_prompts(LANGUAGE, 11, 0, 2, 1)


def test_without_n_beyond_there_is_no_extrapolation(loaded, free) -> None:
    prompts = PROMPTS[0], []
    rows = answer_probes(loaded, LANGUAGE, prompts, *OPTIONS, free, lambda count: None)
    assert {row["probe"] for row in rows} == {"free", "aligned"}
