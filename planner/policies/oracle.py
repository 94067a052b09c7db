"""Follow the cheapest path that knows the future: what every other policy is measured against.

The need of each interval is sized from the requests that arrive in it. The path orders a start-up time ahead
of a need, releases the moment that it is over, and keeps what would be ordered again before releasing it had
paid. A factor per role on all loads is then searched for at which the simulated fleet just keeps its
promises, so that neither the sizing's caution nor its optimism is in the figure.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.artifact import LayoutProfile
from models.capacity.fleet import FleetModel
from models.plan.search import FleetSearch
from models.plan.sizing import find_need
from models.policy import PlanPolicy
from models.simulation.scorecard import PolicyResult
from models.simulation.timescale import TimeScale
from models.simulation.workload import Workload
from models.track.foresight import ahead, filled
from models.values import Role
from planner.policies.cheapest import cheapest
from planner.policies.policy import Policy, World
from planner.policies.sizing import load_of

NAME = "oracle"
Counts: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Ask at each tick for the counts that stand in a table: row i from tick i on."""

    name: str
    roles: tuple[Role, ...]
    counts: Counts
    origin_s: float
    every_s: float

    @property
    def interval_s(self) -> float | None:
        """Tick once a row."""
        return self.every_s

    @property
    def initial(self) -> Mapping[Role, int]:
        """The counts of the first row."""
        return self._row(0)

    def tick(self, now_s: float, world: World) -> str | None:
        """Ask for the counts of now."""
        before = world.fleet.desired()
        wanted = self._row(round((now_s - self.origin_s) / self.every_s))
        changes = {role: n for role, n in wanted.items() if n != before[role]}
        got = world.actuator.scale(changes) if changes else {}
        return " | ".join(f"{role} {before[role]} -> {n}" for role, n in got.items()) or None

    def _row(self, i: int) -> dict[Role, int]:
        row = self.counts[min(i, len(self.counts) - 1)]
        return {role: int(n) for role, n in zip(self.roles, row, strict=True)}


class Oracle:
    """Build paths for one workload, and find the cheapest that keeps the promises."""

    def __init__(
        self,
        workload: Workload,
        scale: TimeScale,
        layouts: Mapping[Role, LayoutProfile],
        plan: PlanPolicy,
        startup_s: Mapping[Role, float],
    ) -> None:
        """Take the workload, and what a start-up takes in the time of the story."""
        self._workload, self._scale, self._layouts, self._plan = workload, scale, layouts, plan
        self._roles = tuple(layouts)
        self._needs: dict[float, Counts] = {}
        self._lead = {role: math.ceil(startup_s[role] / plan.interval_s - 1e-9) for role in layouts}
        self._worth = {
            role: max(math.ceil((startup_s[role] + plan.pools[role].drain_s) / plan.interval_s - 1e-9), 1)
            for role in layouts
        }

    def path(self, factor: float, more: Mapping[Role, float] | None = None) -> Scheduled:
        """Return the path that is sized for `factor` times the load, and `more` times that for a role."""
        columns = []
        for i, role in enumerate(self._roles):
            columns.append(self._need(round(factor * (more or {}).get(role, 1.0), 6))[:, i])
        need = np.stack(columns, axis=1)
        ordered = np.stack(
            [
                ahead(filled(need[:, i], self._worth[role]), self._lead[role] + 1)
                for i, role in enumerate(self._roles)
            ],
            axis=1,
        )
        return Scheduled(
            NAME,
            self._roles,
            self._within_budget(ordered, need),
            self._scale.origin_s,
            self._plan.interval_s,
        )

    def gpus(self, path: Scheduled) -> float:
        """Return the mean GPUs that a path asks for: its cost but for what drains."""
        widths = np.array([self._layouts[role].gpus for role in self._roles])
        return float((path.counts @ widths).mean())

    def find(self, run: Callable[[Policy], PolicyResult], targets: Mapping[str, float]) -> PolicyResult:
        """Return the cheapest run that keeps every class's target; the best where none does."""
        return cheapest(self, self._roles, run, targets)

    def _need(self, factor: float) -> Counts:
        """Return the counts that the requests of each interval need, shape (intervals, roles)."""
        if factor not in self._needs:
            self._needs[factor] = self._sized(factor)
        return self._needs[factor]

    def _sized(self, factor: float) -> Counts:
        width_s = self._scale.simulated_span_s(self._plan.interval_s)
        intervals = max(math.ceil(self._workload.span_s / width_s), 1)
        begins = self._workload.start_s + width_s * np.arange(intervals + 1)
        edges = np.searchsorted(self._workload.arrival_s, begins)
        edges[-1] = len(self._workload)
        rows = [
            self._fleet(self._workload.take(np.arange(first, last)), width_s / factor)
            for first, last in pairwise(edges)
        ]
        return np.array(rows, dtype=np.intp)

    def _fleet(self, requests: Workload, span_s: float) -> list[int]:
        loads = load_of(requests, self._plan.classes, span_s)
        if not loads:
            return [self._plan.pools[role].min_replicas for role in self._roles]
        model = FleetModel(self._layouts, [loads], self._plan.router)
        need = find_need(FleetSearch(model, np.ones(1), self._plan.targets()), self._plan)
        return [need.affordable[role] for role in self._roles]

    def _within_budget(self, ordered: Counts, need: Counts) -> Counts:
        """Return what is ordered where the budget carries it, and elsewhere what is needed right then."""
        fits = np.ones(len(ordered), dtype=bool)
        for limit in self._plan.limits():
            gpus = np.array([self._layouts[r].gpus if r in limit.roles else 0 for r in self._roles])
            fits &= ordered @ gpus <= limit.gpus
        return np.where(fits[:, None], ordered, need)
