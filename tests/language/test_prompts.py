"""Prompts: deterministic, append-only, parallel across languages, never the same pair twice."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthlens.errors import LengthlensError
from lengthlens.files.jsonl import write_rows
from lengthlens.language.prompts import (
    Language,
    Prompt,
    Template,
    Topic,
    build_prompts,
    load_language,
    spread_over_n,
    topic_split,
    with_number,
)

RESOURCES = Path(__file__).parents[2] / "resources" / "languages"
N_WORDS = range(3, 10)


@pytest.fixture(scope="module")
def languages() -> dict[str, Language]:
    return {code: load_language(RESOURCES / f"{code}.yaml") for code in ("en", "it", "lb")}


def small_language(topics: int, templates: int, code: str = "xx") -> Language:
    return Language(
        code=code,
        name="Example",
        topics=tuple(
            Topic(f"t{i}", {"name": f"{code} thing{i}"}, (f"thing{i}",)) for i in range(topics)
        ),
        templates=tuple(
            Template(f"w{i}", f"Wording {i}: {{n}} words on {{name}}.") for i in range(templates)
        ),
        neutral=("Nothing to see.",),
    )


def test_a_prompt_reads_as_a_person_would_write_it(languages: dict[str, Language]) -> None:
    """The first prompts for seed 0, written out: they may never change without a reason."""
    found = {code: build_prompts(lang, 5, 0, 1, 0)[0] for code, lang in languages.items()}
    assert found["en"] == Prompt(
        id="en-n5-0000",
        language="en",
        n=5,
        topic="cloud",
        template="sentence",
        split="evaluate",
        text="Write a sentence of exactly 5 words about the cloud.",
    )
    assert found["it"].text == "Scrivi una frase di esattamente 5 parole sulla nuvola."
    assert found["lb"].text == "Schreif e Saz vu genee 5 Wierder iwwer d'Wollek."


@given(
    n=st.integers(1, 30),
    seed=st.integers(0, 10_000),
    bounds=st.lists(st.integers(0, 15 * 4), min_size=3, max_size=3).map(sorted),
)
def test_growing_only_appends(n: int, seed: int, bounds: list[int]) -> None:
    """build(a, c) = build(a, b) + build(b, c), whatever the shard borders a <= b <= c."""
    language = small_language(topics=15, templates=4)
    a, b, c = bounds
    whole = build_prompts(language, n, a, c, seed)
    parts = build_prompts(language, n, a, b, seed) + build_prompts(language, n, b, c, seed)
    assert whole == parts
    assert [prompt.id for prompt in whole] == [f"xx-n{n}-{i:04d}" for i in range(a, c)]


@given(
    topics=st.integers(12, 25),
    templates=st.integers(1, 9),
    n=st.integers(1, 30),
    seed=st.integers(0, 10_000),
)
def test_no_pair_of_topic_and_template_comes_twice(
    topics: int, templates: int, n: int, seed: int
) -> None:
    """All topics × templates pairs, each exactly once, fill the capacity of an n."""
    language = small_language(topics, templates)
    capacity = topics * templates
    prompts = build_prompts(language, n, 0, capacity, seed)
    assert len({(prompt.topic, prompt.template) for prompt in prompts}) == capacity
    assert len({prompt.text for prompt in prompts}) == capacity


def test_topics_go_round_and_templates_fill_blocks(languages: dict[str, Language]) -> None:
    language = languages["en"]
    size = len(language.templates)
    for n in N_WORDS:
        prompts = build_prompts(language, n, 0, 2 * len(language.topics), 0)
        topics = [prompt.topic for prompt in prompts]
        assert topics[:48] == topics[48:]
        assert len(set(topics[:48])) == 48
        for first in range(0, len(prompts), size):
            block = {prompt.template for prompt in prompts[first : first + size]}
            assert len(block) == size


def test_languages_are_parallel(languages: dict[str, Language]) -> None:
    """Prompt (n, index) has the same topic, template and split in every language."""
    for n in N_WORDS:
        keys = [
            [(p.topic, p.template, p.split) for p in build_prompts(language, n, 0, 384, 7)]
            for language in languages.values()
        ]
        assert keys[0] == keys[1] == keys[2]


def test_orders_differ_between_n_and_between_seeds(languages: dict[str, Language]) -> None:
    def topics(n: int, seed: int) -> list[str]:
        return [prompt.topic for prompt in build_prompts(languages["en"], n, 0, 48, seed)]

    assert len({tuple(topics(n, 0)) for n in N_WORDS}) == len(N_WORDS)
    assert topics(3, 0) != topics(3, 1)


def test_split_is_by_topic_and_balanced_enough(languages: dict[str, Language]) -> None:
    """At the shipped seed 18 of the 48 topics select and 30 evaluate; each n gets both sides.

    30 or more to 18 or fewer either way comes once in nine seeds under a fair coin.
    """
    prompts = [p for n in N_WORDS for p in build_prompts(languages["en"], n, 0, 24, 0)]
    sides = {(prompt.topic, prompt.split) for prompt in prompts}
    assert Counter(split for _, split in sides) == {"select": 18, "evaluate": 30}
    assert all(split == topic_split(topic, 0) for topic, split in sides)
    for n in N_WORDS:
        selected = sum(prompt.split == "select" for prompt in prompts if prompt.n == n)
        assert 8 <= selected <= 10


def test_some_prompts_are_drawn_by_the_seed_and_spread_over_n() -> None:
    """As many of each N, in their order, the same in every language; not the first ones."""
    by_code = {
        code: [
            prompt
            for n in (3, 4, 5)
            for prompt in build_prompts(small_language(12, 2, code), n, 0, 12, 0)
        ]
        for code in ("xx", "yy")
    }
    prompts = by_code["xx"]
    assert spread_over_n(prompts, None, 0) == spread_over_n(prompts, 99, 0) == prompts
    seven = spread_over_n(prompts, 7, 0)
    assert Counter(prompt.n for prompt in seven) == {3: 3, 4: 2, 5: 2}
    assert seven == [prompt for prompt in prompts if prompt in seven]
    assert set(seven) <= set(spread_over_n(prompts, 12, 0))  # more only add
    same = [(p.n, p.topic, p.template) for p in spread_over_n(by_code["yy"], 7, 0)]
    assert same == [(p.n, p.topic, p.template) for p in seven]
    drawn = Counter(prompt.id for seed in range(300) for prompt in spread_over_n(prompts, 9, seed))
    assert len(drawn) == len(prompts)  # each in a quarter of the draws
    assert all(abs(count - 75) < 4 * (300 * 0.25 * 0.75) ** 0.5 for count in drawn.values())


def test_too_many_prompts_are_refused(languages: dict[str, Language]) -> None:
    with pytest.raises(LengthlensError, match=r"385 prompts.*'it'.*48 topics × 8 templates = 384"):
        build_prompts(languages["it"], 3, 0, 385, 0)


@pytest.mark.parametrize(("n", "start", "stop"), [(0, 0, 1), (3, 2, 1), (3, -1, 1)])
def test_impossible_requests_are_refused(
    languages: dict[str, Language], n: int, start: int, stop: int
) -> None:
    with pytest.raises(LengthlensError, match=r"must be|are no range"):
        build_prompts(languages["en"], n, start, stop, 0)


def test_a_one_sided_split_is_refused() -> None:
    language = small_language(topics=2, templates=2)
    one_sided = next(s for s in range(50) if topic_split("t0", s) == topic_split("t1", s))
    with pytest.raises(LengthlensError, match=f"seed {one_sided} all 2 topics"):
        build_prompts(language, 3, 0, 1, one_sided)


def test_jsonl_round_trip(languages: dict[str, Language], tmp_path: Path) -> None:
    prompts = [p for lang in languages.values() for p in build_prompts(lang, 4, 0, 24, 0)]
    write_rows(map(asdict, prompts), tmp_path / "a.jsonl", {})
    lines = (tmp_path / "a.jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    assert [Prompt(**json.loads(line)) for line in lines] == prompts


def test_jsonl_of_nothing_is_nothing(tmp_path: Path) -> None:
    write_rows([], tmp_path / "a.jsonl", {})
    assert (tmp_path / "a.jsonl").read_bytes() == b""


def test_the_halves_of_the_default_study_are_what_the_docs_say(languages) -> None:
    """64 answers about 18 topics select, 104 about 30 evaluate, in every language."""
    docs = (RESOURCES.parents[1] / "docs" / "statistics.md").read_text(encoding="utf-8")
    words = " ".join(docs.split())
    for language in languages.values():
        prompts = [p for n in N_WORDS for p in build_prompts(language, n, 0, 24, seed=0)]
        halves = {name: [p for p in prompts if p.split == name] for name in ("select", "evaluate")}
        select, evaluate = (
            f"{len(half)} samples of {len({p.topic for p in half})} topics {name}"
            for name, half in halves.items()
        )
        assert f"{select} and {evaluate}" in words
        assert select.startswith("64 samples of 18") and evaluate.startswith("104 samples of 30")


def test_the_same_prompt_for_another_number(languages) -> None:
    """Topic, wording, split and id stay; only the number differs in the text."""
    language = languages["it"]
    for prompt in build_prompts(language, 3, 0, 8, seed=0):
        other = with_number(language, prompt, 7)
        assert other.text == prompt.text.replace("3", "7") != prompt.text
        assert (other.n, other.id, other.topic) == (7, prompt.id, prompt.topic)
        assert with_number(language, other, 3) == prompt
    with pytest.raises(LengthlensError, match="has the topic 'none'.*generate the answers anew"):
        with_number(language, Prompt("p", "it", 3, "none", "a", "select", ""), 4)
