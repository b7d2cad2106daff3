"""Models as they come: altered copies of pocket-instruct answer exactly as the sound one, or are
refused. Each alteration was met in public and gave other answers, without a word."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_project import generation

from lengthlens.errors import LengthlensError
from lengthlens.generation.answers import (
    Request,
    answer_prompts,
    answer_row,
    record_batch,
)
from lengthlens.generation.described import describe
from lengthlens.generation.loaded import LoadedModel, load
from lengthlens.generation.steps import annotate_steps
from lengthlens.language.prompts import build_prompts, load_language, one_of_each
from lengthlens.statistics import shift_variance
from lengthlens.weights.arrival import arrival_problem
from lengthlens.weights.checkpoints import ModelSpec

ROOT = Path(__file__).parents[2]
POCKET = ROOT / "resources/pocket/instruct"
ENGLISH = load_language(ROOT / "resources/languages/en.yaml")
PROMPTS = [prompt for n in (3, 5, 7, 9) for prompt in build_prompts(ENGLISH, n, 0, 2, 0)]
DATE = "2024-07-26"
SETTINGS = generation(
    max_new_tokens=40,
    batch_size=8,
    memory_gb=1,
    date=DATE,
)
TEMPLATE = (POCKET / "chat_template.jinja").read_text(encoding="utf-8")


def answered(loaded: LoadedModel) -> list[dict]:
    return [
        row for rows, _ in answer_prompts(loaded, PROMPTS, SETTINGS, "whitespace") for row in rows
    ]


@pytest.fixture(scope="module")
def sound() -> list[dict]:
    """What the unaltered model answers."""
    rows = answered(load(ModelSpec("m", "instruct", path=str(POCKET)), device="cpu"))
    assert sum(row["error"] == 0 for row in rows) >= 7 and all(row["stopped"] for row in rows)
    return rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POCKET, tmp_path / "model"))


def opened(folder: Path, **entry) -> LoadedModel:
    return load(ModelSpec("m", "instruct", path=str(folder), **entry), device="cpu")


def template(folder: Path, text: str) -> None:
    (folder / "chat_template.jinja").write_text(text, encoding="utf-8")


def settings(folder: Path, **values: object) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def stops_at(folder: Path, *ids: int, **more: object) -> None:
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": list(ids)} | more))


# --- the prompt -------------------------------------------------------------------------------

PART = TEMPLATE.replace("message.content", "message.content[0].text")
PARTS = TEMPLATE.replace(
    "{{ message.content | trim }}",
    "{% for part in message.content if part.type == 'text' %}{{ part.text | trim }}{% endfor %}",
)
SYSTEM = (
    "{%- if messages[0].role != 'system' -%}{{ raise_exception('begin with a system turn') }}"
    "{%- endif -%}{%- set messages = messages[1:] -%}" + TEMPLATE
)


def as_json_alone(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))


def named_with_default(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    names = [("default", TEMPLATE), ("tool_use", "tools")]
    settings(folder, chat_template=[{"name": n, "template": t} for n, t in names])


PROMPTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "first part": (lambda f: template(f, PART), "parts"),
    "loop over parts": (lambda f: template(f, PARTS), "parts"),
    "system turn": (lambda f: template(f, SYSTEM), "text after an empty system turn"),
    "json alone": (as_json_alone, "text"),
    "named, with a default": (named_with_default, "text"),
}


@pytest.mark.parametrize("kind", PROMPTED)
def test_the_instruction_arrives_whatever_the_template_expects(folder: Path, kind: str, sound):
    alter, form = PROMPTED[kind]
    alter(folder)
    loaded = opened(folder)
    spec, texts = loaded.spec, one_of_each([ENGLISH], [3, 12])
    assert arrival_problem(spec, texts, DATE) is None
    assert describe(loaded, DATE)["prompt_form"] == form
    assert answered(loaded) == sound


def named_without_default(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    settings(folder, chat_template=[{"name": "rag", "template": TEMPLATE}])


def several_files(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "chat_template.jinja").rename(folder / "additional_chat_templates/rag.jinja")


TWICE = TEMPLATE.replace("{%- endfor -%}", "{{ message.content }}{%- endfor -%}")
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing arrives": (
        lambda f: template(f, "{{ bos_token }}<|assistant|>"),
        "is not in the prompt",
    ),
    "twice": (lambda f: template(f, TWICE), "is in the prompt 2 times"),
    "refuses": (lambda f: template(f, "{{ raise_exception('no chat') }}"), "refuses .*no chat"),
    "empty": (lambda f: template(f, " \n"), "is no text|is empty"),
    "not valid": (lambda f: template(f, "{% for %}"), "is not valid"),
    "named, no default": (named_without_default, "templates rag, but none is called default"),
    "several files": (several_files, "templates rag, but none is called default"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_template_without_the_instruction_is_refused_before_any_job(folder: Path, kind: str):
    alter, words = REFUSED[kind]
    alter(folder)
    spec = ModelSpec("m", "instruct", path=str(folder))
    problem = arrival_problem(spec, one_of_each([ENGLISH], [3]), DATE)
    assert problem is not None and problem.startswith("Model m: ")
    with pytest.raises(LengthlensError, match=words):
        raise LengthlensError(problem)
    with pytest.raises(LengthlensError, match=f"m: |{words}"):
        opened(folder).encode(PROMPTS[0].text, DATE)


def test_a_language_that_the_tokenizer_cannot_write_is_told(folder: Path):
    """Unknown letters vanish from the prompt without a word."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"] = {"type": "Replace", "pattern": {"String": "7"}, "content": ""}
    path.write_text(json.dumps(content))
    spec = ModelSpec("m", "instruct", path=str(folder))
    assert arrival_problem(spec, one_of_each([ENGLISH], [3]), DATE) is None
    assert "instruction 0 times instead of once" in arrival_problem(
        spec, one_of_each([ENGLISH], [7]), DATE
    )
    loaded = opened(folder)
    assert loaded.encode("In exactly 3 words.", DATE)
    with pytest.raises(LengthlensError, match="instruction .* is missing in the prompt"):
        loaded.encode("In exactly 7 words.", DATE)


