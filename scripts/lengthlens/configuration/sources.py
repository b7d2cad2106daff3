"""Where a configuration comes from: the files and arguments that a person wrote.

Snakemake merges everything it is given into one dictionary, which no longer tells where a value
came from, and in which `models` of two files are joined. So what was given is put together here:

1. files in their order, sections merged key by key, while `models`, where a file has any, replaces
   those of the files before it as a whole;
2. arguments of `--config` above them, each value read as its key takes it: `--config
   n_words=[3,5]` gives numbers, `--config run=2026` a text.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml

from lengthlens.errors import LengthlensError
from lengthlens.files.validation import KeyPath, Problem, subschema, types_of
from lengthlens.files.yaml_files import YamlFile, read_yaml

WHOLE = "models"  # replaced, not merged
ARGUMENT = "given by --config"


@dataclass(frozen=True)
class Sources:
    """What was given beside the defaults.

    Attributes:
        files: name of a configuration file -> its content, the first one first.
        arguments: `key=value` as given after `--config`.
    """

    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    arguments: Sequence[str] = ()

    def given(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """All of it as one configuration, without the defaults.

        Args:
            schema: of the configuration; it says which arguments are numbers and which are texts.
        """
        values: dict[str, Any] = {}
        arguments = {
            key: read_argument(text, schema, (key,)) for key, text in _pairs(self.arguments)
        }
        for source in (*self.files.values(), arguments):
            if WHOLE in source:
                values.pop(WHOLE, None)
            merge(values, copy.deepcopy(dict(source)))
        return values

    def problems(self) -> Iterator[Problem]:
        """What is wrong with how the files are written, though they can be read."""
        for name, file in self._written.items():
            if file is None:
                continue
            for key in file.repeated:
                yield Problem(
                    key.path,
                    f"given twice in {name}, in lines {key.lines[0]} and {key.lines[1]}, of which "
                    "the last would count without a word; remove one",
                )
            for value in file.misread:
                yield Problem(
                    value.path,
                    f"{value.written} is read as {value.read} by the rules of YAML; write "
                    f'{_cure(value.written, value.read)}, or "{value.written}" in quotes if a text '
                    f"is meant ({name}, line {value.line})",
                )

    def place(self, path: KeyPath) -> str:
        """Where the value at a path, or what is nearest above it, was given; "" for a default."""
        keys = {key for key, _ in _pairs(self.arguments)}
        for length in range(len(path), 0, -1):
            here = path[:length]
            if here[0] in keys:
                return ARGUMENT
            for name, file in reversed(self._written.items()):
                if file is not None and here in file.lines:
                    return f"{name}, line {file.lines[here]}"
        return ""

    @cached_property
    def _written(self) -> dict[str, YamlFile | None]:
        """How each file is written; None of one that only its reader could read: JSON, say."""
        found: dict[str, YamlFile | None] = {}
        for name in self.files:
            try:
                found[name] = read_yaml(name)
            except LengthlensError:
                found[name] = None
        return found


def merge(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries as Snakemake does, in place."""
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            merge(below[key], value)
        else:
            below[key] = value
    return below


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for argument in arguments:
        key, _, text = str(argument).partition("=")
        yield key.strip(), text


def _cure(written: str, read: str) -> str:
    """Numbers as they are meant: 010 may stand for 10 or, in base eight, for 8."""
    if read in ("true", "false"):
        return read
    plain = written.lstrip("+-0").replace("_", "")
    sign = "-" * written.startswith("-")
    return f"{sign}{plain}" if re.fullmatch(r"[0-9]+(\.[0-9]*)?", plain) else read


def read_argument(text: str, schema: Mapping[str, Any], path: KeyPath) -> Any:
    """The value of one `--config` argument, read as the schema wants it at its key.

    YAML's brackets and braces make lists and mappings; what is in quotes is text, and everything
    else becomes a number or true and false where only that is legal and it is written as such.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _typed(node, schema, path)
    except (yaml.YAMLError, RecursionError):
        return text


def _typed(node: yaml.Node, schema: Mapping[str, Any], path: KeyPath) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_typed(item, schema, (*path, place)) for place, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return {
            key.value: _typed(value, schema, (*path, key.value))
            for key, value in node.value
            if isinstance(key, yaml.ScalarNode)
        }
    if node.style is not None:  # in quotes
        return node.value
    legal = types_of(subschema(dict(schema), path))
    if "integer" in legal and re.fullmatch(r"-?(0|[1-9][0-9]*)", node.value):
        return int(node.value)
    if "number" in legal and re.fullmatch(r"-?[0-9]+(\.[0-9]*)?([eE]-?[0-9]+)?", node.value):
        number = float(node.value)
        return int(number) if re.fullmatch(r"-?[0-9]+", node.value) else number
    if "boolean" in legal and node.value in ("true", "false"):
        return node.value == "true"
    return node.value
