"""Every token of a prompt has its role, by characters, in every language and template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.language.languages import Language, Template, Topic, load_language
from lengthlens.models.prompting import SpelledPrompt
from lengthlens.tracing.roles import (
    ANSWER,
    BEFORE,
    CLOSING,
    LAST,
    MARK,
    NUMERAL,
    ROLES,
    UnknownRoles,
    answer_roles,
    find_mark,
    masks,
    prompt_roles,
    text_roles,
)
from lengthlens.weights.checkpoints import ModelSpec

ROOT = Path(__file__).parents[2]
DATE = "2024-07-26"
TOPIC = Topic("sea", {"name": "the sea", "about": "about the sea"}, ("sea",))


@pytest.fixture(scope="module")
def pocket() -> LoadedModel:
    path = str(ROOT / "resources/pocket/instruct")
    return load(ModelSpec("pocket", "instruct", path=path), dtype="float32", device="cpu")


def words(text: str, closing: str = "") -> SpelledPrompt:
    """A token a word with the space before it, a mark apart; then what a chat template adds."""
    spans, start = [], 0
    for place in range(1, len(text) + 1):
        if place == len(text) or text[place] in " .,?":
            spans.append((start, place))
            start = place
    for part in closing.split():
        spans.append((spans[-1][1], spans[-1][1] + len(part)))
    whole = text + closing.replace(" ", "")
    return SpelledPrompt(whole, tuple(range(len(spans))), tuple(spans))


def by_role(spelled: SpelledPrompt, roles: np.ndarray) -> dict[str, str]:
    """The text of every role, empty ones left out."""
    found = {}
    for name, mask in zip(ROLES, masks(roles), strict=True):
        spans = [spelled.spans[place] for place in np.flatnonzero(mask)]
        if spans:  # a letter of several tokens is one letter
            found[name] = spelled.text[spans[0][0] : spans[-1][1]]
    return found


def roles_in(template: str, closing: str = "", n: int = 7) -> dict[str, str]:
    made = Template("t", template)
    language = Language("en", "English", (TOPIC,), (made,), ())
    text = language.ask(made, TOPIC, n)
    spelled = words(text, closing)
    return by_role(spelled, prompt_roles(spelled, text, language.numerals(made, TOPIC, n)))


def test_an_early_numeral_with_a_mark() -> None:
    assert roles_in("Write {n} words {about}.", "<end> <a>") == {
        "before": "Write", "numeral": " 7", "between": " words about the sea", "mark": ".",
        "closing": "<end><a>",
    }  # fmt: skip


def test_a_late_numeral_without_a_mark() -> None:
    """Between runs to the end of the instruction."""
    found = roles_in("What of {name}? Use {n} words", "<end> <a>")
    assert found == {
        "before": "What of the sea? Use", "numeral": " 7", "between": " words",
        "closing": "<end><a>",
    }  # fmt: skip


def test_a_prompt_that_ends_with_its_mark_has_no_closing() -> None:
    found = roles_in("On {name}: {n}.")
    assert found == {"before": "On the sea:", "numeral": " 7", "mark": "."}


def test_a_numeral_at_either_end() -> None:
    assert "before" not in roles_in("{n} words {about}.")
    assert roles_in("Words {about}: {n}", "<a>") == {
        "before": "Words about the sea:", "numeral": " 7", "closing": "<a>",
    }  # fmt: skip


def test_a_token_of_numeral_and_mark_is_the_numerals() -> None:
    """Precedence: the numeral before the mark, the mark before all others."""
    text = "Use 7. Now"
    spelled = SpelledPrompt(text, (0, 1, 2), ((0, 3), (3, 6), (6, 10)))
    assert prompt_roles(spelled, text, [(4, 5)]).tolist() == [BEFORE, NUMERAL, 2]
    merged = SpelledPrompt(f"{text[:6]}\n\n", (0, 1, 2, 3), ((0, 3), (3, 5), (5, 8), (8, 8)))
    assert prompt_roles(merged, text[:6], [(4, 5)]).tolist() == [BEFORE, NUMERAL, MARK, CLOSING]


def test_a_numeral_of_several_tokens_and_a_space_before_it() -> None:
    text = "Use 12 words."
    spelled = SpelledPrompt(text, (0, 1, 2, 3, 4), ((0, 3), (3, 5), (5, 6), (6, 12), (12, 13)))
    assert prompt_roles(spelled, text, [(4, 6)]).tolist() == [0, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("7 words.", "."), ("7 words, no more", ","), ("7 words", None),
        ("7 words iwwer d'Mier", None),
        ("7 parole sull'estate!", "!"), ('say "7 words."', '."'), ("7 words (about the sea)", None),
        ("7 words for 3.5 hours", None), ("7 words – no more", None), ("7 words: the sea…\n", "…"),
        ("7。", "。"),
    ],
)  # fmt: skip
def test_the_mark_is_the_last_punctuation(text: str, mark: str | None) -> None:
    found = find_mark(text, text.index("7") + 1)
    assert (text[slice(*found)] if found else None) == mark


def test_an_instruction_that_the_template_changes_is_named() -> None:
    with pytest.raises(UnknownRoles, match="changes the instruction 'Use 7'"):
        prompt_roles(words("USE 7"), "Use 7", [(4, 5)])


def test_the_last_token_is_the_one_read_from() -> None:
    prompt = np.array([BEFORE, NUMERAL, MARK], dtype=np.int8)
    assert text_roles(prompt, 2).tolist() == [BEFORE, NUMERAL, MARK, ANSWER, LAST]
    assert text_roles(prompt, 0).tolist() == [BEFORE, NUMERAL, LAST]
    assert masks(text_roles(prompt, 2)).sum(0).tolist() == [1] * 5


@pytest.mark.parametrize("code", ["en", "it", "lb"])
def test_every_template_of_a_language(pocket: LoadedModel, code: str) -> None:
    """The pocket model's own prompts: number, words after it, full stop, chat template."""
    language = load_language(ROOT / f"resources/languages/{code}.yaml")
    answers = [
        {"topic": topic.id, "template": template.id, "n": n}
        for template in language.templates
        for topic, n in zip(language.topics[:2], (3, 9), strict=True)
    ]
    for row, roles in zip(answers, answer_roles(pocket, language, answers, DATE), strict=True):
        topic = next(topic for topic in language.topics if topic.id == row["topic"])
        template = next(item for item in language.templates if item.id == row["template"])
        text = language.ask(template, topic, row["n"])
        spelled = pocket.spell(text, DATE)
        assert list(spelled.tokens) == pocket.encode(text, DATE) and len(roles) == len(
            spelled.spans
        )
        found = by_role(spelled, roles)
        before, _, after = template.text.partition("{n}")
        assert found["numeral"].strip() == str(row["n"])
        assert (found["before"] + found["numeral"]).startswith("<|begin|><|user|>" + before[:4])
        assert found["between"] == after.format(**topic.forms)[:-1]
        assert found["mark"] == "." and found["closing"] == "<|turn_end|><|assistant|>"


def test_base_models_read_the_text_and_a_line_break(pocket: LoadedModel) -> None:
    path = str(ROOT / "resources/pocket/base")
    base = load(ModelSpec("pocket", "base", path=path), dtype="float32", device="cpu")
    spelled = base.spell("Write 7 words.", DATE)
    assert list(spelled.tokens) == base.encode("Write 7 words.", DATE)
    found = by_role(spelled, prompt_roles(spelled, "Write 7 words.", [(6, 7)]))
    assert found["numeral"].strip() == "7" and found["closing"] == "\n"


def test_a_tokenizer_without_characters_is_named(pocket: LoadedModel) -> None:
    class Slow(PreTrainedTokenizerBase):
        is_fast = False

        def __init__(self) -> None:
            pass

    blind = LoadedModel(**vars(pocket) | {"tokenizer": Slow()})
    language = load_language(ROOT / "resources/languages/en.yaml")
    row = {"topic": language.topics[0].id, "template": "plain", "n": 5}
    (reason,) = answer_roles(blind, language, [row], DATE)
    assert reason == "the tokenizer of pocket does not tell which characters a token is"
