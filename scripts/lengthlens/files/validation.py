"""Hold plain data (from YAML or JSON) against a model, and say in plain words what is wrong.

1. `plain_copy` makes a copy of limited size with text keys only, so that nothing that YAML can
   express (cycles, keys such as `true`, infinite numbers) can trip the steps after it.
2. `model_problems` lists everything that a pydantic model objects to, each with the path of the
   key, the value, what is legal and, for a likely typo, what was probably meant. What is legal
   comes from the model's JSON schema: its own keyword `legal`, or bounds and choices.
"""

import datetime
import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from lengthlens.files.yaml_files import KeyPath

MAX_DEPTH = 12
MAX_ITEMS = 10_000  # below each top-level key
MAX_DIGITS = 60
MAX_SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """What is wrong with the value at `path`."""

    path: KeyPath
    message: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.message}" if self.path else self.message


@dataclass(frozen=True)
class Unusable:
    """Stands in a plain copy for a value of a type that no schema accepts."""

    text: str


def dotted(path: Iterable[str | int]) -> str:
    """("ablation", "k", 2) -> "ablation.k[2]"; odd names are quoted and shortened."""
    text = ""
    for part in path:
        if isinstance(part, str) and not (part.isprintable() and 0 < len(part) <= MAX_SHOWN):
            part = show(part)
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def show(value: Any) -> str:
    """The value as YAML would write it on one line, shortened."""
    text = " ".join(_written(value).split())
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _written(value: Any) -> str:
    """The value on one line; long texts in it are cut."""
    if isinstance(value, Unusable):
        return value.text
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_written, value)) + "]"
    return repr(value[: MAX_SHOWN + 2] if isinstance(value, str) else value)


def plain_copy(value: Any) -> tuple[Any, list[Problem]]:
    """Copy nested dicts and lists; dates become text; what no schema accepts becomes `Unusable`.

    Returns the copy and a problem for each key that is not text (left out of the copy).
    """
    problems: list[Problem] = []
    n_items = 0

    def copy(item: Any, path: KeyPath) -> Any:
        nonlocal n_items
        n_items = n_items + 1 if len(path) > 1 else 0
        if isinstance(item, str) and not is_text(item):
            return Unusable(f"text that cannot be written ({ascii(item[:MAX_SHOWN])})")
        if item is None or isinstance(item, str | bool):
            return item
        if isinstance(item, int):  # NOTE Python refuses to print very long ones
            short = abs(item) < 10**MAX_DIGITS
            return item if short else Unusable(f"a number of more than {MAX_DIGITS} digits")
        if isinstance(item, float):
            return item if math.isfinite(item) else Unusable(f".{item}".replace(".-", "-."))
        if isinstance(item, datetime.date) and not isinstance(item, datetime.datetime):
            return item.isoformat()
        if not isinstance(item, dict | list | tuple):
            return Unusable(f"a value of type {type(item).__name__}")
        if len(path) > MAX_DEPTH or n_items > MAX_ITEMS:
            return Unusable("something too deep or too large")
        if not isinstance(item, dict):
            return [copy(entry, (*path, index)) for index, entry in enumerate(item)]
        result = {}
        for key, entry in item.items():
            if isinstance(key, str) and is_text(key):
                result[key] = copy(entry, (*path, key))
            elif isinstance(key, str):
                problems.append(Problem((*path, key), "the key is text that cannot be written"))
            else:
                shown = key.isoformat() if isinstance(key, datetime.date) else show(key)
                problems.append(Problem((*path, shown), "the key is not text; put it in quotes"))
        return result

    return copy(value, ()), problems


def is_text(text: str) -> bool:
    """Whether it can be written to a file or name one: no zero byte, no half of a character."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


@cache
def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a model, made once; not to be changed."""
    return model.model_json_schema()


