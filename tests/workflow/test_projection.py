"""The tables of docs/cluster.md are what the arithmetic says, and it agrees with the code."""

import runpy
from pathlib import Path

import pytest

from lengthlens.weights.shape import Shape

ROOT = Path(__file__).parents[2]
PROJECTION = runpy.run_path(str(ROOT / "benchmarks/projection.py"))
dump_gb, step_seconds = PROJECTION["dump_gb"], PROJECTION["step_seconds"]
SHAPE = Shape(32, 4096, 32, 8, 128, 128256, "bfloat16")


def test_the_page_shows_what_is_computed():
    """If this fails: `PYTHONPATH=scripts python benchmarks/projection.py --write`."""
    page = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    assert PROJECTION["with_tables"](page) == page


def test_bytes_of_a_token_and_of_a_run():
    assert SHAPE.step_bytes(2) / 1e9 == PROJECTION["TOKEN_GB"]
    tokens = 700 * (47.4 + 61.4)
    assert tokens * SHAPE.step_bytes(2) / 1e9 == pytest.approx(dump_gb("base"))
    assert dump_gb("base", 256) == dump_gb("instruct", 256) == pytest.approx(190.8, abs=0.1)


def test_a_step_is_never_faster_than_reading_the_weights():
    for card in PROJECTION["CARDS"]:
        assert step_seconds(card, 1, 1) > 15.0 / card.bandwidth
        assert step_seconds(card, 10_000, 300) > step_seconds(card, 100, 300)


def test_the_configured_study_is_what_is_projected():
    """What the arithmetic takes for granted of config/llama31-8b.yaml, and its conditions."""
    study = PROJECTION["llama_study"]()
    assert study.ablation.base_prompts == PROJECTION["ABLATED_PROMPTS"]["base"]
    assert list(study.languages) == list(PROJECTION["LANGUAGES"])
    assert len(study.n_words) * study.prompts.per_n == PROJECTION["PROMPTS"]
    assert study.prompts.shard == PROJECTION["SHARD"]
    assert study.generation.max_new_tokens == PROJECTION["CUT"]
    assert study.ablated_tokens == PROJECTION["ABLATED_CUT"]
    assert len(study.n_words) * study.forced.per_n == PROJECTION["SINGLE_ANSWERS"]
    base, instruct = (PROJECTION["planned_sets"](variant) for variant in ("base", "instruct"))
    assert base.answered < base.scored < instruct.scored  # half of the further controls answer
    assert (
        instruct.answered < 2 * study.ablation.test_controls
    )  # random sets of tests need no answers
    assert instruct.scored > instruct.answered >= base.answered
