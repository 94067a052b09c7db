"""Scale as the Kubernetes HorizontalPodAutoscaler (autoscaling/v2) would, one per role.

Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details and default behaviour:
desired = ceil(current * metric / target) within a tolerance of 10 %; the controller syncs every 15 s; scaling
up adds at most the larger of 100 % and 4 pods in 15 s; scaling down takes the highest recommendation of the
last 300 s. Pods without a metric (here: starting) count as 0 towards an up and as the target towards a down.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from models.observation import PoolState
from models.policy import PoolPolicy
from models.values import Role
from planner.policies.policy import World


@dataclass(frozen=True, slots=True)
class HpaSettings:
    """Hold the autoscaler's parameters; the defaults are Kubernetes' own, times in seconds.

    `average_s` is the window of the custom metric, as in `avg_over_time(...[1m])`.
    """

    tolerance_ratio: float = 0.1
    sync_s: float = 15.0
    average_s: float = 60.0
    down_window_s: float = 300.0
    up_percent: float = 100.0
    up_pods: int = 4
    up_period_s: float = 15.0


@dataclass(slots=True)
class RoleScaler:
    """Scale one role on the mean of requests in flight per pod, towards `target`."""

    target: float
    bounds: PoolPolicy
    settings: HpaSettings
    _samples: deque[tuple[float, float]] = field(default_factory=deque)
    _recommended: deque[tuple[float, int]] = field(default_factory=deque)
    _added: deque[tuple[float, int]] = field(default_factory=deque)

    def desired(self, now_s: float, in_use: float, pool: PoolState) -> int:
        """Return the replicas to ask for, given the requests in flight over all ready pods."""
        self._samples.append((now_s, in_use))
        _expire(self._samples, now_s - self.settings.average_s)
        mean = sum(value for _, value in self._samples) / len(self._samples)
        raw = self._within_bounds(self._recommend(mean, pool))
        wanted = self._behave(now_s, pool.desired, raw)
        if wanted > pool.desired:
            self._added.append((now_s, wanted - pool.desired))
        return wanted

    def _recommend(self, in_use: float, pool: PoolState) -> int:
        """Apply the ratio, with starting pods counted against the direction of the change."""
        current, starting = pool.desired, len(pool.starting)
        if pool.ready == 0:
            return max(current, 1)
        ratio = in_use / pool.ready / self.target
        if starting == 0:
            return current if self._tolerated(ratio) else math.ceil(ratio * pool.ready - 1e-9)
        assumed = 0.0 if ratio > 1 else self.target
        careful = (in_use + starting * assumed) / (pool.ready + starting) / self.target
        if self._tolerated(careful) or (ratio > 1) != (careful > 1):
            return current
        count = math.ceil(careful * (pool.ready + starting) - 1e-9)
        return count if (count > current) == (careful > 1) else current

    def _behave(self, now_s: float, current: int, raw: int) -> int:
        """Apply the stabilisation window to downs and the policies to ups."""
        if not self._recommended:
            # The controller begins its window with what it finds.
            self._recommended.append((now_s, current))
        self._recommended.append((now_s, raw))
        _expire(self._recommended, now_s - self.settings.down_window_s)
        _expire(self._added, now_s - self.settings.up_period_s)
        if raw > current:
            before = current - sum(count for _, count in self._added)
            limit = max(
                before + self.settings.up_pods, math.ceil(before * (1 + self.settings.up_percent / 100))
            )
            return max(min(raw, limit), current)
        return min(max(count for _, count in self._recommended), current)

    def _within_bounds(self, count: int) -> int:
        most = self.bounds.max_replicas
        return max(self.bounds.min_replicas, count if most is None else min(count, most))

    def _tolerated(self, ratio: float) -> bool:
        return abs(ratio - 1.0) <= self.settings.tolerance_ratio + 1e-9


class Hpa:
    """Run one autoscaler per role; they do not know of each other, nor of the GPU budget."""

    name = "hpa"

    def __init__(
        self,
        targets: Mapping[Role, float],
        pools: Mapping[Role, PoolPolicy],
        initial: Mapping[Role, int],
        settings: HpaSettings | None = None,
    ) -> None:
        """Take the target of requests in flight per pod and the bounds of each role."""
        self._settings = settings or HpaSettings()
        self._scalers = {role: RoleScaler(targets[role], pools[role], self._settings) for role in targets}
        self._initial = initial

    @property
    def interval_s(self) -> float | None:
        """Sync as often as the controller does."""
        return self._settings.sync_s

    @property
    def initial(self) -> Mapping[Role, int]:
        """Replicas per role at the start."""
        return self._initial

    def tick(self, now_s: float, world: World) -> str | None:
        """Sync every role."""
        in_use, pools = world.fleet.in_use(), world.fleet.pools()
        wanted = {role: s.desired(now_s, in_use[role], pools[role]) for role, s in self._scalers.items()}
        changes = {role: n for role, n in wanted.items() if n != pools[role].desired}
        if not changes:
            return None
        got = world.actuator.scale(changes)
        said = [f"{role} {pools[role].desired} -> {n}" for role, n in got.items() if n != pools[role].desired]
        return " | ".join(said) or None


def _expire(entries: "deque[tuple[float, float]] | deque[tuple[float, int]]", before_s: float) -> None:
    """Drop what happened at or before a moment."""
    while entries and entries[0][0] <= before_s:
        entries.popleft()
