"""Say what one deployment asks of a shared pool: fleets from its floor to its need, and what each keeps."""

from collections.abc import Mapping
from dataclasses import replace

from models.artifact import LayoutProfile
from models.gpu_pool import Membership
from models.observation import Observation
from models.plan.fleet_plan import Claim, Rung
from models.plan.ladder import find_ladder
from models.plan.movable import Span, spans
from models.plan.search import Bounds
from models.plan.sizing import ask, size
from models.policy import DecidePolicy, PlanPolicy
from models.prediction import Forecast
from models.values import Binding, Role


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
    free = spans(observation, plan, decide)
    top = {role: free[role].inside(sized.target) for role, sized in sizing.roles.items()}
    # While a role goes up and the other has yet to go down, both are there; draining replicas are, too.
    keep = {
        role: max(free[role].inside(sized.upper), desired[role]) + observation.pools[role].draining
        for role, sized in sizing.roles.items()
    }
    rungs = _rungs(free, top, observation, forecast, layouts, plan)
    needed = gpus_of(top, widths)
    if plan.budget_gpus == pool_gpus and any(s.binding is Binding.BUDGET for s in sizing.roles.values()):
        whole = size(observation, forecast, layouts, replace(plan, budget_gpus=None, topology=None))
        needed = max(needed, gpus_of(whole.replicas(), widths)) if whole is not None else needed
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


def _rungs(
    free: Mapping[Role, Span],
    top: Mapping[Role, int],
    observation: Observation,
    forecast: Forecast,
    layouts: Mapping[Role, LayoutProfile],
    plan: PlanPolicy,
) -> tuple[Rung, ...]:
    """Return the ladder between floor and need, under the same demand that sizing looks at."""
    asked = ask(observation, forecast, layouts, plan)
    assert asked is not None, "a sizing was made of it"
    bounds = {role: Bounds(span.low, top[role]) for role, span in free.items()}
    ceilings = {role: span.high for role, span in free.items()}
    tiers = {c.name: c.priority for c in plan.classes}
    return find_ladder(asked.search, bounds, ceilings, tiers, plan.placeable)
