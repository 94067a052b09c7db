"""Scale as the Kubernetes HorizontalPodAutoscaler (autoscaling/v2) would, one per role.

Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details and default behaviour:
desired = ceil(current * metric / target) within a tolerance of 10 %; the controller syncs every 15 s; scaling
up adds at most the larger of 100 % and 4 pods in 15 s; scaling down takes the highest recommendation of the
last 300 s. Pods without a metric (here: starting) count as 0 towards an up and as the target towards a down;
an External metric is divided by its average value, starting pods or not. Of several metrics the highest
recommendation counts.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar

from models.observation import PoolState
from models.policy import PoolPolicy
from models.values import Role
from planner.policies.gateway import Gateway
from planner.policies.policy import World

Entry = TypeVar("Entry")


class Metric(StrEnum):
    """What an autoscaler looks at.

    `IN_FLIGHT` is a Pods metric, queued and running requests, of ready pods only. `WORK` is an External
    metric with an average value: tokens a second that arrive for the role, prompts for prefill and outputs
    for decode, as a gateway counts them. It does not saturate, and starting pods count as pods.
    """

    IN_FLIGHT = "in flight"
    WORK = "work"


@dataclass(frozen=True, slots=True)
class HpaSettings:
    """Hold the autoscaler's parameters; the defaults are Kubernetes' own, times in seconds.

    `average_s` is the window of the custom metrics, as in `avg_over_time(...[1m])`.
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
    """Scale one role on one or more metrics, each towards its target per pod; the highest answer counts."""

    targets: Mapping[Metric, float]
    bounds: PoolPolicy
    settings: HpaSettings
    _samples: deque[tuple[float, Mapping[Metric, float]]] = field(default_factory=deque)
    _recommended: deque[tuple[float, int]] = field(default_factory=deque)
    _added: deque[tuple[float, int]] = field(default_factory=deque)

    def desired(self, now_s: float, seen: Mapping[Metric, float], pool: PoolState) -> int:
        """Return the replicas to ask for, given each metric's total over all pods.

        A target without a reading is left out of an up and forbids a down, as with the controller.
        """
        self._samples.append((now_s, seen))
        _expire(self._samples, now_s - self.settings.average_s)
        wishes = []
        for metric in self.targets:
            values = [sample[metric] for _, sample in self._samples if metric in sample]
            if values:
                wishes.append(self._recommend(metric, sum(values) / len(values), pool))
        raw = max(wishes, default=pool.desired)
        if len(wishes) < len(self.targets):
            raw = max(raw, pool.desired)
        wanted = self._behave(now_s, pool.desired, self._within_bounds(raw))
        if wanted > pool.desired:
            self._added.append((now_s, wanted - pool.desired))
        return wanted

    def _recommend(self, metric: Metric, total: float, pool: PoolState) -> int:
        if metric is Metric.WORK:
            return self._external(total / self.targets[metric], pool)
        return self._of_pods(total, self.targets[metric], pool)

    def _external(self, pods: float, pool: PoolState) -> int:
        """Apply the ratio of a total to what all pods that were asked for should carry."""
        current = pool.desired
        if current and self._tolerated(pods / current):
            return current
        return math.ceil(pods - 1e-9)

    def _of_pods(self, in_use: float, target: float, pool: PoolState) -> int:
        """Apply the ratio, with starting pods counted against the direction of the change."""
        current, starting = pool.desired, len(pool.starting)
        if pool.ready == 0:
            return max(current, 1)
        ratio = in_use / pool.ready / target
        if starting == 0:
            return current if self._tolerated(ratio) else math.ceil(ratio * pool.ready - 1e-9)
        assumed = 0.0 if ratio > 1 else target
        careful = (in_use + starting * assumed) / (pool.ready + starting) / target
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

    def __init__(
        self,
        targets: Mapping[Role, Mapping[Metric, float]],
        pools: Mapping[Role, PoolPolicy],
        initial: Mapping[Role, int],
        settings: HpaSettings | None = None,
        name: str = "hpa",
    ) -> None:
        """Take each role's targets per pod, requests or tokens a second, and its bounds."""
        self.name = name
        self._settings = settings or HpaSettings()
        self._scalers = {role: RoleScaler(targets[role], pools[role], self._settings) for role in targets}
        self._initial = initial
        counted = any(Metric.WORK in wanted for wanted in targets.values())
        self._gateway = Gateway() if counted else None

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
        work = self._gateway.read(world) if self._gateway else {}
        wanted = {}
        for role, scaler in self._scalers.items():
            seen = {Metric.IN_FLIGHT: in_use[role]}
            if role in work:
                seen[Metric.WORK] = work[role]
            wanted[role] = scaler.desired(now_s, seen, pools[role])
        changes = {role: n for role, n in wanted.items() if n != pools[role].desired}
        if not changes:
            return None
        got = world.actuator.scale(changes)
        said = [f"{role} {pools[role].desired} -> {n}" for role, n in got.items() if n != pools[role].desired]
        return " | ".join(said) or None


def _expire(entries: deque[tuple[float, Entry]], before_s: float) -> None:
    """Drop what happened at or before a moment."""
    while entries and entries[0][0] <= before_s:
        entries.popleft()
