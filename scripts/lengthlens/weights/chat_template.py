"""A model's chat template as files: which one is used, and what it makes of an instruction.

Templates are rendered here as transformers renders them (the same sandbox and settings of Jinja),
but without importing it: whether every instruction of a study arrives in the prompt is known
before any job starts. `models.prompting` renders with transformers itself and checks each prompt
again.

An instruction is given in the first of `FORMS` whose rendering holds it exactly once: most
templates take a message's content as text, some as a list of parts, and some want a system turn.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.sandbox

from lengthlens.errors import LengthlensError
from lengthlens.weights.json_files import read_mapping

Messages = list[dict[str, Any]]
Render = Callable[[Messages], str]

FORMS = ("text", "parts", "text after an empty system turn", "parts after an empty system turn")
_DATE_FORMAT = "%d %b %Y"  # as the published chat templates write it
_NAMED = "additional_chat_templates"
# Given to every template by transformers or by us.
_GIVEN = {
    *("messages", "tools", "documents", "add_generation_prompt"),
    *("date_string", "stopped_clock", "strftime_now"),
}
_CODES = "aAbBdHIjmMpSyY"
# Some chat templates ask transformers for today's date through `strftime_now`. Functions cannot be
# passed to a template, but a macro before it takes precedence. (The line break at its end is
# swallowed by the block before it, so that the template still starts at the start of a line.)
_STOPPED_STRFTIME = """\
{%- macro strftime_now(format) -%}
{%- set ns = namespace(text=format) -%}
{%- for code, value in stopped_clock.items() -%}
{%- set ns.text = ns.text.replace(code, value) -%}
{%- endfor -%}
{{- ns.text -}}
{%- endmacro %}
"""


def read_template(folder: Path) -> str | None:
    """The chat template that is used, as text; None where the folder has none.

    In this order: chat_template.jinja; the tokenizer's settings; chat_template.json, where
    processors of images keep it.

    Raises:
        LengthlensError: it is empty, not text, or one of several of which none is the default.
    """
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return _checked(file.read_text(encoding="utf-8"), file)
        except (OSError, UnicodeDecodeError) as error:
            raise LengthlensError(f"{file} cannot be read ({error}); copy it again") from error
    if names := sorted(path.stem for path in (folder / _NAMED).glob("*.jinja")):
        raise _no_default(folder / _NAMED, names)
    for name in ("tokenizer_config.json", "chat_template.json"):
        found = read_mapping(folder / name).get("chat_template")
        if found is not None:
            return _checked(found, folder / name)
    return None


def _no_default(where: Path, names: Sequence[str]) -> LengthlensError:
    return LengthlensError(
        f"{where} names the chat templates {', '.join(names)}, but none is called default, so "
        "nothing says which one prompts the model; save the one you mean as chat_template.jinja "
        "in the model's folder"
    )


def _checked(template: Any, path: Path) -> str:
    """The text of a template; of several that have names, that of the default one."""
    if isinstance(template, list):
        entries = [entry for entry in template if isinstance(entry, dict)]
        template = {str(entry.get("name")): entry.get("template") for entry in entries}
    if isinstance(template, dict):
        if "default" not in template:
            raise _no_default(path, sorted(template))
        template = template["default"]
    if not isinstance(template, str) or not template.strip():
        raise LengthlensError(
            f"the chat template in {path} is {'empty' if template in ('', None) else 'no text'}: "
            "every prompt would be, too; put the model's template there, or use variant: base"
        )
    return template


def messages(form: str, text: str, answer: str | None = None) -> Messages:
    """A conversation: an instruction in one of `FORMS`, and perhaps an answer to it."""

    def content(part: str) -> Any:
        return [{"type": "text", "text": part}] if form.startswith("parts") else part

    turns = [{"role": "user", "content": content(text)}]
    if form.endswith("system turn"):
        turns.insert(0, {"role": "system", "content": content("")})
    if answer is not None:
        turns.append({"role": "assistant", "content": content(answer)})
    return turns


def render_instruction(render: Render, text: str) -> tuple[str, str]:
    """The form in which a template takes an instruction, and the prompt that it makes of it.

    Args:
        render: turns a conversation into a prompt that opens the assistant's turn.
        text: the instruction.

    Raises:
        LengthlensError: in no form is the instruction in the prompt exactly once; tells what came
            of each.
    """
    found = []
    for form in FORMS:
        try:
            prompt = render(messages(form, text))
        except Exception as error:  # whatever a template raises
            reason = f"{type(error).__name__}: {first_line(error)}"
            found.append(f"content as {form}: it refuses ({reason})")
            continue
        count = prompt.count(text.strip())
        if count == 1:
            return form, prompt
        how_often = "is not in the prompt" if not count else f"is in the prompt {count} times"
        found.append(f"content as {form}: the instruction {how_often}")
    raise LengthlensError(
        f"the chat template makes no prompt of {text!r} that holds it exactly once. Tried: "
        f"{'; '.join(found)}. Put a template that does into chat_template.jinja in the model's "
        "folder, or use variant: base"
    )


def variables_read(template: str) -> set[str]:
    """The variables of a template that a configuration can set.

    Raises:
        jinja2.TemplateSyntaxError: it is not valid.
    """
    return jinja2.meta.find_undeclared_variables(_environment().parse(template)) - _GIVEN


def unknown_variables(template: str, variables: Iterable[str]) -> str | None:
    """What is wrong with variables that a template does not read; None if it reads all of them."""
    try:
        read = variables_read(template)
    except jinja2.TemplateSyntaxError as error:
        return f"its chat template is not valid ({error}); correct it or copy it again"
    wrong = sorted(set(variables) - read)
    if not wrong:
        return None
    known = sorted(name for name in read - set(_environment().globals) if "token" not in name)
    return (
        f"its chat template has no variable {', '.join(wrong)}, so that setting it does nothing; "
        f"it reads {', '.join(known) or 'none'}"
    )


def with_stopped_clock(template: str) -> str:
    """The template, with `strftime_now` telling the time of the variable `stopped_clock`."""
    return _STOPPED_STRFTIME + template if "strftime_now" in template else template


def clock(date: str) -> dict[str, Any]:
    """The variables that tell a template its date.

    Raises:
        LengthlensError: `date` is not written like 2024-07-26.
    """
    try:
        moment = datetime.fromisoformat(date)
    except (TypeError, ValueError) as error:
        raise LengthlensError(
            f"The date for chat templates is {date!r}; write it like '2024-07-26'."
        ) from error
    return {
        "date_string": moment.strftime(_DATE_FORMAT),
        "stopped_clock": {f"%{code}": moment.strftime(f"%{code}") for code in _CODES},
    }


def renderer(folder: Path, template: str, variables: Mapping[str, Any], date: str) -> Render:
    """What turns conversations into prompts, from files alone.

    Args:
        folder: of the model, for its special tokens.
        template: of the model.
        variables: further ones, as the configuration gives them.
        date: for templates that print one.

    Raises:
        LengthlensError: the template is no valid Jinja, or the date no date.
    """
    try:
        compiled = _environment().from_string(with_stopped_clock(template))
    except jinja2.TemplateSyntaxError as error:
        raise LengthlensError(
            f"its chat template is not valid ({error}); correct it or copy it again"
        ) from error
    given = _special_tokens(folder) | clock(date) | {"tools": None, "documents": None}
    given |= variables

    def render(conversation: Messages) -> str:
        return compiled.render(**given, messages=conversation, add_generation_prompt=True)

    return render


def _special_tokens(folder: Path) -> dict[str, str]:
    """Beginning, end and so on as text, as templates name them."""
    found = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        for key, value in read_mapping(folder / name).items():
            text = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(text, str):
                found[key] = text
    return found


class _Generation(jinja2.ext.Extension):
    """The block {% generation %}, by which templates mark what the assistant writes."""

    tags = frozenset({"generation"})

    def parse(self, parser: jinja2.parser.Parser) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@functools.cache
def _environment() -> jinja2.Environment:
    """Jinja as transformers sets it up for chat templates."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    return environment


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).strip().splitlines()), "no reason given")
