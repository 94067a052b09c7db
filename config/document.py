"""Read YAML strictly: one mapping, no key twice, plain values only, and the line of everything remembered."""

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from models.errors import ConfigError

Key = str | int
KeyPath = tuple[Key, ...]

MOST_BYTES = 1_000_000
"""Larger than any configuration: whatever is larger is another file."""

_MOST_VALUES = 100_000  # nested aliases multiply: ten lines of them can ask for more memory than there is
_DEEPEST = 50
_MERGE = "tag:yaml.org,2002:merge"
# Escapes such as "\0" can spell what no file, path or terminal takes.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Kind:
    """Say what kind of file is read, for messages: its name, and what has to stand in it."""

    noun: str
    shape: str
    contents: str


CONFIGURATION = Kind(
    "configuration",
    "a configuration is a mapping that begins with `deployments:`",
    "`headgate config schema` says what belongs into it",
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Say what is wrong at a line, 0 where no line can be named."""

    line: int
    path: KeyPath
    sentence: str


@dataclass(slots=True)
class Document:
    """Hold the values of a file, the line of each, and what was wrong although the rest could be read."""

    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest section around it; 0 when there is none."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


class Quoted(str):
    """Mark text that stood in quotes or in a block, where a value without them may be a number."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """Resolve plain scalars as YAML 1.2 does: `no` is a word, 010 is ten, 1:30 and 2026-01-01 are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (the library's own)


for _tag, _pattern, _first in (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    # Beyond 18 digits it is no quantity of ours, and Python refuses very long ones.
    ("int", r"[-+]?[0-9]{1,18}", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def read_file(path: Path, kind: Kind = CONFIGURATION) -> Document:
    """Read a file of some kind; raises ConfigError when it cannot be read or is not a mapping."""
    return read_text(read_file_text(path, kind), str(path), kind)


def read_file_text(path: Path, kind: Kind = CONFIGURATION) -> str:
    """Return the text of a file of some kind; raises ConfigError when it cannot be read or is no text."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory; name the {kind.noun} file in it") from None
    except PermissionError:
        raise ConfigError(f"{path}: may not be read by this user; check its permissions") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if len(raw) > MOST_BYTES:
        raise ConfigError(f"{path}: is larger than {MOST_BYTES:,} bytes; this is not a {kind.noun} file")
    if b"\0" in raw:
        raise ConfigError(f"{path}: is a binary file; a {kind.noun} is YAML text")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8 text; save it as UTF-8") from None


def read_text(text: str, source: str, kind: Kind = CONFIGURATION) -> Document:
    """Read one YAML document; `source` names it in messages. Raises ConfigError when it is not a mapping."""
    nodes = _compose(text, source)
    if not nodes or _is_null(nodes[0]):
        raise ConfigError(f"{source}: is empty; {kind.contents}")
    if len(nodes) > 1:
        line = nodes[1].start_mark.line + 1
        raise ConfigError(f"{source}:{line}: a second document begins; keep one {kind.noun} in a file")
    return _document(nodes[0], source, kind)


def read_documents(text: str, source: str, kind: Kind) -> list[Document]:
    """Read the YAML documents of a text, empty ones left out; raises ConfigError when one is not a mapping.

    A scalar that stood in quotes is a `Quoted`: text for certain.
    """
    nodes = [node for node in _compose(text, source) if not _is_null(node)]
    if not nodes:
        raise ConfigError(f"{source}: is empty; {kind.contents}")
    return [_document(node, source, kind, marks_quotes=True) for node in nodes]


def _compose(text: str, source: str) -> list[Node]:
    try:
        return list(yaml.compose_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{source}:{_line_of(error)}: is not valid YAML: {_what(error)}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{source}:{line}: holds a character that no text has; remove it") from None
    except RecursionError:
        raise ConfigError(f"{source}: is nested too deeply") from None


def _document(node: Node, source: str, kind: Kind, marks_quotes: bool = False) -> Document:
    if not isinstance(node, MappingNode):
        found = "a list" if isinstance(node, SequenceNode) else "a single value"
        raise ConfigError(f"{source}:{node.start_mark.line + 1}: is {found}; {kind.shape}")
    document = Document({})
    document.values = _Builder(document, source, marks_quotes).build(node, (), 0)
    return document


def read_value(text: str) -> Any:
    """Read a list or a mapping on one line, such as "{a: b}"; raises ValueError when it is not valid YAML."""
    try:
        document = read_text(f"value: {text}", "value")
    except ConfigError as error:
        raise ValueError(str(error)) from None
    if document.faults:
        raise ValueError(document.faults[0].sentence)
    return document.values["value"]


def _is_null(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag.endswith(":null")


def _line_of(error: yaml.MarkedYAMLError) -> int:
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1


def _what(error: yaml.MarkedYAMLError) -> str:
    # The library's own message quotes the line, which may hold a secret.
    what = error.problem or error.context or "cannot be read"
    if "\\t" in what or "'\t'" in what:
        return "a tab stands where only spaces may; indent with spaces"
    return what


class _Builder:
    """Turn nodes into plain values, noting lines and faults on the way."""

    def __init__(self, document: Document, source: str, marks_quotes: bool) -> None:
        self._document = document
        self._source = source
        self._marks_quotes = marks_quotes
        self._values = 0

    def build(self, node: Node, path: KeyPath, depth: int) -> Any:
        """Return the plain value of a node."""
        self._values += 1
        line = node.start_mark.line + 1
        if self._values > _MOST_VALUES or depth > _DEEPEST:
            raise ConfigError(f"{self._source}:{line}: aliases multiply or nest without end; write it out")
        # A key's own line is the better place to point at than its value's first.
        self._document.lines.setdefault(path, line)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if isinstance(node, MappingNode):
            self._refuse_tag(node, path, known=kind == "map")
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            self._refuse_tag(node, path, known=kind == "seq")
            return [self.build(child, (*path, i), depth + 1) for i, child in enumerate(node.value)]
        return self._scalar(node, kind, path)

    def _mapping(self, node: MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        seen: dict[Hashable, int] = {}
        merged: list[Node] = []
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                merged.append(value_node)
                continue
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None:
                self._fault(line, path, "a key is a word, not a list or mapping")
            elif _NO_TEXT.search(key):
                self._fault(line, path, "a key holds a character that no text has; remove it")
            elif key in seen:
                self._fault(line, (*path, key), f"is already there at line {seen[key]}; keep one")
            else:
                seen[key] = line
                self._document.lines[(*path, key)] = line
                values[key] = self.build(value_node, (*path, key), depth + 1)
        for value_node in merged:
            for key, value in self._merge(value_node, path, depth).items():
                values.setdefault(key, value)
        return values

    def _merge(self, node: Node, path: KeyPath, depth: int) -> dict[str, Any]:
        if isinstance(node, SequenceNode):
            # The first of several has precedence (YAML merge keys, "earlier in the sequence override later").
            together: dict[str, Any] = {}
            for child in node.value:
                together = {**self._merge(child, path, depth), **together}
            return together
        value = self.build(node, path, depth + 1)
        if isinstance(value, dict):
            return value
        self._fault(node.start_mark.line + 1, path, "`<<` merges a mapping and nothing else")
        return {}

    def _scalar(self, node: Node, kind: str, path: KeyPath) -> Any:
        text = str(node.value)
        if _NO_TEXT.search(text):
            self._fault(node.start_mark.line + 1, path, "holds a character that no text has; remove it")
            text = _NO_TEXT.sub("", text)
        try:
            match kind:
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return int(text)
                case "float":
                    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            kind = "one that the value does not fit"
        self._refuse_tag(node, path, known=kind in ("str", "value"))
        quoted = self._marks_quotes and isinstance(node, ScalarNode) and node.style
        return Quoted(text) if quoted else text

    def _refuse_tag(self, node: Node, path: KeyPath, known: bool) -> None:
        if not known:
            sentence = f"the tag {node.tag!r} means nothing here; write the value without it"
            self._fault(node.start_mark.line + 1, path, sentence)

    def _fault(self, line: int, path: KeyPath, sentence: str) -> None:
        self._document.faults.append(Fault(line, path, sentence))
