"""Judge by the model what the fleets that were ready lost of what came, spell by spell."""

from collections import deque
from collections.abc import Iterable, Mapping

import numpy as np

from models.artifact import LayoutProfile
from models.observation import Observation
from models.plan.error_budget import lost
from models.plan.scenarios import Scenarios
from models.policy import PlanPolicy
from models.series import Floats
from models.speed import corrected
from models.values import Role, Signal

# Demand is averaged over this long before it is judged: queues live for minutes, and a minute's count is
# half chance.
SPELL_S = 180.0


class Hindsight:
    """Hold what was lost since somebody last asked.

    Measured latencies tell quantiles and no shares of kept promises, and a fleet that is ample shows nothing
    of how near it was to one: so the model says what the replicas that were ready kept of the demand that
    came. A spell in which more came than the forecast thought possible counts for nothing.
    """

    def __init__(self, layouts: Mapping[Role, LayoutProfile]) -> None:
        """Begin without a past."""
        self._layouts = layouts
        self._said: deque[tuple[float, Scenarios]] = deque()
        self._open: list[tuple[Floats, Floats]] = []
        self._since_s: float | None = None
        self._measured_s: float | None = None
        self._judged: list[tuple[Floats, Floats]] = []

    def take(self, observation: Observation, ahead: Scenarios, plan: PlanPolicy) -> None:
        """Take in one look and what is said of the time ahead; the same look twice changes nothing."""
        now_s = observation.at_s
        if self._said and now_s <= self._said[-1][0]:
            return
        seen = (
            None if observation.demand_at_s == self._measured_s else _seen(observation, ahead, self._layouts)
        )
        self._measured_s = observation.demand_at_s
        if seen is None:
            self._open, self._since_s = [], None
        else:
            if self._since_s is None:
                self._since_s = now_s - observation.window_s
            self._open.append(seen)
            if now_s - self._since_s >= SPELL_S - 1e-6:
                self._judge(self._since_s, ahead, plan)
                self._open, self._since_s = [], now_s
        self._said.append((now_s, ahead))
        while self._said[0][0] < now_s - plan.ready_horizon_s() - 2 * SPELL_S:
            self._said.popleft()

    def spent(self) -> Floats | None:
        """Return the share of each class that was lost since the last call, shape (classes,).

        `None` where nothing could be judged.
        """
        judged, self._judged = self._judged, []
        if not judged:
            return None
        came, missing = (np.array(each) for each in zip(*judged, strict=True))
        share: Floats = (came * missing).sum(axis=0) / np.maximum(came.sum(axis=0), 1e-9)
        return share

    def _judge(self, since_s: float, now: Scenarios, plan: PlanPolicy) -> None:
        """Judge the spell that is over, under what was said when orders for it were due."""
        told = [ahead for at_s, ahead in self._said if at_s <= since_s - plan.ready_horizon_s()]
        came, ready = (np.mean([each[i] for each in self._open], axis=0) for i in (0, 1))
        counts = {role: round(n) for role, n in zip(self._layouts, ready.tolist(), strict=True)}
        if not told or told[-1].loads.rate_rps.shape[1] != came.shape[1] or min(counts.values()) < 1:
            return
        missing = lost(came, counts, told[-1], now, corrected(self._layouts, plan.pools), plan)
        if self._judged and self._judged[-1][0].shape != came[0].shape:
            self._judged.clear()
        if missing is not None:
            self._judged.append((came[0], missing))


def _seen(observation: Observation, ahead: Scenarios, roles: Iterable[Role]) -> tuple[Floats, Floats] | None:
    """Return demand per second, shape (3, classes), and ready replicas; `None`: some is unknown."""
    columns = []
    for request_class in ahead.loads.classes:
        demand = observation.demand.get(request_class.name)
        values = [None if demand is None else demand.value(signal) for signal in Signal]
        columns.append([np.nan if value is None else value for value in values])
    came = np.array(columns).T
    if not np.isfinite(came).all() or not observation.pools.keys() >= set(roles):
        return None
    return came, np.array([observation.pools[role].ready for role in roles], dtype=np.float64)
