"""Prompts as a model expects them: plain text, or a user's turn of its chat template."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from lengthlens.errors import LengthlensError
from lengthlens.models.loading import text_decoder
from lengthlens.weights.arrival import folded
from lengthlens.weights.chat_template import (
    Messages,
    clock,
    render_instruction,
    unknown_variables,
    with_stopped_clock,
)
from lengthlens.weights.checkpoints import ModelSpec


def format_prompt(
    spec: ModelSpec, tokenizer: PreTrainedTokenizerBase, text: str, date: str
) -> list[int]:
    """The token ids of one prompt, ready for generation.

    Base models see the text and a line break, with a beginning-of-sequence token where their
    tokenizer adds one. Instruct models see the text as a user's turn of their chat template,
    which opens the assistant's turn; a template that prints today's date prints `date` instead
    ("2024-07-26", printed as "26 Jul 2024"), so that prompts do not change from day to day.

    Raises:
        LengthlensError: the text is not in the prompt exactly once.
    """
    return text_tokens(spec, tokenizer, written_prompt(spec, tokenizer, text, date))


def written_prompt(
    spec: ModelSpec, tokenizer: PreTrainedTokenizerBase, text: str, date: str, end: str = "\n"
) -> str:
    """The prompt as text, without what the tokenizer itself adds; `end`: of a base model's.

    Raises:
        LengthlensError: it has no word, or `chat_prompt` refuses it.
    """
    if not text.strip():
        raise LengthlensError(f"Model {spec.name}: the prompt {text!r} is empty.")
    return text + end if spec.variant == "base" else chat_prompt(spec, tokenizer, text, date)[1]


@dataclass(frozen=True)
class SpelledPrompt:
    """A prompt as a model reads it.

    Attributes:
        text: with everything that the chat template puts around the instruction.
        tokens: its token ids.
        spans: the characters of the text that each token stands for, [start, end); a token that
            stands for none has start = end.
    """

    text: str
    tokens: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]


class NoSpans(LengthlensError):
    """Which characters a prompt's tokens stand for cannot be had."""


def spell_prompt(
    spec: ModelSpec, tokenizer: PreTrainedTokenizerBase, text: str, date: str
) -> SpelledPrompt:
    """The prompt of `format_prompt` with the characters of every token.

    Raises:
        NoSpans: the tokenizer does not tell them.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise NoSpans(f"the tokenizer of {spec.name} does not tell which characters a token is")
    whole = written_prompt(spec, tokenizer, text, date)
    tokens = text_tokens(spec, tokenizer, whole)
    base = spec.variant == "base"
    found = tokenizer(whole, add_special_tokens=base, return_offsets_mapping=True)
    spans = [(int(start), int(end)) for start, end in found["offset_mapping"]]
    return SpelledPrompt(whole, tuple(tokens), tuple(spans[: len(tokens)]))


def text_tokens(spec: ModelSpec, tokenizer: PreTrainedTokenizerBase, whole: str) -> list[int]:
    """The token ids of a whole text: a prompt, or a prompt and what follows it.

    Args:
        spec: of an instruct model, whose chat template wrote the special tokens, or of a base
            model, whose tokenizer adds its own at the beginning.
        tokenizer: the model's.
        whole: for an instruct model as `chat_prompt` gives it.
    """
    bare = tokenizer(whole, add_special_tokens=False)["input_ids"]
    ids = bare if spec.variant == "instruct" else tokenizer(whole)["input_ids"]
    # Some tokenizers also append an end-of-sequence token: after it there is nothing to continue.
    end = [tokenizer.eos_token_id]
    added = ids[-1:] == end and bare[-1:] != end
    return [int(token) for token in (ids[:-1] if added else ids)]


def chat_prompt(
    spec: ModelSpec, tokenizer: PreTrainedTokenizerBase, text: str, date: str
) -> tuple[str, str]:
    """The form in which an instruct model's template takes an instruction, and the prompt.

    Raises:
        LengthlensError: there is no template, it lacks a variable that the configuration sets, or
            in no form the instruction is in the prompt exactly once.
    """
    template = template_of(spec, tokenizer)
    if problem := unknown_variables(template, spec.template):
        raise LengthlensError(f"Model {spec.name}: {problem}.")
    rendered = functools.partial(render_chat, spec, tokenizer, date=date, opens=True)
    try:
        return render_instruction(rendered, text)
    except LengthlensError as error:
        raise LengthlensError(f"Model {spec.name}: {error}.") from error


def template_of(spec: ModelSpec, tokenizer: PreTrainedTokenizerBase) -> str:
    """The chat template of a tokenizer."""
    if not tokenizer.chat_template:
        raise LengthlensError(
            f"Model {spec.name} is an instruct model, but its tokenizer has no chat template; "
            "add chat_template.jinja to its folder, or set `variant: base`."
        )
    try:
        return tokenizer.get_chat_template()
    except ValueError as error:  # several with names, none of them the default
        raise LengthlensError(
            f"Model {spec.name}: its tokenizer names the chat templates "
            f"{', '.join(sorted(tokenizer.chat_template))}, but none is called default; save the "
            "one you mean as chat_template.jinja in its folder."
        ) from error


def render_chat(
    spec: ModelSpec, tokenizer: PreTrainedTokenizerBase, messages: Messages, date: str, opens: bool
) -> str:
    """A conversation as the model's chat template writes it, by transformers.

    `opens`: whether the assistant's turn is opened after it.
    """
    return tokenizer.apply_chat_template(
        messages,
        add_generation_prompt=opens,
        tokenize=False,
        chat_template=with_stopped_clock(template_of(spec, tokenizer)),
        **{**clock(date), **spec.template},
    )


def lost_in_tokens(tokenizer: PreTrainedTokenizerBase, ids: list[int], text: str) -> str | None:
    """What became of an instruction in its prompt's tokens; None where it is there exactly once.

    Compared without regard to case, the kind of blanks, and the form of Unicode, which some
    tokenizers change.
    """
    read = folded(text_decoder(tokenizer, special=True)(ids))
    count = read.count(folded(text))
    if count == 1:
        return None
    return f"{'missing' if not count else f'{count} times'} in the prompt that it reads: {read!r}"
