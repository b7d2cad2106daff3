"""Contrasting prompts differ in one thing alone, and tell where N is under each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from planted_circuit import N_WORDS, NAMES, Counting, counting_model, language
from small_project import generation

from lengthlens.analysis.contrasts import summarise_contrasts
from lengthlens.generation.job import Reading
from lengthlens.language.languages import KINDS, Language, Template, load_language
from lengthlens.language.prompts import topic_split
from lengthlens.models.prompting import SpelledPrompt
from lengthlens.statistics import Bootstrap
from lengthlens.tracing.contrasts import ContrastPlan, contrast_prompts, measure_contrasts
from lengthlens.tracing.paths import Members

ROOT = Path(__file__).parents[2]
BOOTSTRAP = Bootstrap(resamples=200)
READING = Reading(N_WORDS, "whitespace", "2026-01-01")
PLAN = ContrastPlan(per_n=2, every=1, seed=0)
SETTINGS = generation(max_new_tokens=12, batch_size=8, memory_gb=1.0, date="2026-01-01")


@dataclass(frozen=True)
class Spelling(Counting):
    """The planted model, with the characters of its prompts."""

    def spell(self, text: str, date: str) -> SpelledPrompt:
        ends = list(itertools.accumulate(len(word) + 1 for word in text.split()))
        starts = [0, *ends[:-1]]
        spans = tuple((start, end - 1) for start, end in zip(starts, ends, strict=True))
        return SpelledPrompt(text, tuple(self.encode(text, date)), spans)


def contrasting(code: str = "en") -> Language:
    """The planted template under two of the kinds; a mark is in no position of its own there."""
    made = [Template(f"{kind}-1", "11 12 {name} N{n} 13 14 15") for kind in KINDS[:2]]
    return replace(language(code), contrasts=tuple(made))


@pytest.mark.parametrize("code", ["en", "it", "lb"])
def test_wordings_differ_in_the_mark_alone(code: str) -> None:
    """Of every bare wording the other adds the mark; the number is in the first or second half."""
    lang = load_language(ROOT / f"resources/languages/{code}.yaml")
    by_id = {template.id: template for template in lang.contrasts}
    assert len(by_id) == 8
    for name, template in by_id.items():
        text = lang.ask(template, lang.topics[0], 5)
        where = text.index("5") / len(text)
        assert where < 0.5 if name.startswith("early") else where > 0.5
        if "-bare-" in name:
            marked = by_id[name.replace("bare", "mark")]
            assert text[-1].isalnum() and lang.ask(marked, lang.topics[0], 5) == text + "."
            assert marked.wording("one") == template.wording("one") + "."


def test_prompts_are_parallel_and_of_evaluate_topics() -> None:
    languages = [load_language(ROOT / f"resources/languages/{code}.yaml") for code in ("en", "lb")]
    english, other = (contrast_prompts(one, (3, 5, 9), 3, 0) for one in languages)
    assert len(english) == 2 * 4 * 3  # 9 has no larger number
    assert [(p.n, p.topic, p.template) for p in english] == [
        (p.n, p.topic, p.template) for p in other
    ]
    assert len({p.id for p in english}) == len({p.text for p in english}) == 24
    assert {topic_split(p.topic, 0) for p in english} == {"evaluate"}
    topics = [{p.topic for p in english if p.template.startswith(kind)} for kind in KINDS]
    assert all(found == topics[0] for found in topics)
    assert {p.template[-1] for p in english} == {"1", "2"}
    assert contrast_prompts(languages[0], (5,), 3, 0) == []


def test_the_planted_circuit_holds_on_new_templates() -> None:
    """It writes N words; N passes from the number to where it is moved; the circuit keeps it."""
    loaded = Spelling(**vars(counting_model()))
    data = measure_contrasts(
        loaded, contrasting(), Members(tuple(NAMES), 3), READING, (PLAN, SETTINGS)
    )
    tables = summarise_contrasts({("m", "en"): data}, BOOTSTRAP)
    circuits = tables["contrast_circuits"].set_index("kind")
    assert list(circuits.index) == [*KINDS[:2], "all"] and (circuits["exact"] == 1).all()
    assert circuits["n_answers"].to_list() == [6, 6, 12] and (circuits["k"] == 3).all()
    assert circuits["faithfulness"].to_numpy() == pytest.approx(1, abs=0.05)
    shares = tables["contrasts"].query("kind == 'early-bare'")
    shares = shares.pivot(index="layer", columns="role", values="share")
    assert shares.loc[0, "numeral"] == pytest.approx(1, abs=0.05)
    assert shares.loc[1, "between"] == pytest.approx(1, abs=0.05)  # 14 is no mark here
    assert shares.loc[2, "last"] == pytest.approx(1, abs=0.05)
    assert set(data["kind"].to_numpy()) == set(KINDS[:2]) and data.attrs["absent"] == ""


def test_what_is_missing_is_named() -> None:
    loaded = Spelling(**vars(counting_model()))
    none = Members((), 0, "no circuit is faithful")
    data = measure_contrasts(loaded, language(), none, READING, (PLAN, SETTINGS))
    assert "en.yaml has no `contrasts`" in data.attrs["absent"]
    one = measure_contrasts(
        loaded, contrasting(), none, Reading((4,), "whitespace", "2026-01-01"), (PLAN, SETTINGS)
    )
    assert "one number of words only" in one.attrs["absent"]
    for found in (data, one):
        tables = summarise_contrasts({("m", "en"): found}, BOOTSTRAP)
        assert tables["contrasts"]["absent"].to_list() == [found.attrs["absent"]]
        assert tables["contrast_circuits"].empty
    data = measure_contrasts(loaded, contrasting(), none, READING, (PLAN, SETTINGS))
    circuits = summarise_contrasts({("m", "en"): data}, BOOTSTRAP)["contrast_circuits"]
    assert circuits["k"].isna().all() and circuits["faithfulness"].isna().all()
    assert np.isnan(data["kept"]).all() and data.attrs["circuit_absent"] == "no circuit is faithful"
