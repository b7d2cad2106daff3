"""Wordings take the form that CLDR asks for each number, and a form that is missing is named."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml

from lengthlens.errors import LengthlensError
from lengthlens.language.languages import load_language, missing_forms
from lengthlens.language.plurals import CATEGORIES, plural_category
from lengthlens.language.prompts import build_prompts

ROOT = Path(__file__).parents[2]
POLISH = {
    "code": "pl",
    "name": "Polish",
    "topics": {
        "sea": {"name": "morze", "words": ["morze"]},
        "dog": {"name": "pies", "words": ["pies"]},
    },
    "templates": {
        "plain": {
            "one": "Napisz dokładnie {n} słowo: {name}.",
            "few": "Napisz dokładnie {n} słowa: {name}.",
            "many": "Napisz dokładnie {n} słów: {name}.",
            "other": "Napisz dokładnie {n} słowa: {name}.",
        }
    },
    "neutral": ["Całą noc padało."],
}


def read(folder: Path, content: dict):
    path = folder / f"{content['code']}.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), "utf-8")
    return load_language(path)


def changed(**templates: object) -> dict:
    content = copy.deepcopy(POLISH)
    content["templates"]["plain"] = templates.get("plain", content["templates"]["plain"])
    return content | {key: value for key, value in templates.items() if key != "plain"}


@pytest.mark.parametrize(
    ("code", "categories"),
    [
        ("en", {1: "one", 2: "other", 21: "other"}),
        ("pl", {1: "one", 2: "few", 4: "few", 5: "many", 12: "many", 22: "few", 25: "many"}),
        ("ar", {1: "one", 2: "two", 3: "few", 10: "few", 11: "many", 100: "other"}),
        ("ru", {1: "one", 3: "few", 5: "many", 21: "one"}),
        ("lv", {1: "one", 2: "other", 10: "zero", 21: "one"}),
        ("cy", {2: "two", 3: "few", 6: "many"}),
        ("fr", {1: "one", 2: "other"}),
        ("ja", {1: "other", 5: "other"}),
        ("pt-br", {1: "one", 2: "other"}),
        ("en-nz", {1: "one", 3: "other"}),
        ("en-n3-0007", {1: "one", 3: "other"}),  # a code of one's own that begins with a known one
        ("qaa", {1: "other", 3: "other"}),  # CLDR does not know it
    ],
)
def test_categories_are_those_of_cldr(code, categories):
    assert {n: plural_category(code, n) for n in categories} == categories
    assert set(categories.values()) <= set(CATEGORIES)


def test_every_number_gets_its_wording(tmp_path):
    language = read(tmp_path, POLISH)
    texts = {n: build_prompts(language, n, 0, 1, 1)[0].text for n in (1, 3, 5, 22)}
    ends = {n: re.search(r"\d+ \w+", text)[0] for n, text in texts.items()}
    assert ends == {1: "1 słowo", 3: "3 słowa", 5: "5 słów", 22: "22 słowa"}


@pytest.mark.parametrize(
    ("code", "word"), [("en", "1 word"), ("it", "1 parola"), ("lb", "1 Wuert")]
)
def test_one_word_is_singular_in_the_shipped_languages(code, word):
    language = load_language(ROOT / f"resources/languages/{code}.yaml")
    for prompt in build_prompts(language, 1, 0, 40, 0):
        assert re.search(r"1 \w+", prompt.text)[0] == word, prompt.text
    for template in language.templates:  # nothing but the noun differs
        one = template.wording("one").split()
        other = template.text.split()
        assert sum(a != b for a, b in zip(one, other, strict=True)) == 1


def test_a_form_that_a_number_needs_is_asked_for_by_name(tmp_path):
    """A plain text is the form `other`; in Polish no whole number takes it."""
    language = read(tmp_path, changed(plain="Napisz {n} słów: {name}."))
    told = missing_forms(language, [5, 6, 2])
    assert told.startswith("in pl the number 5, 6 takes the plural form `many` (CLDR), which ")
    assert "pl.yaml does not give for the templates plain" in told
    with pytest.raises(LengthlensError, match="number 3 takes the plural form `few`"):
        build_prompts(language, 3, 0, 1, 1)
    assert missing_forms(read(tmp_path, POLISH), range(1, 200)) is None


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        ({"one": "{n} {name}"}, "the form `other` is missing"),
        ({"singular": "{n} {name}", "other": "{n} {name}."}, "'singular' is no plural form: "),
        ({"few": "{name}", "other": "{n} {name}"}, "form `few`: '{name}' does not say the number"),
        ({"few": 3, "other": "{n} {name}"}, "form `few`: is read as 3"),
    ],
)
def test_forms_are_checked_one_by_one(tmp_path, templates, words):
    with pytest.raises(LengthlensError, match=re.escape(words)):
        read(tmp_path, changed(plain=templates))


def test_the_english_file_serves_as_a_pattern_for_languages_without_a_singular(tmp_path):
    """Burmese has one form for all numbers: the others of the copied file are never used."""
    text = (ROOT / "resources/languages/en.yaml").read_text(encoding="utf-8")
    (tmp_path / "my.yaml").write_text(text.replace("code: en", "code: my"), encoding="utf-8")
    language = load_language(tmp_path / "my.yaml")
    assert "1 words" in build_prompts(language, 1, 0, 1, 0)[0].text


@pytest.mark.parametrize("name", ["{n}", "the {sea", "morze}"])
def test_braces_of_a_topic_do_not_reach_the_prompt(tmp_path, name):
    topics = {"sea": {"name": f"morze {name}", "words": ["morze"]}, "dog": POLISH["topics"]["dog"]}
    with pytest.raises(LengthlensError, match="form `name`: .* holds a brace"):
        read(tmp_path, changed(topics=topics))


def test_braces_of_a_template_do_not_reach_the_prompt(tmp_path):
    with pytest.raises(LengthlensError, match="would leave a brace in the prompt"):
        read(tmp_path, changed(plain="{n} {name} {{n}}"))