def model_problems(value: Any, model: type[BaseModel]) -> list[Problem]:
    """Everything that `model` objects to in `value`, a plain copy, in the order of the paths."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    else:
        return []
    schema = schema_of(model)
    placed = [_placed(value, each, schema) for each in found]
    problems: dict[Problem, None] = {}  # a dict keeps the order and drops repetitions
    for kind, path in placed:
        # NOTE a list whose items are wrong is also reported as too short
        if not any(other[: len(path)] == path != other for _, other in placed):
            problems[_told(kind, path, value, schema)] = None
    return sorted(problems, key=lambda problem: [str(part) for part in problem.path])


def _placed(value: Any, error: Mapping[str, Any], schema: dict[str, Any]) -> tuple[str, KeyPath]:
    """The kind of an error, and where in `value` it lies.

    Of a value that may have several forms, it is the whole value that is wrong, unless a key of it
    says which form is meant.
    """
    path: list[str | int] = []
    here = _resolve(schema, schema, value)
    for part in error["loc"]:
        if "anyOf" in here:  # NOTE pydantic goes on with the name of the form that it tried
            return "no_form", tuple(path)
        if part == here.get("form") and part not in value:
            continue
        known = isinstance(value, dict) and part in value
        known |= isinstance(value, list) and isinstance(part, int) and part < len(value)
        if not known:
            if error["type"] == "missing" and isinstance(value, dict):
                path.append(part)
            break
        path.append(part)
        value = value[part]
        here = _step(here, part, schema, value)
    if error["type"].startswith("union_tag"):
        path.append(here["discriminator"]["propertyName"])
    return error["type"], tuple(path)


def _told(kind: str, path: KeyPath, value: Any, schema: dict[str, Any]) -> Problem:
    """An error of pydantic in our words."""
    *_, (above, holder), (here, value) = ({}, None), *_along(schema, path, value)
    if kind == "missing" or (kind == "union_tag_not_found" and path[-1] not in holder):
        return Problem(path, f"missing; legal: {legal_values(here)}")
    if kind == "extra_forbidden":
        guess = _suggest_key(path[-1], above, schema)
        return Problem(path, f"unknown key (value {show(value)}){guess}")
    if "propertyNames" in above and not _fits(path[-1], above):
        names = above["propertyNames"]
        return Problem(path, f"the name is not legal; legal: {legal_values(names)}")
    guess = suggest(value, here.get("enum", [])) or _misread(value, here)
    return Problem(path, f"{show(value)} is not legal; legal: {legal_values(here)}{guess}")


def _fits(name: str, here: dict[str, Any]) -> bool:
    """Whether a name of one's choice has the form that it needs."""
    return not isinstance(name, str) or (
        len(name) <= here["propertyNames"].get("maxLength", len(name))
        and all(re.search(pattern, name) for pattern in here.get("patternProperties", {}))
        and not name.endswith("\n")
    )


def legal_values(here: dict[str, Any]) -> str:
    """What a part of a schema allows, in words: as it says itself, or from bounds and choices."""
    if "legal" in here:
        return here["legal"]
    if "enum" in here:
        *others, last = (str(choice) for choice in here["enum"])
        return f"{', '.join(others)} or {last}" if others else last
    if "const" in here:
        return str(here["const"])
    kind = here.get("type")
    if kind == "array":
        item = here["items"]
        choices = ", ".join(map(str, item["enum"])) if "enum" in item else legal_values(item)
        return f"a list of {choices}, without duplicates"
    if kind == "object":
        keys = ", ".join(here["properties"]) if len(here.get("properties", ())) < 8 else ""
        return f"a mapping with the keys {keys or 'of config.yaml'}"
    if kind == "integer":
        return f"a whole number from {here['minimum']} to {here['maximum']}"
    if kind == "number":
        return f"a number > {here['exclusiveMinimum']:g} and < {here['exclusiveMaximum']:g}"
    return {"boolean": "true or false", "string": "a text that is not empty"}[kind]


def _misread(value: Any, here: dict[str, Any]) -> str:
    """What to write where YAML reads a number as text or a word as something else; else empty."""
    wanted = types_of(here)
    if isinstance(value, str) and wanted & {"integer", "number"}:
        try:
            number = float(value)
        except ValueError:
            digits = value.lstrip("+-")[:1].isdigit()
            return "; it is read as text: write the number in decimal digits" if digits else ""
        whole = math.isfinite(number) and number == int(number) and abs(number) < 1e15
        return f"; it is read as text: write {int(number) if whole else 'a number without quotes'}"
    is_word = isinstance(value, bool | int | float) or value is None
    if is_word and wanted == {"string"}:
        return '; if a text is meant, put it in quotes (YAML reads "no" as false, "1" as a number)'
    return ""


