"""Families that reason, by the structure of their templates: prompts, answers and ends are found.

Each is loaded from its files as a study does, and an answer is put behind each of its prompts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from reasoning import FAMILIES, HARMONY, reasoning_model

from lengthlens.errors import LengthlensError
from lengthlens.forced.same_text import reading_as, why_not_shared
from lengthlens.generation.answers import Request, answer_row
from lengthlens.generation.described import describe
from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.language.prompts import build_prompts, load_language
from lengthlens.models.loading import load_tokenizer
from lengthlens.models.stopping import turn_end_of
from lengthlens.models.thinking import FINAL, thinking_of
from lengthlens.tracing.roles import BEFORE, CLOSING, NUMERAL, instructions, prompt_roles
from lengthlens.weights.arrival import arrival_problem
from lengthlens.weights.checkpoints import ModelSpec, check_files

ROOT = Path(__file__).parents[2]
ENGLISH = load_language(ROOT / "resources/languages/en.yaml")
PROMPTS = [prompt for n in (3, 7, 24) for prompt in build_prompts(ENGLISH, n, 0, 2, 0)]
DATE = "2024-07-26"
SAID = "The sea is calm."
ANALYSIS = "<|channel|>analysis<|message|>Five words, or 7?<|end|><|start|>assistant"
OFF = {"enable_thinking": False}

# Family, variables, the end of its prompts, whether it is within thinking, and what the model
# writes before its answer.
CASES = [
    ("Qwen 3", {}, "<|im_start|>assistant\n", False, "<think>\nFive words?\n</think>\n\n"),
    ("Qwen 3", OFF, "<think>\n\n</think>\n\n", False, ""),
    ("Qwen 3.5", {}, "<|im_start|>assistant\n<think>\n", True, "Five words?\n</think>\n\n"),
    ("Qwen 3.5", OFF, "<think>\n\n</think>\n\n", False, ""),
    ("DeepSeek R1", {}, "<｜Assistant｜><think>\n", True, "Five words?\n</think>\n\n"),
    ("DeepSeek V3.1", {}, "<｜Assistant｜></think>", False, ""),
    ("DeepSeek V3.1", {"thinking": True}, "<｜Assistant｜><think>", True, "Five?</think>"),
    ("gpt-oss", {}, "<|start|>assistant", False, ANALYSIS + FINAL),
    ("gpt-oss", {"effort": "low"}, "<|start|>assistant", False, FINAL),
]
NAMES = [f"{family}, {' '.join(map(str, values)) or 'as it is'}" for family, values, *_ in CASES]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: reasoning_model(root / name, family) for name, family in FAMILIES.items()}


def opened(folder: Path, template: dict) -> LoadedModel:
    spec = ModelSpec("m", "instruct", path=str(folder), template=template)
    assert check_files(spec) == folder
    assert arrival_problem(spec, [prompt.text for prompt in PROMPTS], DATE) is None
    return load(spec, device="cpu")


@pytest.mark.parametrize(("family", "template", "end", "within", "before"), CASES, ids=NAMES)
def test_prompt_answer_and_end_are_found(folders, family, template, end, within, before):
    loaded = opened(folders[family], template)
    assert loaded.thinking.opened == within
    closes = FAMILIES[family].turn_end
    stops = loaded.tokenizer.convert_ids_to_tokens(list(loaded.stops.ids))
    assert set(stops) == {*FAMILIES[family].declared, closes}
    assert loaded.stops.added == (closes not in FAMILIES[family].declared)
    for prompt, (text, numerals) in zip(
        PROMPTS, instructions(ENGLISH, [vars(prompt) for prompt in PROMPTS]), strict=True
    ):
        spelled = loaded.spell(text, DATE)
        assert spelled.text.endswith(end) and list(spelled.tokens) == loaded.encode(text, DATE)
        pieces = [spelled.text[slice(*span)] for span in spelled.spans]
        roles = prompt_roles(spelled, text, numerals)
        number = [piece for piece, role in zip(pieces, roles, strict=True) if role == NUMERAL]
        assert "".join(number).strip() == str(prompt.n)
        closing = "".join(p for p, role in zip(pieces, roles, strict=True) if role == CLOSING)
        assert closing.endswith(end) and text not in closing
        assert (roles[: list(roles).index(NUMERAL)] == BEFORE).all()

        answer = loaded.tokenizer(before + SAID + closes, add_special_tokens=False)["input_ids"]
        row = answer_row(
            Request("s", prompt, list(spelled.tokens)), answer, True, loaded, "whitespace"
        )
        assert row["text"].strip() == SAID and row["words"] == 4
        assert (row["thinking_tokens"] > 0) == bool(before)
        marks = loaded.annotate(answer, 4, "whitespace")
        assert marks.sign.tolist() == [0] * row["thinking_tokens"] + [1] * (
            len(answer) - row["thinking_tokens"]
        )
        assert marks.decision.tolist().index(True) >= row["thinking_tokens"]


@pytest.mark.parametrize(("family", "template", "end", "within", "before"), CASES, ids=NAMES)
def test_thinking_that_does_not_end_is_no_answer(folders, family, template, end, within, before):
    """Cut where the answer would begin: a category of its own, whoever opened the thinking."""
    loaded = opened(folders[family], template)
    thought = before.strip().removesuffix("</think>").removesuffix(FINAL)
    tokens = loaded.tokenizer(thought, add_special_tokens=False)["input_ids"]
    if not tokens:
        return
    request = Request("s", PROMPTS[0], loaded.encode(PROMPTS[0].text, DATE))
    row = answer_row(request, tokens, False, loaded, "whitespace")
    assert row["cut_thinking"] and row["text"] == "" and row["words"] == 0


@pytest.mark.parametrize("family", ["DeepSeek R1", "gpt-oss"])
def test_a_switch_that_a_template_lacks_is_refused(folders, family):
    spec = ModelSpec("m", "instruct", path=str(folders[family]), template=OFF)
    reads = {"DeepSeek R1": "none", "gpt-oss": "effort"}[family]
    words = f"no variable enable_thinking, so that setting it does nothing; it reads {reads}"
    with pytest.raises(LengthlensError, match=words):
        check_files(spec)
    assert arrival_problem(spec, [PROMPTS[0].text], DATE).endswith(words)


@pytest.mark.parametrize(
    ("family", "template", "note"),
    [
        ("Qwen 3", {}, "`template: {enable_thinking: false}` prevents that"),
        ("Qwen 3", OFF, None),
        ("Qwen 3.5", {}, "`template: {enable_thinking: false}` prevents that"),
        ("DeepSeek R1", {}, "its chat template has no switch against that"),
        ("DeepSeek V3.1", {}, None),
        ("DeepSeek V3.1", {"thinking": True}, None),
        ("gpt-oss", {}, "its chat template has no switch against that"),
    ],
)
def test_how_to_prevent_thinking_is_told(folders, family, template, note):
    notes = [n for n in describe(opened(folders[family], template), DATE)["notes"] if "think" in n]
    assert len(notes) == (note is not None)
    assert note is None or note in notes[0]


@pytest.fixture(scope="module")
def harmony(folders):
    return load_tokenizer(ModelSpec("m", "instruct", path=str(folders["gpt-oss"])))


def test_a_prompt_may_open_a_channel(harmony):
    """Of the final one, which leaves no place for thinking; or of that of thinking."""
    spec = ModelSpec("m", "instruct", path="x")
    for opening, within, noted in (("final", False, False), ("analysis", True, True)):
        end = f"<|start|>assistant<|channel|>{opening}<|message|>"
        harmony.chat_template = HARMONY.replace(
            "prompt %}{{- '<|start|>assistant'", f"prompt %}}{{{{- '{end}'"
        )
        thinking = thinking_of(spec, harmony)
        assert (thinking.opened, bool(thinking.note)) == (within, noted)
        tokens = harmony.encode(SAID, add_special_tokens=False)
        assert thinking.answer_start(tokens) == within * len(tokens)


def test_a_token_that_closes_every_message_does_not_end_an_answer(harmony):
    """It would end answers after their thinking."""
    harmony.chat_template = HARMONY.replace("'<|return|>' if", "'<|end|>' if")
    token, note = turn_end_of(ModelSpec("m", "instruct", path="x"), harmony)
    assert token is None and note.startswith(
        "its chat template closes every message with '<|end|>'"
    )


def test_answers_that_would_stand_within_thinking_are_not_shared(folders):
    author = ModelSpec("a", "instruct", path=str(folders["Qwen 3.5"]), template=OFF)
    plain = opened(folders["Qwen 3.5"], OFF)
    tokens = plain.tokenizer(SAID + "<|im_end|>", add_special_tokens=False)["input_ids"]
    rows = [{"sample_id": "s#0", "tokens": tokens, "text": SAID}]
    assert why_not_shared(plain, reading_as(plain, author), rows) == ""
    thinks = opened(folders["Qwen 3.5"], {})
    told = why_not_shared(thinks, reading_as(thinks, author), rows)
    assert told == "under its own prompt the answer of s#0 begins elsewhere"
