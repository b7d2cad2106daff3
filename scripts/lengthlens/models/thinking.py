"""Where thinking ends and the answer begins.

Models that reason write their thinking first, between marks or in a channel of its own. It is no
part of the answer: words, boundary steps, decision steps and signs begin after the closing mark.

| open | close | written by |
|---|---|---|
| `<think>` | `</think>` | DeepSeek R1, Qwen 3, SmolLM 3 and many more |
| `<thinking>` | `</thinking>` | |
| `<|channel|>` | `<|channel|>final<|message|>` | gpt-oss (the harmony format) |
| `[THINK]` | `[/THINK]` | Magistral |
| `<|START_THINKING|>` | `<|END_THINKING|>` | Command A |
| `<seed:think>` | `</seed:think>` | Seed-OSS |

Marks are looked for only where the chat template or the tokenizer's added tokens have the closing
one; the configuration can name others (`thinking`). A template may open the thinking itself, in the
prompt: then everything is thinking until it is closed. Some can be told to close it there, by a
variable (`SWITCHES`); whether a model may think, and how to prevent it, is told.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from lengthlens.models.loading import text_decoder
from lengthlens.models.prompting import chat_prompt, template_of
from lengthlens.weights.chat_template import variables_read
from lengthlens.weights.checkpoints import ModelSpec

FINAL = "<|channel|>final<|message|>"
MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<|channel|>", FINAL),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
)
SWITCHES = ("enable_thinking", "thinking")  # by which templates ask for no thinking when false
# An instruction with which templates are tried; the date changes none of their marks.
ASKED, DATE = "Write about the sea.", "2024-07-26"


@dataclass(frozen=True)
class Thinking:
    """The marks of a model's thinking.

    Attributes:
        marks: pairs of an opening and a closing mark.
        opened: whether its prompts end within thinking.
        read: ids to text, special tokens written out.
        note: what is to be told of a model that may think, and of how to prevent it; else empty.
    """

    marks: tuple[tuple[str, str], ...]
    opened: bool
    read: Callable[[Sequence[int]], str]
    note: str = ""

    def answer_start(self, tokens: Sequence[int]) -> int:
        """How many of an answer's tokens come before the answer: its thinking and the marks.

        0 for an answer without thinking; all tokens where the thinking was not closed.
        """
        text = self.read(tokens)
        closing = [close for _, close in self.marks if close in text]
        if closing:
            # The first token after which a closing mark stands: `in` only turns from False to True.
            return 1 + bisect.bisect_left(
                range(len(tokens)),
                True,
                key=lambda n: any(close in self.read(tokens[: n + 1]) for close in closing),
            )
        begun = text.lstrip().startswith(tuple(open_ for open_, _ in self.marks))
        return len(tokens) if self.opened or begun else 0


def thinking_of(spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> Thinking | None:
    """How a model marks its thinking; None for one that has no marks of it."""
    if spec.thinking is False or spec.variant != "instruct":
        return None
    if spec.thinking == "auto":
        known = {token.content for token in tokenizer.added_tokens_decoder.values()}
        template = template_of(spec, tokenizer)
        marks = tuple(
            (open_, close)
            for open_, close in MARKS
            if close in template or close in known or (open_ in known and close.startswith(open_))
        )
    else:
        marks = ((spec.thinking.open, spec.thinking.close),)
    if not marks:
        return None

    after = _after_asked(spec, tokenizer)
    opened = any(after.rfind(open_) > after.rfind(close) for open_, close in marks)
    return Thinking(
        marks, opened, text_decoder(tokenizer, special=True), _note(spec, tokenizer, marks)
    )


def _after_asked(spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> str:
    """What stands behind the instruction in a prompt."""
    return chat_prompt(spec, tokenizer, ASKED, DATE)[1].rpartition(ASKED)[2]


def _note(
    spec: ModelSpec, tokenizer: PreTrainedTokenizerBase, marks: Sequence[tuple[str, str]]
) -> str:
    """What is to be told of a model whose prompts do not end after a closing mark."""

    def closes(variables: Mapping[str, object]) -> bool:
        asked = spec.model_copy(update={"template": {**spec.template, **variables}})
        after = _after_asked(asked, tokenizer).rstrip()
        return any(after.endswith(close) for _, close in marks)

    known = [name for name in SWITCHES if name in variables_read(template_of(spec, tokenizer))]
    if closes({}) or any(spec.template.get(name) for name in known):
        return ""
    if switch := next((name for name in known if closes({name: False})), None):
        return f"it may think before it answers; `template: {{{switch}: false}}` prevents that"
    return "it may think before it answers, and its chat template has no switch against that"
