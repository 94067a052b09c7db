"""Size both roles together: the fewest GPUs that keep the promise under a forecast, inside the budget."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from models.artifact import LayoutProfile
from models.capacity.fleet import FleetModel
from models.decision import RoleSizing, Sizing
from models.observation import Observation
from models.plan.backlog import backlog_rps, standing_rps
from models.plan.bill import billed
from models.plan.deferrable import Deferred
from models.plan.hold import settled, wandered
from models.plan.need import Need
from models.plan.price import PricedSearch, priced_need
from models.plan.quantile import demand_quantile
from models.plan.reactive import Floor, Net, with_floors
from models.plan.reasons import find_reasons
from models.plan.scenarios import Scenarios, scenarios
from models.plan.search import Bounds, FleetSearch
from models.plan.sentence import explain
from models.policy import PlanPolicy
from models.prediction import Forecast
from models.values import Binding, Role


def size(
    observation: Observation, forecast: Forecast, layouts: Mapping[Role, LayoutProfile], policy: PlanPolicy
) -> Sizing | None:
    """Choose the smallest fleet whose expected attainment over the forecast meets every class's target.

    Demand is the highest of each signal until new capacity could be ready, backlog included; `upper` looks
    further, over the time for which a release saves nothing. What was measured last raises demand and counts
    where it is worse than foreseen. Returns None when there is no demand to size for: the caller holds.
    """
    asked = ask(observation, forecast, layouts, policy)
    if asked is None:
        return None
    net, deferred, search = asked.net, asked.deferred, asked.search
    forecast, ahead = deferred.forecast, asked.ahead
    longer = _over_the_hold(observation, forecast, policy, asked.foreseen)
    longer = longer.with_backlog(
        max(asked.extra_rps, standing_rps(observation, asked.without_queue.model, policy))
    )
    running = {
        role: observation.pools[role].counted(observation.at_s, policy.pools[role].startup_p99_s)
        for role in layouts
        if role in observation.pools
    }
    floors = net.floors(observation, search, policy)
    need = find_need(search, policy, running, floors)
    held = _hold(search, longer, policy, need, running)
    then = partial(wandered, longer, forecast)
    need, held = settled(
        search, lambda: bind(then(), layouts, policy), need, held, floors, observation, policy
    )
    median = np.zeros(len(ahead.weights))
    median[search.middle] = 1.0
    calm = FleetSearch(search.model, median, policy.targets())
    least = PricedSearch(calm, policy) if policy.by_price else calm
    reasons = billed(find_reasons(search, need, policy, asked.without_queue), need, search, policy)
    roles = {
        role: RoleSizing(
            target=count,
            lower=min(max(least.alone(role), policy.pools[role].min_replicas), count),
            upper=max(held[role], count),
            uncapped=need.alone[role],
            binding=net.binding(role, count, floors, reasons.limits[role]),
            sentence=deferred.said(
                net.said(role, floors, explain(role, need, reasons, ahead, search.model, policy, forecast))
            ),
            fewer=reasons.fewer.get(role),
            more=reasons.more[role],
            binding_class=reasons.classes[role],
        )
        for role, count in need.affordable.items()
    }
    here, extrapolated = reasons.here, search.model.extrapolated
    return Sizing(
        roles,
        here.attainment,
        here.expected_attainment,
        policy.attainment,
        extrapolated,
        here.bill,
        demand_quantile(search, need.affordable, forecast.levels),
        search.aims if policy.burn_rate > 1.0 else {},
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold what a fleet is asked to carry, and the search that judges fleets by it.

    `ahead` are the scenarios with the queue that must be worked off at `extra_rps`, `foreseen` those without;
    `search` and `without_queue` are bound to them.
    """

    net: Net
    deferred: Deferred
    foreseen: Scenarios
    ahead: Scenarios
    search: FleetSearch
    without_queue: FleetSearch
    extra_rps: float


