"""The table of how models were used, and what the report says of it."""

from __future__ import annotations

import pandas as pd
from as_read import as_read

from lengthlens.analysis.models import summarise_models
from lengthlens.reporting.models import model_sentences

PLAIN = {
    "prompt_form": "plain text",
    "template": {},
    "stop_tokens": ["<|end|>"],
    "added_stop_token": None,
    "thinking": None,
    "passed_over": {},
    "notes": [],
}
THINKS = PLAIN | {
    "prompt_form": "text",
    "template": {"effort": "low"},
    "stop_tokens": ["<|end|>", "<|turn|>"],
    "added_stop_token": "<|turn|>",
    "thinking": {"marks": [["<think>", "</think>"]], "opened": True},
    "passed_over": {"temperature": 0.6, "top_k": 20},
    "notes": ["its chat template closes turns with '<|turn|>'"],
}


def table() -> pd.DataFrame:
    rows = [("b", 0, False), ("b", 0, False), ("t", 30, False), ("t", 10, False), ("t", 50, True)]
    rows.append(("t", 0, False))
    columns = ["model", "thinking_tokens", "cut_thinking"]
    answers = pd.DataFrame(rows, columns=columns).assign(language="en")
    return as_read(summarise_models({"b": PLAIN, "t": THINKS}, answers))


def test_thinking_is_counted_over_all_answers():
    plain, thinks = table().to_dict("records")
    assert (plain["n_samples"], plain["thinking_tokens"], plain["thought"]) == (2, 0, 0)
    assert thinks["n_samples"] == 4 and thinks["thinking_tokens"] == 22.5
    assert thinks["thought"] == 0.75 and thinks["cut_thinking"] == 0.25
    assert thinks["stop_tokens"] == "<|end|> <|turn|>" and thinks["added_stop_token"] == "<|turn|>"
    assert thinks["thinking"] == "<think> … </think>"


def test_the_report_tells_what_is_not_a_matter_of_course():
    said = model_sentences(table())
    assert len(said) == 4 and not any(sentence.startswith("b") for sentence in said)
    told = " ".join(said)
    assert "t: its chat template closes turns with '<|turn|>'." in told
    assert "not used here" in told and "temperature = 0.6, top_k = 20" in told
    assert "t's chat template was called with effort = low." in told
    assert "thought before 75.0 % of its 4 answers, on average 22 tokens" in told
    assert "25.0 % were cut while thinking" in told


def test_plain_models_have_nothing_to_tell():
    assert model_sentences(table().query("model == 'b'")) == []
