"""Reading YAML that a person wrote: every way in which a file cannot be read is told in words.

PyYAML alone keeps the last of two equal keys without a word, reads 010 as 8 and `no` as false, and
stops with errors of many kinds at other encodings, impossible dates, lists as keys or deep nesting.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lengthlens.errors import LengthlensError

KeyPath = tuple[str | int, ...]

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Repeated:
    """A key that a file gives twice; YAML would keep the last value without a word."""

    path: tuple[str, ...]  # the keys down to it, as text
    lines: tuple[int, int]  # the line numbers of both, from 1


@dataclass(frozen=True)
class Misread:
    """A value without quotes that YAML 1.1 reads as another one than stands there."""

    path: KeyPath
    line: int  # from 1
    written: str
    read: str


@dataclass(frozen=True)
class YamlFile:
    """What a YAML file holds, and how it is written."""

    content: Any
    repeated: list[Repeated]
    misread: list[Misread]
    lines: dict[KeyPath, int]  # of every value, or of its key, where it has one; from 1


def read_yaml(path: str | Path) -> YamlFile:
    """Read a YAML file with all that is to be known of how it is written.

    Raises:
        LengthlensError: the file is not there or not readable, not UTF-8 or not valid YAML.
    """
    text = _text(Path(path))
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        repeated, misread, lines = _survey(node)
        content = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise LengthlensError(f"{path} is not valid YAML: {_advised(error, text)}") from error
    except RecursionError as error:
        raise LengthlensError(f"{path} is nested too deeply to be read: flatten it") from error
    except (ValueError, TypeError, OverflowError) as error:  # of SafeLoader's constructors
        raise LengthlensError(
            f"{path} holds a value that is no date or number though it looks like one ({error}): "
            "correct it or put it in quotes"
        ) from error
    return YamlFile(content, repeated, misread, lines)


def _survey(
    root: yaml.Node | None,
) -> tuple[list[Repeated], list[Misread], dict[KeyPath, int]]:
    """The keys that stand twice in a mapping, values that are misread, and the line of every value.

    The line is that of a value's key, or its own in a list. Keys that are no scalars are passed
    over: no file with one can be read.
    """
    repeated: list[Repeated] = []
    misread: list[Misread] = []
    places: dict[KeyPath, int] = {}
    seen: set[int] = set()  # anchors make a graph of it, perhaps with cycles

    def walk(node: yaml.Node | None, path: KeyPath) -> None:
        if node is None or id(node) in seen:
            return
        seen.add(id(node))
        lines: dict[tuple[str, str], int] = {}  # of the keys
        if isinstance(node, yaml.SequenceNode):
            below = [(index, item, item) for index, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            below = [(k.value, k, v) for k, v in node.value if isinstance(k, yaml.ScalarNode)]
        else:
            return
        for part, where, value in below:
            here, line = (*path, part), where.start_mark.line + 1
            if isinstance(node, yaml.MappingNode):
                key = (where.tag, part)
                if key in lines:
                    repeated.append(Repeated(tuple(map(str, here)), (lines[key], line)))
                lines.setdefault(key, line)
            places.setdefault(here, line)
            if (read := _read_otherwise(value)) is not None:
                misread.append(Misread(here, line, value.value, read))
            walk(value, here)

    walk(root, ())
    return repeated, misread, places


# What is read as everybody reads it; all else of the type is read by a rule of YAML 1.1.
_AS_WRITTEN = {
    "int": re.compile(r"[-+]?(0|[1-9][0-9]*)"),
    "float": re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.I),
    "bool": re.compile(r"true|false", re.I),
    "timestamp": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
}


def _read_otherwise(node: yaml.Node) -> str | None:
    """What a value without quotes is read as, where that is not what is written; else None."""
    kind = node.tag.rpartition(":")[2]
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return None
    if kind not in _AS_WRITTEN or _AS_WRITTEN[kind].fullmatch(node.value):
        return None
    value = yaml.SafeLoader("").construct_object(node)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _text(path: Path) -> str:
    """The file's text without a byte-order mark."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise LengthlensError(f"there is no file {path}: correct the name") from None
    except OSError as error:
        raise LengthlensError(f"{path} cannot be read ({error.strerror})") from error
    if content.startswith(_UTF_16):
        raise LengthlensError(f"{path} is not UTF-8 text but UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise LengthlensError(
            f"{path} is not UTF-8 text (byte 0x{content[error.start]:02x} in line {line}): "
            "save it as UTF-8"
        ) from error


def _advised(error: yaml.YAMLError, text: str) -> str:
    """The parser's words, with what is mostly behind them."""
    mark = getattr(error, "problem_mark", None)
    lines = text.splitlines()
    if mark is not None and mark.line < len(lines) and "\t" in lines[mark.line]:
        return f"{error} (line {mark.line + 1} holds a tab: indent with spaces)"
    return str(error)
