"""YAML read strictly: numbers as YAML 1.2 reads them, and nothing that means something else than it says.

PyYAML follows YAML 1.1, where ``1e-3`` is a string, ``no`` is false, ``010`` is 8 and ``12:30`` is 750, and where a
key given twice silently wins the second time. Here scalars follow the YAML 1.2 core schema (section 10.3), and
duplicate keys, aliases, tags, deep nesting and large files are refused with file and line.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml
from yaml.reader import ReaderError

from minform_cli.errors import InputError, near_file, unread

MAX_BYTES = 1_000_000
MAX_DEPTH = 32

Place = tuple[str, ...]
"""Keys from the top of a document to one of its values."""

_NULL = re.compile(r"(?:~|null|Null|NULL|)")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)")
_INT = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)

_RESOLVERS = [("null", _NULL), ("bool", _BOOL), ("int", _INT), ("float", _FLOAT)]


def _resolvers() -> dict[str | None, list[tuple[str, re.Pattern[str]]]]:
    """YAML 1.2's implicit scalar types in the form PyYAML keeps them: by first character, None for any."""
    return {None: [(f"tag:yaml.org,2002:{name}", re.compile(rf"^(?:{rx.pattern})$")) for name, rx in _RESOLVERS]}


class _Loader(yaml.SafeLoader):
    """Composes nodes; construction is ours, so no tag can run anything."""

    yaml_implicit_resolvers = _resolvers()  # type: ignore[assignment]
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(line, f"alias '*{event.anchor}' is not accepted; write the value out")
        if getattr(event, "tag", None) is not None:
            raise _Refused(line, f"tag {event.tag!r} is not accepted; write a plain value")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Refused(line, f"nested deeper than {MAX_DEPTH} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes exactly the strings that `_Loader` would not read back as strings."""

    yaml_implicit_resolvers = _resolvers()  # type: ignore[assignment]

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Line breaks and what nobody can see are escaped: PyYAML reads some of them back as spaces."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _represent_text)


class _Refused(Exception):  # noqa: N818  (never leaves this file)
    """Something in a document that we do not accept, with its line."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Place, int]]:
    """The mapping in a YAML file, and the line of every key.

    Returns:
        The mapping, and a table from the keys leading to a value to the line of the last of them (from 1).

    Raises:
        InputError: the file cannot be read, is larger than 1 MB, is not UTF-8, or is not a mapping of plain values.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        near = near_file(path) if isinstance(error, FileNotFoundError) else ""
        raise unread(error, f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}{near}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: larger than {MAX_BYTES:,} bytes, which no config is")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}") from None
    lines: dict[Place, int] = {}
    try:
        value = _parse(text, lines)
    except _Refused as refused:
        raise InputError(f"{path}:{refused.line}: {refused}") from None
    if value is None:
        return {}, lines
    if not isinstance(value, dict):
        raise InputError(f"{path}:1: expected a mapping of keys to values, not {type(value).__name__}")
    return cast("dict[str, Any]", value), lines


def read_scalar(text: str, where: str) -> Any:
    """The value of ``text`` as one YAML value, for ``--set key=value``.

    Raises:
        InputError: it is not one; `where` opens the message.
    """
    try:
        return _parse(text, {})
    except _Refused as refused:
        raise InputError(f"{where}: {refused}") from None


def split_values(text: str, where: str) -> list[str]:
    """The pieces of ``text`` between commas that stand outside brackets, braces and quotes, for ``--grid key=a,b``.

    Each is for `read_scalar` to read; ``[0,0],[0,1]`` has two, ``{kind: pairwise, noise: 0.1},tied`` likewise.

    Raises:
        InputError: a quote is never closed, or a character is not accepted; `where` opens the message.
    """
    commas: list[int] = []
    level = 0
    try:
        with _refusals(text):
            for token in yaml.scan(f"[{text}]", Loader=_Loader):  # YAML's own reading of where a quote begins
                if isinstance(token, (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)):
                    level += 1
                elif isinstance(token, (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)):
                    level -= 1
                elif isinstance(token, yaml.FlowEntryToken) and level == 1:
                    commas.append(token.start_mark.index - 1)
    except _Refused as refused:
        raise InputError(f"{where}: {refused}") from None
    return [text[before + 1 : comma] for before, comma in itertools.pairwise([-1, *commas, len(text)])]


def dump_value(value: Any) -> str:
    """`value` on one line as `read_scalar` reads it back, alone or among others between commas."""
    text = yaml.dump([value], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**9, default_flow_style=True)
    return text.strip()[1:-1]


def dump_yaml(value: Any) -> str:
    """`value` (plain dicts, lists, numbers, strings) as block YAML that `read_yaml` reads back unchanged."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _parse(text: str, lines: dict[Place, int]) -> Any:
    """The value of a document; `lines` is filled with the line of every key.

    Raises:
        _Refused: it is not valid YAML, or holds something we do not accept.
    """
    with _refusals(text):
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return None if node is None else _construct(node, (), lines)
        finally:
            loader.dispose()


@contextmanager
def _refusals(text: str) -> Generator[None]:
    """Turns what PyYAML raises while it reads `text` into `_Refused`."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise _Refused(mark.line + 1 if mark else 1, f"not valid YAML: {reason}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _Refused(line, f"not valid YAML: character {error.character:#x} is not accepted") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _Refused(1, f"not valid YAML: {str(error) or 'cannot be parsed'}") from None


def _construct(node: yaml.Node, place: Place, lines: dict[Place, int]) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*place, str(i)), lines) for i, item in enumerate(node.value)]
    assert isinstance(node, yaml.MappingNode)
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise _Refused(line, "a key must be a word")
        if key in mapping:
            raise _Refused(line, f"key {key!r} is given twice (first in line {lines[(*place, key)]})")
        lines[(*place, key)] = line
        mapping[key] = _construct(value_node, (*place, key), lines)
    return mapping


def _scalar(node: yaml.ScalarNode) -> Any:
    kind = node.tag.rpartition(":")[2]
    text: str = node.value
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if kind == "float":
        return float(re.sub(r"\.(?=[iInN])", "", text))  # Python writes .inf without the point
    return text