def test_variables_reach_the_template_or_are_refused(folder: Path, sound):
    template(folder, "{% if polite %}Please! {% endif %}" + TEMPLATE)
    loaded = opened(folder, template={"polite": True})
    text = loaded.tokenizer.decode(loaded.encode("Hi there.", DATE))
    assert text.startswith("Please! <|begin|>")
    assert describe(loaded, DATE)["template"] == {"polite": True}
    assert answered(opened(folder, template={"polite": False})) == sound
    wrong = ModelSpec("m", "instruct", path=str(folder), template={"polit": True})
    problem = arrival_problem(wrong, ["Hi."], DATE)
    assert problem.endswith(
        "has no variable polit, so that setting it does nothing; it reads polite"
    )
    with pytest.raises(LengthlensError, match="has no variable polit"):
        opened(folder, template={"polit": True})


# --- what ends an answer ----------------------------------------------------------------------


def test_the_templates_end_of_a_turn_ends_answers(folder: Path, sound, capsys):
    """Without it every answer runs on to its cut: 0 exact of 8."""
    stops_at(folder, 1)
    loaded = opened(folder)
    assert loaded.stops.added and loaded.stops.ids == (1, 5)
    assert "closes turns with '<|turn_end|>', which its generation_config does not name" in (
        capsys.readouterr().err
    )
    assert describe(loaded, DATE)["added_stop_token"] == "<|turn_end|>"
    assert answered(loaded) == sound
    without = opened(folder, stop_at_turn_end=False)
    assert without.stops.ids == (1,) and "stop_at_turn_end is false" in without.stops.note
    assert all(row["truncated"] for row in answered(without))


def test_a_template_that_closes_turns_with_text_is_told(folder: Path):
    template(folder, TEMPLATE.replace("<|turn_end|>", "\n\n### "))
    stops = opened(folder).stops
    assert stops.ids == (1, 5) and stops.turn_end is None
    assert "closes turns with '###', which is no token of its own" in stops.note


def test_settings_of_generation_are_passed_over_and_named(folder: Path, sound):
    stops_at(folder, 1, 5, repetition_penalty=1.3, temperature=0.6, suppress_tokens=[9])
    loaded = opened(folder)
    assert answered(loaded) == sound
    assert describe(loaded, DATE)["passed_over"] == {
        "repetition_penalty": 1.3,
        "temperature": 0.6,
        "suppress_tokens": [9],
    }


# --- thinking ---------------------------------------------------------------------------------

OPENS = TEMPLATE.replace("<|assistant|>{%- endif", "<|assistant|><think>\n{%- endif")


