"""Say what a change of one role's layout in a cluster asks for, and how it goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from models.values import Parallelism, Role


@dataclass(frozen=True, slots=True)
class Switch:
    """Ask for another layout of one role.

    `needed` replicas, each of the old or of the new layout, keep the promise for as long as the switch may
    take; `current` are asked for. `left_gpus` may be taken by this role, the others at what they are
    (`None`: no bound), by the bound `limit`; of the others `others_needed` are needed meanwhile. A replica is
    ready within `startup_p99_s` and drains in `drain_s`; times in seconds. After a switch that failed the
    same one is tried again in `retry_s`.
    """

    role: Role
    to: Parallelism
    instead_of: Parallelism
    needed: int
    current: int
    left_gpus: int | None
    limit: str
    others_needed: Mapping[Role, int]
    startup_p99_s: float
    drain_s: float
    retry_s: float

    def __str__(self) -> str:
        """Name it, such as `decode TP4 -> TEP8`."""
        return f"{self.role} {self.instead_of.name} -> {self.to.name}"

    def most_gpus(self, surge: int) -> int:
        """Return the most GPUs that old and new replicas take together while they are replaced.

        At most `surge` more than `current` are there at a time.
        """
        old, new, n = self.instead_of.gpus, self.to.gpus, self.current
        return max(k * new + min(n, n + surge - k) * old for k in range(n + 1))

    def deadline_s(self, at_once: int) -> float:
        """Return how long it may take when so many replicas are replaced at once, half as long again."""
        waves = -(-self.current // max(at_once, 1))
        return 1.5 * max(waves, 1) * (self.startup_p99_s + self.drain_s)


class ReshapeState(StrEnum):
    """How a change of layout stands."""

    PROPOSED = "proposed"
    REFUSED = "refused"
    STARTED = "started"
    UNDER_WAY = "under_way"
    DONE = "done"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReshapeReport:
    """Say what one tick made of a change of layout."""

    role: Role
    state: ReshapeState
    sentence: str
