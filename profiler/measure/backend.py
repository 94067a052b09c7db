"""Name what the sweep asks of a way of measuring."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from models.artifact import EngineLimits
from models.values import Parallelism, Role


class Phase(StrEnum):
    """Which surface a point belongs to."""

    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """Ask for the seconds of one iteration: `batch` sequences of `tokens` prompt or context tokens each."""

    role: Role
    parallelism: Parallelism
    phase: Phase
    tokens: float
    batch: float


@dataclass(frozen=True, slots=True)
class Replica:
    """Say what holds for one replica of a layout at every point; see `models.artifact.LayoutProfile`."""

    limits: EngineLimits
    kv_capacity_tokens: float
    kv_fixed_tokens: float
    overhead_s: float
    handover_s_per_token: float
    provenance: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say in figures why a layout cannot be measured."""

    reason: str


class Backend(Protocol):
    """Measure points of layouts, one layout after the other.

    The sweep describes a layout, then asks for its points without another layout in between: a backend
    that deploys an engine keeps it between the calls.
    """

    @property
    def name(self) -> str:
        """The backend's name, as the command line and the artifact say it."""
        ...

    @property
    def computed(self) -> bool:
        """Whether times are computed from a model, with no noise to smooth."""
        ...

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        """Return what holds for the layout in this role, or why it cannot be measured."""
        ...

    def measure(self, point: SweepPoint) -> float | None:
        """Return the seconds of one iteration, None where this point cannot be measured."""
        ...
