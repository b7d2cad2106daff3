"""Whether the study's instructions arrive in an instruct model's prompts; before any job starts.

Every template of every language is rendered with every numeral, read by the tokenizer of
tokenizer.json, and written out again: the instruction must be there exactly once. The jobs look at
each of their prompts once more, with the tokenizer that transformers loads.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lengthlens.errors import LengthlensError
from lengthlens.weights.chat_template import (
    read_template,
    render_instruction,
    renderer,
    unknown_variables,
)
from lengthlens.weights.checkpoints import ModelSpec, spec_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def arrival_problem(spec: ModelSpec, texts: Iterable[str], date: str) -> str | None:
    """What is wrong with the prompts that a model would get; None if nothing is.

    Args:
        spec: which model; one that is not on this machine yet has no problem.
        texts: instructions.
        date: for chat templates that print one.
    """
    if spec.variant != "instruct":
        return None
    try:
        folder = spec_folder(spec)
    except LengthlensError:  # a hub model that is going to be fetched
        return None
    try:
        template = read_template(folder)
        if template is None:
            return None
        if problem := unknown_variables(template, spec.template):
            return f"Model {spec.name}: {problem}"
        render = renderer(folder, template, spec.template, date)
        prompts = [(text, render_instruction(render, text)[1]) for text in texts]
        return _lost(spec, folder / "tokenizer.json", prompts)
    except LengthlensError as error:
        return f"Model {spec.name}: {error}"


def _lost(spec: ModelSpec, path: Path, prompts: list[tuple[str, str]]) -> str | None:
    """An instruction that the tokenizer's file cannot write; None if it can write all."""
    if not path.is_file():
        return None
    tokenizer = whole_tokenizer(path)
    for text, prompt in prompts:
        ids = tokenizer.encode(prompt, add_special_tokens=False).ids
        read = tokenizer.decode(ids, skip_special_tokens=False)
        if (count := folded(read).count(folded(text))) != 1:
            return (
                f"Model {spec.name}: its tokenizer writes the prompt of {text!r} as {read!r}: it "
                f"holds the instruction {count} times instead of once; choose a model whose "
                "tokenizer can write it, or leave out that language or template"
            )
    return None


def whole_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json, as it reads a text of any length.

    Raises:
        LengthlensError: it cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain ones
        raise LengthlensError(f"{path} cannot be read ({error}); copy or fetch it again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def folded(text: str) -> str:
    """The text without case, blanks, and differences in the form of Unicode."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
