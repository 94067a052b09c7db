"""Say what a policy of a replay is, and what it may see and do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from models.simulation.fleet import Fleet
from models.values import Role
from planner.act.simulated import SimulatedActuator
from planner.observe.simulated import SimulatedObserver


@dataclass(frozen=True, slots=True)
class World:
    """Hold the two ends that a policy touches, and the fleet between them.

    A policy reads demand through the observer and scales through the actuator. Of the fleet itself it may
    read what a pod metric would show, `fleet.in_use()` and `fleet.pools()`, and never the trace.
    """

    observer: SimulatedObserver
    actuator: SimulatedActuator
    fleet: Fleet


class Policy(Protocol):
    """Choose replica counts over one replay; a new one is made for each.

    `interval_s` is the time between two ticks (`None`: it never changes anything), `initial` the fleet that
    is ready at the first arrival.
    """

    @property
    def name(self) -> str:
        """Name the policy in the verdict."""
        ...

    @property
    def interval_s(self) -> float | None:
        """Seconds of story time between two ticks."""
        ...

    @property
    def initial(self) -> Mapping[Role, int]:
        """Replicas per role at the start."""
        ...

    def tick(self, now_s: float, world: World) -> str | None:
        """Look, decide and act at `now_s` (Unix seconds); return a sentence when something was changed."""
        ...
