"""Where thinking ends: marks as tokens or as text, opened in the prompt or not, and channels."""

from __future__ import annotations

import pytest
from tiny_tokenizers import byte_level_tokenizer, with_added
from transformers import PreTrainedTokenizerFast

from lengthlens.models.loading import text_decoder
from lengthlens.models.stopping import turn_end_of
from lengthlens.models.thinking import Thinking, thinking_of
from lengthlens.weights.checkpoints import ModelSpec

SPEC = ModelSpec("m", "instruct", path="x")
# In the manner of the harmony format: every message names its channel.
CHANNELS = (
    "{% for message in messages %}<|start|>{{ message.role }}"
    "{% if message.role == 'assistant' %}<|channel|>final{% endif %}"
    "<|message|>{{ message.content }}"
    "{% if message.role == 'assistant' and loop.last %}<|return|>{% else %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
REASONING = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|turn|>"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% elif force_open %}<think>\n{% endif %}{% endif %}"
)


def channels() -> PreTrainedTokenizerFast:
    tokenizer = byte_level_tokenizer()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|channel|>", "<|message|>", "<|return|>"]}
    )
    tokenizer.chat_template = CHANNELS
    return tokenizer


def reasoning() -> PreTrainedTokenizerFast:
    tokenizer = with_added(byte_level_tokenizer(), "<think>", "</think>")
    tokenizer.chat_template = REASONING
    return tokenizer


def answer_of(thinking: Thinking, tokenizer: PreTrainedTokenizerFast, text: str) -> str:
    tokens = tokenizer.encode(text, add_special_tokens=False)
    return text_decoder(tokenizer)(tokens[thinking.answer_start(tokens) :])


def test_the_final_channel_is_the_answer():
    """Special tokens dropped, all channels read "analysisCount: the sea.finalThe sea sings."."""
    tokenizer = channels()
    thinking = thinking_of(SPEC, tokenizer)
    assert not thinking.opened
    text = (
        "<|channel|>analysis<|message|>Count: the sea.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>The sea sings.<|return|>"
    )
    assert answer_of(thinking, tokenizer, text) == "The sea sings."
    assert answer_of(thinking, tokenizer, "<|channel|>final<|message|>The sea.") == "The sea."
    assert answer_of(thinking, tokenizer, "<|channel|>analysis<|message|>The sea") == ""
    assert answer_of(thinking, tokenizer, "The sea.") == "The sea."


def test_only_the_last_message_ends_the_answer():
    """<|end|> closes the thinking's message: with it in the stop set there would be no answer."""
    tokenizer = channels()
    token, note = turn_end_of(SPEC, tokenizer)
    assert tokenizer.convert_ids_to_tokens(token) == "<|return|>" and note == ""


@pytest.mark.parametrize(
    ("variables", "opened", "text", "answer"),
    [
        ({}, False, "<think>\nOne, two.\n</think>\n\nThe sea.", "\n\nThe sea."),
        ({}, False, "The sea.", "The sea."),
        ({}, False, "<think>One, two", ""),
        ({}, False, "One, two.</think>The sea.", "The sea."),
        ({"force_open": True}, True, "One, two.</think>The sea.", "The sea."),
        ({"force_open": True}, True, "The sea.", ""),
        ({"enable_thinking": False}, False, "The sea.", "The sea."),
    ],
)
def test_thinking_ends_with_its_mark(variables, opened: bool, text: str, answer: str):
    tokenizer = reasoning()
    spec = ModelSpec("m", "instruct", path="x", template=variables)
    thinking = thinking_of(spec, tokenizer)
    assert thinking.marks == (("<think>", "</think>"),) and thinking.opened == opened
    assert answer_of(thinking, tokenizer, text) == answer


def test_marks_that_are_no_tokens_are_found_in_the_text():
    """Their pieces may merge with what stands beside them: the answer begins after that token."""
    tokenizer = byte_level_tokenizer()
    spec = ModelSpec("m", "instruct", path="x", thinking={"open": "[[", "close": "]]"})
    thinking = thinking_of(spec, tokenizer)
    assert answer_of(thinking, tokenizer, "[[one two]]The sea.") == "The sea."
    assert thinking.answer_start([]) == 0


def test_models_without_marks_and_base_models_do_not_think():
    assert thinking_of(SPEC, byte_level_tokenizer()) is None
    assert thinking_of(ModelSpec("m", "base", path="x"), reasoning()) is None
    assert thinking_of(ModelSpec("m", "instruct", path="x", thinking=False), reasoning()) is None
