"""Aim at the least cost: what GPUs are paid, and what the requests that miss their promise cost.

Minimises price x GPUs + miss price x E[rate x (1 - attainment)] an hour, over every count. Classes whose
misses have no price keep their target beside it, and so does one that states an `attainment` of its own.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from models.capacity.fleet import Floats
from models.plan.bill import kept_targets, miss_mass
from models.plan.need import Need
from models.plan.search import Bounds, FleetSearch, by_role
from models.plan.smallest import LIMIT, smallest
from models.policy import PlanPolicy
from models.values import Binding, Role

Allowed = Callable[[Mapping[Role, int]], bool]

_EPSILON = 1e-9
# Counts on either side that one step of the first, rough search looks at, and its most steps.
_STEP, _STEPS = 8, 40
# Fleets that are evaluated together once the bounds of their costs have put them in order.
_TOGETHER = 16


class PricedSearch:
    """Search the counts of one FleetSearch's model for the least cost, start-up included."""

    def __init__(
        self, search: FleetSearch, policy: PlanPolicy, running: Mapping[Role, int] | None = None
    ) -> None:
        """Bind prices to a model and its scenarios; a GPU that is not `running` yet has to be started."""
        self._model, self.roles = search.model, search.roles
        self._weights, self._policy, self._running = search.weights, policy, running
        self._gpus = {role: self._model.layouts[role].gpus for role in self.roles}
        prices = {role: s.price_per_gpu_h or 0.0 for s in policy.stocks for role in s.roles}
        # What one replica costs at least: on a node that is paid whole its neighbours may be free.
        self._unit = {role: prices[role] * self._gpus[role] for role in self.roles}
        self._start = policy.start_cost() if running else 0.0
        self._mass = miss_mass(search, policy)
        self._kept = FleetSearch(self._model, self._weights, kept_targets(policy))
        self._aims = np.array([self._kept.aims[name] for name in self._model.names])
        self._ample = float((self._mass * (1.0 - self._model.ceiling)).sum())

    def alone(self, role: Role) -> int:
        """Return the count of `role` that costs least while the other role is ample."""
        low = self._fewest(role)
        busy = max(math.ceil(float(self._model.busy(role).max())), low)
        costs = self._alone_costs(role, np.arange(low, low + 1))
        most = float(costs.min())
        for reach in (busy + 1, 2 * busy + 2, 4 * busy + 4):
            most = min(most, float(self._alone_costs(role, np.array([reach])).min()))
        counts = np.arange(low, max(int((most - self._ample) / self._unit[role]), low) + 1)
        return int(counts[self._alone_costs(role, counts).argmin()])

    def cheapest(self, bounds: Mapping[Role, Bounds], allowed: Allowed) -> dict[Role, int] | None:
        """Return the counts of least cost within bounds among those allowed; None where none keeps the aims.

        Exact: a fleet costs at least its GPUs and the misses that the worse of its roles has by itself, and
        whatever costs more by that than the best found is left out. Of equal costs the fewest GPUs are taken.
        """
        low = {role: max(bounds[role].low, self._fewest(role)) for role in self.roles}
        if any(low[role] > bounds[role].high for role in self.roles):
            return None
        best = self._roughly(low, bounds, allowed)
        ranges = [
            self._range(role, low, bounds[role].high, best[0] if best else math.inf) for role in self.roles
        ]
        for some in self._by_least_cost(ranges, best[0] if best else math.inf):
            if best is not None and some[0][0] > best[0] * (1 + _EPSILON):
                break
            best = self._best([fleet for _, fleet in some if allowed(fleet)], best)
        return dict(zip(self.roles, best[2], strict=True)) if best is not None else None

    def _fewest(self, role: Role) -> int:
        """Return the fewest replicas with which the targets beside the prices can be reached."""
        return self._kept.alone(role) if (self._aims > 0).any() else 1

    def _alone_costs(self, role: Role, counts: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
        return self._unit[role] * counts + self._misses(self._model.alone(role, counts))

    def _misses(self, attained: Floats) -> Floats:
        """Return what the misses cost an hour, from attainment of shape (..., scenarios, classes)."""
        missed: Floats = (self._mass * (1.0 - attained)).sum(axis=(-2, -1))
        return missed

    def _starts(self, role: Role, counts: Floats) -> Floats:
        has = (self._running or {}).get(role, 0)
        started: Floats = self._start * self._unit[role] * np.maximum(counts - has, 0.0)
        return started

    def _roughly(
        self, low: Mapping[Role, int], bounds: Mapping[Role, Bounds], allowed: Allowed
    ) -> "_Found | None":
        """Walk downhill from a few likely fleets; the nearer to the best, the less is left to compare."""
        busy = {role: float(self._model.busy(role).max()) for role in self.roles}
        likely = [
            {r: min(max(math.ceil(busy[r] * share), low[r]), bounds[r].high) for r in self.roles}
            for share in (0.0, 0.25, 0.5, 0.8, 1.0, 1.2, 1.5, 2.0)
        ]
        if (self._aims > 0).any():
            sure = self._kept.cheapest({role: self._kept.alone(role) for role in self.roles})
            likely.append({r: min(max(sure[r], low[r]), bounds[r].high) for r in self.roles})
        best = self._best([fleet for fleet in likely if allowed(fleet)], None)
        for _ in range(_STEPS if best else 0):
            before = best
            for index, role in enumerate(self.roles):
                assert best is not None
                here = dict(zip(self.roles, best[2], strict=True))
                first = max(best[2][index] - _STEP, low[role])
                around = range(first, min(best[2][index] + _STEP, bounds[role].high) + 1)
                best = self._best([f for n in around if allowed(f := {**here, role: n})], best)
            if best == before:
                break
        return best

    def _best(self, fleets: Sequence[Mapping[Role, int]], best: "_Found | None") -> "_Found | None":
        """Return the cheapest of these fleets that keeps the aims, or the best so far."""
        if not fleets:
            return best
        attained = self._model.attainment(by_role(fleets))
        _, per_class = self._model.weigh(attained, self._weights)
        enough = np.asarray((per_class >= self._aims - _EPSILON).all(axis=-1))
        for fleet, kept, missed in zip(fleets, enough.tolist(), self._misses(attained).tolist(), strict=True):
            if not kept:
                continue
            cost = self._policy.cost_per_h(fleet, self._gpus) + missed
            cost += sum(float(self._starts(role, np.array(float(n)))) for role, n in fleet.items())
            gpus = sum(self._gpus[role] * n for role, n in fleet.items())
            found = cost, gpus, tuple(fleet[role] for role in self.roles)
            if best is None or found[0] < best[0] * (1 - _EPSILON) - 1e-12:
                best = found
            elif found[0] <= best[0] * (1 + _EPSILON) and found[1:] < best[1:]:
                best = min(found[0], best[0]), *found[1:]
        return best

    def _range(self, role: Role, low: Mapping[Role, int], high: int, most: float) -> range:
        """Return the counts of a role that can be part of a fleet that costs no more than `most`."""
        others = sum(self._unit[other] * n for other, n in low.items() if other is not role)
        if not math.isfinite(most):
            return range(low[role], high + 1)
        room = most * (1 + _EPSILON) - others
        first = smallest(
            lambda counts: (self._misses(self._model.alone(role, list(counts))) <= room).tolist(),
            range(low[role], low[role] + 16),
        )
        last = int(max(room - self._ample, 0.0) / self._unit[role])
        return range(
            max(low[role], first if first < LIMIT else low[role]), max(min(high, last), low[role]) + 1
        )

    def _by_least_cost(
        self, ranges: Sequence[range], most: float
    ) -> Iterator[list[tuple[float, Mapping[Role, int]]]]:
        """Yield fleets that may cost no more than `most`, by what they cost at least, some at a time."""
        least, missed = np.zeros(()), np.zeros(())
        for index, (role, counts) in enumerate(zip(self.roles, ranges, strict=True)):
            shape = [1] * len(ranges)
            shape[index] = len(counts)
            paid = self._unit[role] * np.array(counts, dtype=float)
            paid = paid + self._starts(role, np.array(counts, dtype=float))
            least = least + paid.reshape(shape)
            alone = self._misses(self._model.alone(role, list(counts)))
            missed = np.maximum(missed, alone.reshape(shape))
        bounds = (least + missed).ravel()
        order = np.flatnonzero(bounds <= most * (1 + _EPSILON))
        order = order[np.argsort(bounds[order], kind="stable")]
        for begin in range(0, len(order), _TOGETHER):
            some = order[begin : begin + _TOGETHER]
            places = np.unravel_index(some, [len(counts) for counts in ranges])
            fleets = [
                {role: counts[int(i)] for role, counts, i in zip(self.roles, ranges, each, strict=True)}
                for each in zip(*places, strict=True)
            ]
            yield list(zip(bounds[some].tolist(), fleets, strict=True))


# Cost an hour, GPUs, and the counts in the order of the roles.
_Found = tuple[float, int, tuple[int, ...]]


def priced_need(
    search: FleetSearch,
    policy: PlanPolicy,
    running: Mapping[Role, int] | None = None,
    least: Mapping[Role, int] = MappingProxyType({}),
) -> Need | None:
    """Find the counts that cost least: free of bounds, inside floors and ceilings, and inside the budget.

    `least` are counts that something else asks for, as far as ceilings and the budget allow. None where no
    fleet inside all of them keeps the targets beside the prices: then these go first.
    """
    found = PricedSearch(search, policy, running)
    gpus = {role: search.model.layouts[role].gpus for role in search.roles}
    free = {role: Bounds(max(least.get(role, 1), 1), LIMIT) for role in search.roles}
    together = found.cheapest(free, lambda counts: True)
    if together is None:
        return None
    bounds = {role: _bounds(role, policy) for role in search.roles}
    wanted: Mapping[Role, int] | None = together
    if any(not b.low <= together[role] <= b.high for role, b in bounds.items()):
        asked = {r: Bounds(max(b.low, min(free[r].low, b.high)), b.high) for r, b in bounds.items()}
        wanted = found.cheapest(asked, lambda counts: True)
    if wanted is None:
        return None
    alone = {role: found.alone(role) for role in search.roles}
    within = policy.within(wanted, gpus)
    if within and policy.placeable(wanted, gpus):
        return Need(alone, together, wanted, wanted)
    room = {role: _within_budget(b, role, gpus[role], policy) for role, b in bounds.items()}
    split = found.cheapest(
        room, lambda counts: policy.within(counts, gpus) and policy.placeable(counts, gpus)
    )
    if split is None:
        return None
    return Need(alone, together, wanted, split, Binding.TOPOLOGY if within else Binding.BUDGET)


def _bounds(role: Role, policy: PlanPolicy) -> Bounds:
    pool = policy.pools[role]
    return Bounds(pool.min_replicas, LIMIT if pool.max_replicas is None else pool.max_replicas)


def _within_budget(bounds: Bounds, role: Role, gpus: int, policy: PlanPolicy) -> Bounds:
    most = [limit.gpus // gpus for limit in policy.limits() if role in limit.roles]
    return Bounds(bounds.low, min([bounds.high, *most]))
