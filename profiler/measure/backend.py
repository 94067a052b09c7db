"""Name what the sweep asks of a way of measuring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from models.artifact import EngineLimits, LayoutProfile, MeasuredPoint, Phase
from models.surface import Bounds, Surface
from models.values import Parallelism, Role

# The surfaces that a role's iterations are read from.
PHASES = {
    Role.PREFILL: (Phase.PREFILL,),
    Role.DECODE: (Phase.DECODE,),
    Role.AGGREGATED: (Phase.PREFILL, Phase.DECODE),
}


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """Ask for the seconds of one iteration: `batch` sequences of `tokens` prompt or context tokens each.

    A prefill point computes `tokens` behind `cached_tokens` that the prefix cache holds. A decode point asks
    for the seconds per output token.
    """

    role: Role
    parallelism: Parallelism
    phase: Phase
    tokens: float
    batch: float
    cached_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """Hold the mean seconds of a point over `repeats`, and the half-width of its 95 % interval (0: exact)."""

    seconds: float
    error_s: float = 0.0
    repeats: int = 1

    def at(self, point: SweepPoint) -> MeasuredPoint:
        """Return this measurement of a point as the artifact keeps it."""
        return MeasuredPoint(
            phase=point.phase,
            tokens=point.tokens,
            batch=point.batch,
            seconds=self.seconds,
            error_s=self.error_s,
            repeats=self.repeats,
            cached_tokens=point.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Replica:
    """Say what holds for one replica of a layout at every point; see `models.artifact.LayoutProfile`.

    `start_s` is the time from asking for the replica to the first point, in which its GPUs are held. `bounds`
    says per phase where points rest on data (a phase that is absent: everywhere); `extrapolated` why none of
    this layout do.
    """

    limits: EngineLimits
    kv_capacity_tokens: float
    kv_fixed_tokens: float
    overhead_s: float
    handover_s_per_token: float
    provenance: str
    handover_steps: float = 0.0
    start_s: float = 0.0
    bounds: tuple[tuple[Phase, Bounds], ...] = ()
    extrapolated: str = ""
    kv_bytes_per_token: float = 0.0

    def profile(
        self, role: Role, parallelism: Parallelism, surfaces: Mapping[Phase, Surface]
    ) -> LayoutProfile:
        """Return what the artifact says of this replica in a role.

        Raises ValueError where a surface that the role is read from is absent.
        """
        return LayoutProfile(
            role=role,
            parallelism=parallelism,
            limits=self.limits,
            kv_capacity_tokens=self.kv_capacity_tokens,
            prefill=surfaces.get(Phase.PREFILL),
            decode=surfaces.get(Phase.DECODE),
            overhead_s=self.overhead_s,
            handover_s_per_token=self.handover_s_per_token,
            handover_steps=self.handover_steps,
            kv_fixed_tokens=self.kv_fixed_tokens,
            provenance=self.provenance,
            extrapolated=self.extrapolated,
            kv_bytes_per_token=self.kv_bytes_per_token,
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say in figures why a layout or a point cannot be measured."""

    reason: str


class Backend(Protocol):
    """Measure points of layouts, one layout after the other.

    The sweep describes a layout, then asks for its points without another layout in between: a backend
    that deploys an engine keeps it between the calls, and gives it back at `release`.
    """

    @property
    def name(self) -> str:
        """The backend's name, as the command line and the artifact say it."""
        ...

    @property
    def computed(self) -> bool:
        """Whether times are computed from a model: points cost nothing and have no noise to smooth."""
        ...

    @property
    def identity(self) -> str:
        """What the times depend on beside the point (endpoint, versions): stored results go by it."""
        ...

    def describe(self, role: Role, parallelism: Parallelism) -> Replica | Refusal:
        """Return what holds for the layout in this role, or why it cannot be measured."""
        ...

    def cost_s(self, point: SweepPoint) -> float:
        """Return for how many seconds measuring this point is expected to hold the replica; 0 if computed."""
        ...

    def measure(self, point: SweepPoint) -> Measurement | Refusal:
        """Return the time of one point, or why this point cannot be measured.

        Raises MeasureError when measuring as such broke down: the sweep stops and can be resumed.
        """
        ...

    def release(self, role: Role, parallelism: Parallelism) -> None:
        """Give back what was held for this layout; no point of it follows."""
        ...
