"""Say what one deployment asks of a shared pool: fleets from its floor to its need, and what each keeps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from models.artifact import LayoutProfile
from models.gpu_pool import Membership
from models.observation import Observation, PoolState
from models.plan.backlog import backlog_rps
from models.plan.fleet_plan import Claim, Rung
from models.plan.ladder import find_ladder
from models.plan.scenarios import scenarios
from models.plan.search import Bounds
from models.plan.sizing import bind, size
from models.policy import DecidePolicy, PlanPolicy
from models.prediction import Forecast
from models.values import Binding, Role


@dataclass(frozen=True, slots=True)
class _Asked:
    """Hold the counts between which a deployment's fleets lie: floor, need, and what no fleet exceeds."""

    low: Mapping[Role, int]
    top: Mapping[Role, int]
    ceilings: Mapping[Role, int | None]


def make_claim(
    member: Membership,
    observation: Observation,
    forecast: Forecast,
    layouts: Mapping[Role, LayoutProfile],
    plan: PlanPolicy,
    decide: DecidePolicy,
    pool_gpus: int,
) -> Claim:
    """Return the claim of one deployment; `plan` is bounded by its own budget and by the whole pool.

    Roles that a person holds claim what they run. Without demand that counts the guards hold every count,
    so that the claim is what runs: none of it is given away, and no more is asked for.
    """
    widths = {role: layout.gpus for role, layout in layouts.items()}
    desired = {role: observation.pools[role].desired for role in layouts}
    age_s = observation.demand_age_s
    sizing = size(observation, forecast, layouts, plan)
    if sizing is None or age_s is None or age_s > decide.max_demand_age_s:
        return standing_claim(member, gpus_of(desired, widths), desired, widths)
    late = age_s > plan.interval_s + plan.observation_lag_s
    held = {role: _held_at(observation.pools[role]) for role in layouts}
    least = {role: max(pool.min_replicas, desired[role] if late else 0) for role, pool in plan.pools.items()}
    low = {role: least[role] if held[role] is None else held[role] or 0 for role in layouts}
    top = {r: max(low[r], s.target) if held[r] is None else low[r] for r, s in sizing.roles.items()}
    hold = {r: max(top[r], s.upper) if held[r] is None else low[r] for r, s in sizing.roles.items()}
    # While a role goes up and the other has yet to go down, both are there; draining replicas are, too.
    keep = {r: max(n, desired[r]) + observation.pools[r].draining for r, n in hold.items()}
    ceilings = {r: pool.max_replicas if held[r] is None else low[r] for r, pool in plan.pools.items()}
    rungs = _rungs(_Asked(low, top, ceilings), observation, forecast, layouts, plan)
    needed = gpus_of(top, widths)
    if plan.budget_gpus == pool_gpus and any(s.binding is Binding.BUDGET for s in sizing.roles.values()):
        free = size(observation, forecast, layouts, replace(plan, budget_gpus=None, topology=None))
        needed = max(needed, gpus_of(free.replicas(), widths)) if free is not None else needed
    return Claim(
        deployment=member.deployment,
        ladder=rungs,
        priority=member.priority,
        guaranteed_gpus=member.guaranteed_gpus,
        running_gpus=gpus_of(desired, widths),
        needed_gpus=needed,
        hold_gpus=gpus_of(keep, widths),
        widths=widths,
    )


def standing_claim(
    member: Membership,
    gpus: int,
    counts: Mapping[Role, int] | None = None,
    widths: Mapping[Role, int] | None = None,
) -> Claim:
    """Return the claim of a deployment that keeps what it holds, no more and no less."""
    rung = Rung(gpus, 0.0, counts or {})
    return Claim(
        member.deployment,
        (rung,),
        member.priority,
        member.guaranteed_gpus,
        running_gpus=gpus,
        needed_gpus=gpus,
        hold_gpus=gpus,
        widths=widths or {},
    )


def gpus_of(counts: Mapping[Role, int], widths: Mapping[Role, int]) -> int:
    """Return the GPUs that counts take."""
    return sum(widths[role] * n for role, n in counts.items())


def _held_at(pool: PoolState) -> int | None:
    """Return the count at which a role is held, or `None` where it is free to move."""
    if pool.pinned_replicas is not None and not pool.paused:
        return pool.pinned_replicas
    return pool.desired if pool.paused or pool.rollout_in_progress else None


def _rungs(
    asked: _Asked,
    observation: Observation,
    forecast: Forecast,
    layouts: Mapping[Role, LayoutProfile],
    plan: PlanPolicy,
) -> tuple[Rung, ...]:
    """Return the ladder between floor and need, under the same demand that sizing looks at."""
    ahead = scenarios(observation, forecast, plan.classes, plan.ready_horizon_s())
    assert ahead is not None, "a sizing was made of it"
    search = bind(ahead, layouts, plan)
    extra_rps = backlog_rps(observation, search, plan)
    if extra_rps > 0:
        search = bind(ahead.with_backlog(extra_rps), layouts, plan)
    bounds = {role: Bounds(low, asked.top[role]) for role, low in asked.low.items()}
    tiers = {c.name: c.priority for c in plan.classes}
    return find_ladder(search, bounds, asked.ceilings, tiers, plan.placeable)
