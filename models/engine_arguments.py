"""Say how an engine is told the widths of a layout: on its command line, as data per engine."""

from dataclasses import dataclass

from models.values import Parallelism

WIDTHS = ("tp", "pp", "dp", "ep", "gpus", "stage_gpus")


@dataclass(frozen=True, slots=True)
class Argument:
    """Name one argument by its spellings, the first of which is written where none is there yet.

    `width` is the figure of a layout that it carries; a `switch` carries none and is there where the width is
    above 1. An argument that is absent stands for 1.
    """

    flags: tuple[str, ...]
    width: str
    switch: bool = False

    def of(self, layout: Parallelism) -> int:
        """Return the figure for a layout."""
        return int(getattr(layout, self.width))


@dataclass(frozen=True, slots=True)
class EngineArguments:
    """Hold an engine's arguments; with one of `unreadable` others may hold that are not seen here."""

    engine: str
    arguments: tuple[Argument, ...]
    unreadable: tuple[str, ...] = ()
