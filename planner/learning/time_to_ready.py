"""Learn per role how long replicas take from order to ready, from the looks at the pools alone."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from models.observation import Observation, PoolState
from models.policy import LONGEST_STARTUP_S, PlanPolicy
from models.readiness import Readiness, StartUp, readiness
from models.values import Role

# The latest orders count, so that a new image or a slower registry is learned after a few days.
KEPT_ORDERS = 30
# After a longer pause of ours nobody knows when in it a replica became ready.
LONGEST_GAP_TICKS = 2.5
# Clocks differ, and creation times come in whole seconds: so much of the time between two looks is allowed.
SLACK_RATIO = 0.5


class TimeToReady:
    """Follow starting replicas from the look that saw their order first to the look that saw them ready.

    Nothing names a replica but the moment since which it starts. Counted is only what can be nothing else
    than an order that became ready: `desired` rose by at least as many when the replicas appeared; and when
    they vanished from the starting ones, `ready` grew by at least all that vanished and `desired` did not
    fall. What was starting before the first look, what was stuck (quota, capacity) at any look, what a
    rollout touched and what became ready in a pause is left out. A replica that still starts is not counted
    before it arrives.

    An observation does not tell nodes that had to be started from warm ones: both are in one distribution.
    """

    def __init__(self, plan: PlanPolicy) -> None:
        """Begin with the stated times of the plan's pools."""
        self._roles = {role: _Watch(plan.interval_s) for role in plan.pools}
        self._stated = dict(plan.pools)

    def seed(self, earlier: Mapping[Role, Readiness]) -> None:
        """Go on from the start-ups that the last record before a restart holds."""
        for role, watch in self._roles.items():
            if role in earlier:
                watch.seen = list(earlier[role].seen)

    def learn(self, observation: Observation) -> dict[Role, Readiness]:
        """Take in one look and return what to plan each role with; the same look twice changes nothing."""
        for role, watch in self._roles.items():
            if role in observation.pools:
                watch.look(observation.at_s, observation.pools[role])
        return {role: readiness(watch.seen, self._stated[role]) for role, watch in self._roles.items()}


class _Watch:
    """Follow one role."""

    def __init__(self, interval_s: float) -> None:
        self.seen: list[StartUp] = []
        self._longest_gap_s = LONGEST_GAP_TICKS * interval_s
        self._last: tuple[float, PoolState] | None = None
        # Since when a replica starts: the look that saw its order first, and how many are still followed.
        self._followed: dict[float, tuple[float, int]] = {}

    def look(self, at_s: float, pool: PoolState) -> None:
        """Compare the pool with the last look at it."""
        if self._last is None:
            self._last = at_s, pool
            return
        before_s, before = self._last
        if at_s <= before_s:
            return
        self._last = at_s, pool
        disturbed = before.rollout_in_progress or pool.rollout_in_progress
        if disturbed or at_s - before_s > self._longest_gap_s:
            self._followed.clear()
            return
        was, now = (Counter(s.since_s for s in each.starting) for each in (before, pool))
        stuck = {s.since_s for s in pool.starting if s.stuck is not None}
        for since_s in stuck:
            self._followed.pop(since_s, None)
        gone, come = was - now, now - was
        ordered, grown = pool.desired - before.desired, pool.ready - before.ready
        if ordered >= 0 and grown >= gone.total():
            self._keep(self._arrived(gone, before_s, at_s))
            at_once = grown - gone.total()
            if at_once and ordered >= at_once + come.total():
                self._keep([StartUp(at_s, at_once, 0.0, at_s - before_s)])
        for since_s, count in gone.items():
            self._let_go(since_s, count)
        if come.total() <= ordered:
            early_s = before_s - SLACK_RATIO * (at_s - before_s)
            for since_s, count in come.items():
                if early_s <= since_s <= at_s and since_s not in stuck and since_s not in self._followed:
                    self._followed[since_s] = at_s, count

    def _arrived(self, gone: Mapping[float, int], before_s: float, at_s: float) -> Iterator[StartUp]:
        for since_s, count in gone.items():
            order_s, followed = self._followed.get(since_s, (0.0, 0))
            if followed and at_s - since_s <= LONGEST_STARTUP_S:
                yield StartUp(order_s, min(count, followed), max(before_s - since_s, 0.0), at_s - since_s)

    def _let_go(self, since_s: float, count: int) -> None:
        order_s, followed = self._followed.get(since_s, (0.0, 0))
        if followed > count:
            self._followed[since_s] = order_s, followed - count
        else:
            self._followed.pop(since_s, None)

    def _keep(self, arrived: Iterable[StartUp]) -> None:
        self.seen += arrived
        latest = sorted({each.order_s for each in self.seen})[-KEPT_ORDERS:]
        if latest:
            self.seen = [each for each in self.seen if each.order_s >= latest[0]]