def thought(loaded: LoadedModel, sound: list[dict], before: str) -> list[tuple[Request, list[int]]]:
    """The sound answers, with some text before each."""
    ids = loaded.tokenizer(before, add_special_tokens=False)["input_ids"]
    return [
        (
            Request(row["sample_id"], prompt, loaded.encode(prompt.text, DATE)),
            [*ids, *row["tokens"]],
        )
        for prompt, row in zip(PROMPTS, sound, strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "before"),
    [
        (TEMPLATE + "{# </think> #}", "<think>\nThree words. No, five!\n</think>"),
        (OPENS + "{# </think> #}", "Three words. No, five!\n</think>"),
        (TEMPLATE + "{# [/THINK] #}", "[THINK]Let me count.[/THINK]"),
    ],
)
def test_counts_are_those_of_the_answer_after_thinking(folder: Path, sound, text, before):
    """Words, signs, boundaries and decisions equal those of the same answers without thinking."""
    template(folder, text)
    loaded = opened(folder)
    for (request, tokens), row in zip(thought(loaded, sound, before), sound, strict=True):
        start = len(tokens) - len(row["tokens"])
        made = answer_row(request, tokens, True, loaded, "whitespace")
        for name in ("words", "error", "text", "stopped", "truncated"):
            assert made[name] == row[name], name
        assert made["thinking_tokens"] == start > 5 and not made["cut_thinking"]
        known = (loaded.vocabulary, loaded.decode_text, "whitespace")
        marks = annotate_steps(tokens, row["n"], *known, loaded.answer_start(tokens))
        plain = annotate_steps(row["tokens"], row["n"], *known)
        for name in ("words_before", "words_after", "sign", "boundary", "decision"):
            values = getattr(marks, name)
            assert (values[start:] == getattr(plain, name)).all(), name
            assert not values[:start].any(), name


def test_thinking_that_is_cut_is_a_category_of_its_own(folder: Path, sound):
    template(folder, OPENS + "{# </think> #}")
    loaded = opened(folder)
    [(request, _), *_] = thought(loaded, sound, "")
    tokens = loaded.tokenizer("I count and count", add_special_tokens=False)["input_ids"]
    row = answer_row(request, tokens, False, loaded, "whitespace")
    assert row["cut_thinking"] and row["truncated"]
    assert row["words"] == 0 and row["text"] == "" and row["thinking_tokens"] == len(tokens)
    ended = answer_row(request, [*tokens, 5], True, loaded, "whitespace")
    assert not ended["cut_thinking"] and ended["words"] == 0 and ended["stopped"]


def test_marks_can_be_named_or_switched_off(folder: Path, sound):
    own = {"open": "((", "close": "))"}
    loaded = opened(folder, thinking=own)
    request, tokens = thought(loaded, sound, "((one, two, three))")[0]
    assert answer_row(request, tokens, True, loaded, "whitespace")["words"] == sound[0]["words"]
    template(folder, TEMPLATE + "{# </think> #}")
    assert opened(folder, thinking=False).thinking is None
    assert opened(folder).thinking.marks == (("<think>", "</think>"),)


def test_a_model_without_marks_is_read_whole(sound):
    loaded = opened(POCKET)
    assert loaded.thinking is None
    assert all(row["thinking_tokens"] == 0 and not row["cut_thinking"] for row in sound)
    assert loaded.answer_start(sound[0]["tokens"]) == 0


def test_a_recorded_batch_leaves_thinking_out(folder: Path):
    """Attribution sums over the answer's steps alone; thinking is counted apart."""
    from lengthlens.attribution.dla import attribute_batch, attribute_steps
    from lengthlens.decoding.choose import Forced
    from lengthlens.models.readout import readout_of

    template(folder, OPENS + "{# </think> #}")
    loaded = opened(folder)
    texts = ["One.\n</think> The sea is calm.", "No end of thinking", "</think>The sea."]
    answers = [loaded.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    part = [Request(f"s{i}#0", PROMPTS[i], loaded.encode(PROMPTS[i].text, DATE)) for i in range(3)]
    decoded = loaded.decode(
        [request.tokens for request in part],
        [len(answer) for answer in answers],
        choose=Forced(answers),
        capture=True,
    )
    batch = record_batch(part, decoded, loaded, "whitespace")
    readout = readout_of(loaded.model)
    made = attribute_batch(readout, batch)
    starts = [loaded.answer_start(answer) for answer in answers]
    assert starts[1] == len(answers[1]) and 0 < starts[2] < starts[0]
    assert made["n_thinking"].values.tolist() == starts
    assert made["n_steps"].values.tolist() == [
        len(answer) - start for answer, start in zip(answers, starts, strict=True)
    ]
    scores = attribute_steps(readout, batch.steps, batch.residuals).mlp[0].astype(float)
    for sample, start in enumerate(starts):
        first = int(batch.samples.first_step[sample]) + start
        last = int(batch.samples.first_step[sample] + batch.samples.n_steps[sample])
        signed = scores[first:last] * batch.steps.sign[first:last, None]
        found = made["cwa_mlp"].sel(target="token")[sample].values
        assert found == pytest.approx(signed.sum(axis=0), abs=1e-6)
        variance = made["null_variance_mlp"].sel(target="token")[sample].values
        expected = shift_variance(batch.steps.sign[first:last], scores[first:last])
        assert variance == pytest.approx(expected, rel=1e-6)
