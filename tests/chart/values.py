"""Read values.yaml with its comments: the one place where a value of the chart is described."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from tests.components import REPOSITORY

CHART = REPOSITORY / "charts" / "headgate"
VALUES = CHART / "values.yaml"


@dataclass(frozen=True)
class Value:
    """One value: its path, its default and what is said of it; a section holds others."""

    path: tuple[str, ...]
    default: Any
    said: str
    section: bool

    @property
    def name(self) -> str:
        """The path as `--set` writes it."""
        return ".".join(self.path)


def values() -> tuple[Value, ...]:
    """Return every value in the order of the file; an empty mapping is a value and no section."""
    text = VALUES.read_text(encoding="utf-8")
    tree = yaml.compose(text)
    assert isinstance(tree, MappingNode)
    return tuple(_walk(tree, yaml.safe_load(text), text.splitlines(), ()))


def _walk(node: MappingNode, plain: Any, lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    for key, inner in node.value:
        assert isinstance(key, ScalarNode)
        here, default = (*path, key.value), plain[key.value]
        section = _is_section(inner)
        yield Value(here, None if section else default, _comment(lines, key.start_mark.line), section)
        if section:
            yield from _walk(inner, default, lines, here)


def _is_section(node: Node) -> bool:
    """Say whether a mapping is written over lines: one in braces is a value to be replaced as a whole."""
    return isinstance(node, MappingNode) and not node.flow_style


def _comment(lines: list[str], line: int) -> str:
    """Return the comment right above a line."""
    said: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        said.insert(0, lines[line].lstrip().removeprefix("#").strip())
    return " ".join(said)
