"""Reading YAML that a person wrote: every way in which a file cannot be read is told in words.

PyYAML alone keeps the last of two equal keys without a word, and stops with errors of many kinds
at other encodings, impossible dates, lists as keys or deep nesting.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lengthlens.errors import LengthlensError

_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


@dataclass(frozen=True)
class Repeated:
    """A key that a file gives twice; YAML would keep the last value without a word.

    Attributes:
        path: the keys down to it, as text.
        lines: the line numbers of both, from 1.
    """

    path: tuple[str, ...]
    lines: tuple[int, int]


def read_yaml(path: str | Path) -> tuple[Any, list[Repeated]]:
    """What a YAML file holds, and the keys that it gives twice.

    Raises:
        LengthlensError: the file is not there or not readable, not UTF-8 or not valid YAML.
    """
    text = _text(Path(path))
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        repeated = _repeated(node)
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
    return content, repeated


def _text(path: Path) -> str:
    """The file's text without a byte-order mark."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise LengthlensError(f"there is no file {path}: correct the name") from None
    except OSError as error:
        raise LengthlensError(f"{path} cannot be read ({error.strerror})") from error
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            raise LengthlensError(f"{path} is not UTF-8 text but {encoding}: save it as UTF-8")
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


def _repeated(node: yaml.Node | None) -> list[Repeated]:
    """Keys that stand twice in a mapping, anywhere below `node`."""
    found: list[Repeated] = []
    seen: set[int] = set()  # anchors make a graph of it, perhaps with cycles

    def walk(here: yaml.Node | None, path: tuple[str, ...]) -> None:
        if here is None or id(here) in seen:
            return
        seen.add(id(here))
        if isinstance(here, yaml.SequenceNode):
            for index, item in enumerate(here.value):
                walk(item, (*path, str(index)))
        elif isinstance(here, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in here.value:
                if not isinstance(key, yaml.ScalarNode):
                    walk(value, path)
                    continue
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    found.append(Repeated((*path, key.value), (lines[name], line)))
                lines.setdefault(name, line)
                walk(value, (*path, key.value))

    walk(node, ())
    return found
