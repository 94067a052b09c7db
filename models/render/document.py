"""Hold a report as a value: a headline, sections of blocks, and the data that it exports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from models.render.figure import Figure
from models.render.grid import Grid
from models.render.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Prose:
    """Paragraphs."""

    kind: ClassVar[str] = "prose"
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; its wide columns stay hidden until a reader asks for all."""

    kind: ClassVar[str] = "table"
    grid: Grid


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart."""

    kind: ClassVar[str] = "chart"
    figure: Figure


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was said at a time; `at_s` lets a reader find it on the chart of the page."""

    when: str
    text: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Items:
    """A list of things said."""

    kind: ClassVar[str] = "items"
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with their values."""

    kind: ClassVar[str] = "facts"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Points:
    """Sentences that stand side by side."""

    kind: ClassVar[str] = "points"
    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks that open on demand; they print as they stand."""

    kind: ClassVar[str] = "folded"
    summary: str
    blocks: tuple["Block", ...]


Block = Prose | Table | Chart | Items | Facts | Points | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with its blocks; `anchor` is its name in the address bar."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One report. `schema` and `export` become the JSON that the file carries beside its charts' data."""

    title: str
    subtitle: str
    schema: str
    verdict: Verdict
    sections: tuple[Section, ...]
    export: Mapping[str, object]
    made_by: str
    file_name: str

    def figures(self) -> list[Figure]:
        """Return all charts, folded ones included, in order."""
        found: list[Figure] = []

        def walk(blocks: tuple[Block, ...]) -> None:
            for block in blocks:
                if isinstance(block, Chart):
                    found.append(block.figure)
                elif isinstance(block, Folded):
                    walk(block.blocks)

        for section in self.sections:
            walk(section.blocks)
        return found
