"""Let replicas of a fleet die, at stated times or at random."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.simulation.clockwork import Clockwork
from models.simulation.pool import Pool
from models.values import Role


@dataclass(frozen=True, slots=True)
class Failures:
    """Say when replicas die, and what becomes of what they held.

    At each (seconds since the first arrival, role) of `at_s` one ready replica of the role dies, drawn with
    the fleet's seed. `mtbf_s` is the mean time to the failure of a replica that serves, exponential. Who
    owns the pool starts another at once. `retried` requests begin anew as a router with request migration
    sends them: what was made is kept and counts as prompt; else they are lost.
    """

    at_s: tuple[tuple[float, Role], ...] = ()
    mtbf_s: Mapping[Role, float] = field(default_factory=dict)
    retried: bool = True

    def __post_init__(self) -> None:
        """Refuse times before the start, and replicas that never serve."""
        if any(at_s < 0 for at_s, _ in self.at_s) or any(not mean > 0 for mean in self.mtbf_s.values()):
            raise ValueError("a replica fails after the start, and lives for some time on average")

    def compressed(self, factor: float) -> "Failures":
        """Return the same failures in a story that is told `factor` times as fast."""
        at_s = tuple((s / factor, role) for s, role in self.at_s)
        return Failures(at_s, {role: s / factor for role, s in self.mtbf_s.items()}, self.retried)


class Reaper:
    """Schedule deaths; `fail(now_s, role, replica)` is called for each."""

    def __init__(
        self, failures: Failures, clock: Clockwork, seed: int, fail: Callable[[float, Role, Any], None]
    ) -> None:
        """Begin with nobody to die."""
        self._failures = failures
        self._clock = clock
        self._random = random.Random(seed)
        self._fail = fail
        self._pools: dict[Role, Pool[Any]] = {}

    def watch(self, role: Role, pool: Pool[Any]) -> None:
        """Let the replicas of a pool die that become ready from now on."""
        self._pools[role] = pool
        for at_s, of in self._failures.at_s:
            if of is role:
                self._clock.schedule(at_s, self._strike, role)
        mean_s = self._failures.mtbf_s.get(role)
        if mean_s is not None:
            rate = 1.0 / mean_s

            def born(now_s: float, replica: object) -> None:
                self._clock.schedule(now_s + self._random.expovariate(rate), self._give_out, (role, replica))

            pool.on_born = born

    def _strike(self, now_s: float, role: Role) -> None:
        ready = self._pools[role].ready
        if ready:
            self._fail(now_s, role, self._random.choice(ready))

    def _give_out(self, now_s: float, who: tuple[Role, Any]) -> None:
        role, replica = who
        if self._pools[role].holds(replica):
            self._fail(now_s, role, replica)
