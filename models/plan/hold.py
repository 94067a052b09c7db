"""Hold what runs where a release, or a trade of one role for the other, would be ordered back at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from models.observation import Observation
from models.plan.need import Need
from models.plan.reactive import Floor
from models.plan.scenarios import Scenarios
from models.plan.search import FleetSearch
from models.policy import PlanPolicy
from models.prediction import Forecast, SignalForecast
from models.values import Role, Signal

Counts = Mapping[Role, int]

# The quantile of the next minute by which a forecast may have moved at the next look. The shop's day changes
# 173 times without any of this, 86 times with 0.75, 78 with 0.8 and 66 with 0.85; each step costs 0.3 % to
# 0.5 % more GPU-hours there. In the worst case, a need just above a constant demand, 0.99 would be quiet.
_WANDER = 0.65
# Counts of a role that are looked at between what it wants and what it has, evenly where there are more.
_AT_MOST = 16


@dataclass(frozen=True, slots=True)
class Running:
    """Hold per role the replicas that serve or will (`counted`), and those that serve now (`ready`)."""

    counted: Counts
    ready: Counts

    @property
    def complete(self) -> bool:
        """Whether everything that was ordered serves."""
        return all(self.ready[role] >= n for role, n in self.counted.items())


@dataclass(frozen=True, slots=True)
class Held:
    """Hold the counts to run, and those below which nothing is released (`None`: nothing speaks for any)."""

    target: Counts
    upper: Counts | None


def wandered(longer: Scenarios, forecast: Forecast) -> Scenarios:
    """Raise demand by as much as its forecast may move before the next look.

    A forecast follows the last minutes, and so their chance as well: per class and signal the ratio of an
    upper quantile of the next minute, counting noise included, to its median. A forecast that is sure holds
    nothing back.
    """
    loads = longer.loads
    ratios = [[_ratio(forecast.signals[c.name], signal) for c in loads.classes] for signal in Signal]
    arrivals, prefill, decode = np.array(ratios)
    return Scenarios(
        replace(
            loads,
            rate_rps=loads.rate_rps * arrivals,
            prefill_rps=loads.prefill_rps * prefill,
            decode_rps=loads.decode_rps * decode,
        ),
        longer.weights,
    )


def _ratio(signals: Mapping[Signal, SignalForecast], signal: Signal) -> float:
    said = signals.get(signal) or signals[Signal.ARRIVALS]
    next_minute = [path[0] for path in said.paths]
    middle, upper = (float(np.interp(q, said.levels, next_minute)) for q in (0.5, _WANDER))
    return max(upper / middle, 1.0) if middle > 0 else 1.0


def settled(
    search: FleetSearch,
    heavier: Callable[[], FleetSearch],
    need: Need,
    upper: Counts,
    floors: Mapping[Role, Floor],
    observation: Observation,
    policy: PlanPolicy,
) -> tuple[Need, Counts]:
    """Return what is needed, and the counts below which nothing is released, after a look at what runs.

    Where bounds cut the need, or runs more than they allow, releases are owed to others; where prices are
    aimed at, they decide. `need` and `upper` stay as they are then.
    """
    pools, gpus = observation.pools, {role: search.model.layouts[role].gpus for role in search.roles}
    if need.cut_by is not None or policy.by_price or not pools.keys() >= gpus.keys():
        return need, upper
    counted, least = {}, {}
    for role in search.roles:
        bounds = policy.pools[role]
        n = pools[role].counted(observation.at_s, bounds.startup_p99_s)
        counted[role] = max(n if bounds.max_replicas is None else min(n, bounds.max_replicas), 1)
        least[role] = max(bounds.min_replicas, floors[role].replicas if role in floors else 0)
    if not policy.within(counted, gpus):
        return need, upper
    running = Running(counted, {role: pools[role].ready for role in search.roles})
    kept = hold(search, heavier, need.affordable, least, running, policy.start_cost())
    if kept is None:
        return need, upper
    if kept.target != need.affordable:
        need = replace(need, together=kept.target, wanted=kept.target, affordable=kept.target)
    return need, upper if kept.upper is None else kept.upper


def hold(
    search: FleetSearch,
    told_heavier: Callable[[], FleetSearch],
    wanted: Counts,
    floors: Counts,
    running: Running,
    start_cost: float,
) -> Held | None:
    """Choose between the `wanted` counts and what runs; `None` where no role has more than it wants.

    `search` knows the demand that is sized for, `told_heavier` what a release must withstand. Two rules:

    A release leaves the cheapest part of the fleet that still reaches every aim under the heavier demand,
    with no more of the other role than is ready. Where no part does, everything stays, unless that is too
    little anyway and nothing is on its way.

    Where what runs reaches every aim, a trade (more of one role, less of the other) is made only if what
    would then be held, and its start-up, is cheaper than what is held now.
    """
    roles, counted = search.roles, running.counted
    if all(counted[role] <= wanted[role] for role in roles):
        return None
    heavier = told_heavier()
    gpus = {role: search.model.layouts[role].gpus for role in roles}
    both = {role: max(wanted[role], counted[role]) for role in roles}
    enough = all(counted[role] >= floors[role] for role in roles)
    if both != counted and enough and search.reaches(counted):
        least = {role: min(wanted[role], counted[role]) for role in roles}
        stay = _part(heavier, least, counted, gpus, running.ready) or counted
        moved = _part(heavier, wanted, both, gpus) or both
        starts = {role: start_cost * (both[role] - counted[role]) for role in roles}
        if _cost(stay, gpus) <= _cost(moved, gpus) + _cost(starts, gpus):
            low = {role: min(floors[role], stay[role]) for role in roles}
            return Held(_part(search, low, stay, gpus) or stay, stay)
    part = _part(heavier, wanted, both, gpus, running.ready)
    if part is None and (not running.complete or search.reaches(counted)):
        part = both
    return Held(wanted, part)


def _part(
    search: FleetSearch, low: Counts, high: Counts, gpus: Mapping[Role, int], ready: Counts | None = None
) -> dict[Role, int] | None:
    """Return the cheapest counts from `low` to `high` that reach every aim with at most what is `ready`."""
    spans = (_evenly(low[role], high[role]) for role in search.roles)
    fleets = [dict(zip(search.roles, counts, strict=True)) for counts in product(*spans)]
    fleets.sort(key=lambda fleet: _cost(fleet, gpus))
    seen = fleets
    if ready is not None:
        seen = [{role: min(n, max(ready[role], 1)) for role, n in fleet.items()} for fleet in fleets]
    enough = zip(fleets, search.enough(seen), strict=True)
    return next((fleet for fleet, yes in enough if yes), None)


def _evenly(low: int, high: int) -> list[int]:
    """Return the counts from `low` to `high`, both included; where there are many, some of them."""
    steps = min(high - low, _AT_MOST - 1)
    return [high - (high - low) * i // max(steps, 1) for i in range(steps + 1)]


def _cost(counts: Mapping[Role, float], gpus: Mapping[Role, int]) -> float:
    return sum(gpus[role] * n for role, n in counts.items())