def ask(
    observation: Observation, forecast: Forecast, layouts: Mapping[Role, LayoutProfile], policy: PlanPolicy
) -> Asked | None:
    """Turn what was seen and is expected into what a fleet is asked for; `None`: there is no demand."""
    net = Net.over(observation, forecast, policy)
    deferred = Deferred.over(observation, net.forecast, layouts, policy)
    foreseen = scenarios(observation, deferred.forecast, policy.classes, policy.ready_horizon_s())
    if foreseen is None:
        return None
    without_queue = bind(foreseen, layouts, policy)
    extra_rps = backlog_rps(observation, without_queue, policy)
    if extra_rps <= 0:
        return Asked(net, deferred, foreseen, foreseen, without_queue, without_queue, extra_rps)
    ahead = foreseen.with_backlog(extra_rps)
    return Asked(net, deferred, foreseen, ahead, bind(ahead, layouts, policy), without_queue, extra_rps)


def bind(ahead: Scenarios, layouts: Mapping[Role, LayoutProfile], policy: PlanPolicy) -> FleetSearch:
    """Prepare the search for scenarios on the deployment's layouts."""
    bursts = min(ahead.loads.arrival_cv2, policy.burstiness_limit)
    return FleetSearch(
        FleetModel(layouts, ahead.loads, policy.router, bursts), ahead.weights, policy.targets()
    )


def find_need(
    search: FleetSearch,
    policy: PlanPolicy,
    running: Mapping[Role, int] | None = None,
    floors: Mapping[Role, Floor] = MappingProxyType({}),
) -> Need:
    """Find the counts that one search's scenarios need, free of bounds and then inside them.

    `floors` are the least counts that measured latency asks for.
    """
    if policy.by_price:
        least = {role: floor.replicas for role, floor in floors.items()}
        priced = priced_need(search, policy, running, least)
        if priced is not None:
            return priced
    alone = {role: search.alone(role) for role in search.roles}
    low = with_floors(alone, floors)
    together = search.cheapest(low, running, policy.start_cost(), policy.price_by_role())
    gpus = {role: search.model.layouts[role].gpus for role in search.roles}
    bounds = {role: _bounds(role, together[role], gpus[role], policy) for role in search.roles}
    wanted = {role: min(max(together[role], b.low), b.high) for role, b in bounds.items()}
    within_budget = policy.within(wanted, gpus)
    if within_budget and policy.placeable(wanted, gpus):
        return Need(alone, together, wanted, wanted)
    room = {role: Bounds(b.low, min(b.high, wanted[role] + 8)) for role, b in bounds.items()}
    tiers = {c.name: c.priority for c in policy.classes}
    split = search.best_split(policy.budget_gpus, room, tiers, policy.placeable, running)
    # Where not even the floors can be placed, what runs stays: to shrink would help nobody.
    staying = {role: max((running or {}).get(role, b.low), 1) for role, b in bounds.items()}
    cut_by = Binding.TOPOLOGY if within_budget else Binding.BUDGET
    return Need(alone, together, wanted, split if split is not None else staying, cut_by)


def _bounds(role: Role, wanted: int, gpus: int, policy: PlanPolicy) -> Bounds:
    """Return floor and ceiling: the user's, and what the whole budget would buy of this role."""
    pool = policy.pools[role]
    high = pool.max_replicas if pool.max_replicas is not None else max(wanted, pool.min_replicas) + 64
    most = (limit.gpus // gpus for limit in policy.limits() if role in limit.roles)
    return Bounds(pool.min_replicas, max(min([high, *most]), pool.min_replicas))


def _over_the_hold(
    observation: Observation, forecast: Forecast, policy: PlanPolicy, ahead: Scenarios
) -> Scenarios:
    """Return the demand over the hold time, both ways.

    The forecast looks ahead over it; the highest demand of the recent past keeps a dip that is only noise
    from releasing what the next minute orders again.
    """
    longer = ahead
    if policy.hold_horizon_s() > policy.ready_horizon_s():
        longer = scenarios(observation, forecast, policy.classes, policy.hold_horizon_s()) or ahead
    return longer.at_least_recent(forecast)


def _hold(
    search: FleetSearch, longer: Scenarios, policy: PlanPolicy, need: Need, running: Mapping[Role, int]
) -> Mapping[Role, int]:
    """Return the counts above which a release is sure to pay: the need over the hold time.

    When the budget binds already, more demand would not raise what can be afforded. Counts that reach every
    aim under the heavier load as well are the cheapest there, too.
    """
    if need.cut_by is not None:
        return need.affordable
    if not (search.by_layout or policy.by_price) and search.reaches_under(longer.loads, need.together):
        return need.affordable
    return find_need(bind(longer, search.model.layouts, policy), policy, running).affordable
