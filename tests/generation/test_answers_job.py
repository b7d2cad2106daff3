"""A job that reads answers refuses those that do not belong to its model, before it loads it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from lengthlens.errors import LengthlensError
from lengthlens.files.formats import GENERATIONS
from lengthlens.files.integrity import sealed
from lengthlens.files.jsonl import write_rows
from lengthlens.generation import job as jobs

LANGUAGE = Path(__file__).parents[2] / "resources/languages/en.yaml"
GENERATION = {"date": "2026-01-01", "memory_gb": 2}
CONFIG = {"generation": GENERATION, "counting": "unicode", "n_words": [3]}


class Loading(Exception):
    """Raised in the place of what would load a model."""


def job(folder: Path, monkeypatch, sha256: str = "0" * 64, counting: str = "unicode"):
    """A job on model m, which says what it would load."""
    manifest, answers = folder / "m.json", folder / "m.en.jsonl"
    manifest.write_text(json.dumps(sealed({"model": "m", "sha256": "0" * 64})))
    made = {"schema": GENERATIONS, "model": {"model": "m", "sha256": sha256}}
    write_rows([{"n": 3}], answers, made | {"config": {"counting": counting}})

    def loading(name: str, model: dict, config: dict, exact: bool) -> None:
        raise Loading(f"{name}, exact: {exact}")

    monkeypatch.setattr(jobs, "open_model", loading)
    given = SimpleNamespace(manifest=str(manifest), language=str(LANGUAGE), answers=str(answers))
    params = SimpleNamespace(config=CONFIG, name="m", model={})
    return jobs.AnswersJob(SimpleNamespace(input=given, params=params, output=[]))


def test_answers_of_this_run_are_read(tmp_path, monkeypatch) -> None:
    made = job(tmp_path, monkeypatch)
    assert made.answers == [{"n": 3}]
    assert made.reading == jobs.Reading([3], "unicode", "2026-01-01")
    with pytest.raises(Loading, match="^m, exact: False$"):
        made.open_model()
    with pytest.raises(Loading, match="^m, exact: True$"):
        made.open_model(exact=True)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sha256": "1" * 64}, "other weights of m"),
        ({"counting": "elision"}, "counting = 'elision'"),
    ],
)
def test_others_are_refused_before_the_model_is_loaded(
    tmp_path, monkeypatch, changed, message
) -> None:
    made = job(tmp_path, monkeypatch, **changed)
    assert len(made.answers) == 1
    with pytest.raises(LengthlensError, match=message):
        made.open_model()
