"""Lay out what a sweep asks: per layout and role the grids of its surfaces."""

from collections.abc import Callable
from dataclasses import dataclass

from models.artifact import Phase
from models.surface import Surface
from models.values import Parallelism, Role
from profiler.measure.backend import Measurement, Refusal, Replica, SweepPoint

Ask = Callable[[SweepPoint], Measurement | Refusal]
"""Measures a point, or says why it cannot be."""

IsLost = Callable[[Surface], str | None]
"""Says of the surface so far why its layout cannot win any more."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Hold the axes of one surface: prompt or context tokens by sequences of the whole replica.

    `prefix_ratio` of every prompt is found in the prefix cache; `tokens` counts what is computed.
    """

    role: Role
    layout: Parallelism
    phase: Phase
    tokens: tuple[float, ...]
    batches: tuple[float, ...]
    prefix_ratio: float = 0.0

    @property
    def size(self) -> int:
        """Points in the grid."""
        return len(self.tokens) * len(self.batches)

    def point(self, tokens: float, batch: float) -> SweepPoint:
        """Return the point to measure at these coordinates."""
        cached = (
            tokens * self.prefix_ratio / (1.0 - self.prefix_ratio) if self.phase is Phase.PREFILL else 0.0
        )
        return SweepPoint(self.role, self.layout, self.phase, tokens, batch, cached)


@dataclass(frozen=True, slots=True)
class Lost:
    """Say in figures why a layout was given up before its grid was done: it cannot win any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Task:
    """Hold one layout in one role with the grids to measure."""

    role: Role
    layout: Parallelism
    replica: Replica
    grids: tuple[Grid, ...]

    @property
    def size(self) -> int:
        """Points in all grids."""
        return sum(grid.size for grid in self.grids)

    @property
    def name(self) -> str:
        """Name the layout in its role, such as `decode TEP4`."""
        return f"{self.role} {self.layout}"