def types_of(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a part of a schema accepts, as far as it names them or lists values."""
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number"}
    found: set[str] = set()
    for choice in (schema, *schema.get("anyOf", [])):
        named = choice.get("type", [])
        found |= {named} if isinstance(named, str) else set(named)
        listed = [*choice.get("enum", []), *([choice["const"]] if "const" in choice else [])]
        found |= {kinds[type(value)] for value in listed if type(value) in kinds}
    return found


def in_schema_order(value: Any, schema: dict[str, Any], path: KeyPath = ()) -> Any:
    """`value`, valid under `schema`, with the keys that the schema names in the schema's order."""
    if not isinstance(value, dict):
        return value
    named = [key for key in subschema(schema, path).get("properties", {}) if key in value]
    free = [key for key in value if key not in named]
    return {key: in_schema_order(value[key], schema, (*path, key)) for key in named + free}


def subschema(schema: dict[str, Any], path: KeyPath, value: Any = None) -> dict[str, Any]:
    """The part of `schema` that speaks of what is at `path` of `value` ({} if none).

    Where a key says which of several forms a mapping has, only `value` tells the form.
    """
    *_, (here, _) = _along(schema, path, value)
    return here


def _along(schema: dict[str, Any], path: KeyPath, value: Any) -> Iterator[tuple[dict, Any]]:
    """The parts of a schema down a path, and what stands there in the value (None: nothing)."""
    here = _resolve(schema, schema, value)
    yield here, value
    for part in path:
        known = isinstance(value, list) or (isinstance(value, dict) and part in value)
        value = value[part] if known else None
        here = _step(here, part, schema, value)
        yield here, value


def _step(here: dict[str, Any], part: str | int, schema: dict, value: Any) -> dict[str, Any]:
    """The part of the schema one key or index further down, where `value` stands."""
    if isinstance(part, int):
        below = here.get("items", {})
    elif part == here.get("discriminator", {}).get("propertyName"):
        forms = (_resolve(form, schema) for form in here["oneOf"])
        below = {"enum": [form["properties"][part]["const"] for form in forms]}
    else:
        below = here.get("properties", {}).get(part) or _of_ones_choice(here)
    return _resolve(below, schema, value) if isinstance(below, dict) else {}


def _of_ones_choice(here: dict[str, Any]) -> dict[str, Any]:
    """What belongs to a name of one's choice ({} where there is none)."""
    below = here.get(
        "additionalProperties", next(iter(here.get("patternProperties", {}).values()), {})
    )
    return below if isinstance(below, dict) else {}


def _resolve(part: dict[str, Any], schema: dict[str, Any], value: Any = None) -> dict[str, Any]:
    """Put the definition that `$ref` names under the keywords that stand beside it.

    Of several forms the one that `value` names takes their place, with its name as `form`.
    """
    if "discriminator" in part and isinstance(value, dict):
        name = value.get(part["discriminator"]["propertyName"])
        forms = part["discriminator"]["mapping"]
        if isinstance(name, str) and name in forms:
            kept = {key: part[key] for key in ("legal", "description") if key in part}
            part = {"$ref": forms[name], "form": name, **kept}
    if "$ref" in part:
        part = {**schema["$defs"][part["$ref"].removeprefix("#/$defs/")], **part}
    return part


def documented_keys(schema: dict[str, Any]) -> dict[KeyPath, dict[str, Any]]:
    """Path -> subschema of every key with a description; "*" stands for a name of one's choice."""
    found: dict[KeyPath, dict[str, Any]] = {}

    def walk(part: dict[str, Any], path: KeyPath) -> None:
        here = _resolve(part, schema)
        if path and "description" in here:
            found[path] = here
        for key, below in here.get("properties", {}).items():
            walk(below, (*path, key))
        if chosen := _of_ones_choice(here):
            walk(chosen, (*path, "*"))

    walk(schema, ())
    return found


def _suggest_key(key: str, here: dict[str, Any], schema: dict[str, Any]) -> str:
    """A sibling spelt alike, or else the place where a key of this name belongs."""
    if guess := suggest(key, here["properties"]):
        return guess
    elsewhere = [dotted(path) for path in documented_keys(schema) if path[-1] == key]
    return f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else ""


def suggest(given: Any, known: Iterable[Any]) -> str:
    """`; did you mean …?` for text that nearly matches, else an empty string."""
    if not isinstance(given, str) or len(given) > 100:
        return ""
    texts = [item for item in known if isinstance(item, str)]
    by_lower = {item.lower(): item for item in texts}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""
