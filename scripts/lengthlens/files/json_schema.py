"""Hold plain data against a JSON schema, in the words of `validation`."""

from collections.abc import Iterator
from typing import Any

import jsonschema

from lengthlens.files.validation import (
    Problem,
    _misread,
    _resolve,
    _suggest_key,
    show,
    subschema,
    suggest,
)


def schema_problems(value: Any, schema: dict[str, Any]) -> list[Problem]:
    """Everything `schema` (draft 2020-12) objects to in `value`, in the order of the paths.

    `value` is a plain copy. Whole numbers must be written as such: 3.0 is not 3.
    """
    checker = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, item: isinstance(item, int) and not isinstance(item, bool)
    )
    validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, type_checker=checker)(
        schema
    )
    found: dict[Problem, None] = {}  # a dict keeps the order and drops repetitions
    for error in validator.iter_errors(value):
        for problem in _worded(error, schema):
            found[problem] = None
    return sorted(found, key=lambda problem: [str(part) for part in problem.path])


def _worded(error: jsonschema.ValidationError, schema: dict[str, Any]) -> Iterator[Problem]:
    """Word one error of the validator; unknown and missing keys give one problem each."""
    path = tuple(error.absolute_path)
    here = subschema(schema, path)
    if error.validator == "additionalProperties":
        for key in error.instance:
            if key not in here["properties"]:
                message = f"unknown key (value {show(error.instance[key])})"
                yield Problem((*path, key), message + _suggest_key(key, here, schema))
    elif error.validator == "required":
        for key in here["required"]:
            if key not in error.instance:
                legal = subschema(schema, (*path, key)).get("legal", "")
                yield Problem((*path, key), f"missing; legal: {legal}")
    elif "propertyNames" in error.absolute_schema_path:
        names = _resolve(here["propertyNames"], schema)
        yield Problem((*path, error.instance), f"the name is not legal; legal: {names['legal']}")
    else:
        legal = here.get("legal", "")
        guess = suggest(error.instance, here.get("enum", []))
        guess = guess or _misread(error.instance, here)
        yield Problem(path, f"{show(error.instance)} is not legal; legal: {legal}{guess}")
