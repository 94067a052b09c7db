"""Say what fleets cost an hour, and why money asks for one count and not for its neighbours."""

from collections.abc import Mapping
from dataclasses import replace

from models.capacity.fleet import Floats
from models.decision import Attained, Bill
from models.plan.need import Need
from models.plan.reasons import Reasons
from models.plan.search import FleetSearch
from models.policy import PlanPolicy
from models.values import Binding, Role

HOUR_S = 3600.0
_EPSILON = 1e-9


def kept_targets(policy: PlanPolicy) -> dict[str, float]:
    """Return the attainment that each class must reach beside the prices; 0 where prices alone decide."""
    bought = {c.name for c in policy.classes if c.miss_price is not None and c.slo.attainment is None}
    return {name: 0.0 if name in bought else target for name, target in policy.targets().items()}


def miss_mass(search: FleetSearch, policy: PlanPolicy) -> Floats:
    """Return what it would cost an hour if all requests missed, shape (scenarios, classes)."""
    prices = {c.name: c.miss_price or 0.0 for c in policy.classes}
    each = [prices[name] for name in search.model.names]
    mass: Floats = HOUR_S * search.model.rates * search.weights[:, None] * each
    return mass


def bill(
    counts: Mapping[Role, int], attainment: Mapping[str, float], search: FleetSearch, policy: PlanPolicy
) -> Bill:
    """Return what a fleet costs an hour that attains so much of each class."""
    totals = dict(zip(search.model.names, miss_mass(search, policy).sum(axis=0).tolist(), strict=True))
    gpus = {role: search.model.layouts[role].gpus for role in counts}
    missed = sum(totals[name] * (1.0 - share) for name, share in attainment.items())
    return Bill(policy.cost_per_h(counts, gpus), missed)


def billed(reasons: Reasons, need: Need, search: FleetSearch, policy: PlanPolicy) -> Reasons:
    """Return the reasons with what the fleet and its neighbours cost; unchanged where GPUs have no price.

    Where the least cost is aimed at, it also says what sets each count.
    """
    if not policy.priced:
        return reasons
    counts = need.affordable

    def with_bill(attained: Attained, role: Role | None = None, by: int = 0) -> Attained:
        fleet = counts if role is None else {**counts, role: counts[role] + by}
        return replace(attained, bill=bill(fleet, attained.attainment, search, policy))

    told = replace(
        reasons,
        here=with_bill(reasons.here),
        fewer={role: with_bill(each, role, -1) for role, each in reasons.fewer.items()},
        more={role: with_bill(each, role, 1) for role, each in reasons.more.items()},
    )
    if not policy.by_price:
        return told
    return replace(told, limits={role: _limit(role, told, need, search, policy) for role in counts})


def _limit(role: Role, told: Reasons, need: Need, search: FleetSearch, policy: PlanPolicy) -> Binding:
    """Name what sets a count: a bound that costs money, a class's own target, or the price."""
    pool, count = policy.pools[role], need.affordable[role]
    here, fewer, more = told.here.bill, told.fewer.get(role), told.more[role].bill
    if need.cut_by is not None and count < need.wanted[role]:
        return need.cut_by
    if fewer is None or fewer.bill is None or here is None or more is None:
        return Binding.FLOOR
    if fewer.bill.per_h < here.per_h:
        if count <= pool.min_replicas:
            return Binding.FLOOR
        if _breaks_a_target(fewer, search, policy):
            return search.model.bindings({role: {**need.affordable, role: count - 1}})[role]
    if count == pool.max_replicas and more.per_h < here.per_h:
        return Binding.CEILING
    return Binding.PRICE


def _breaks_a_target(attained: Attained, search: FleetSearch, policy: PlanPolicy) -> bool:
    """Say whether a class whose target counts beside the prices misses it."""
    aims = search.aims
    kept = (name for name, target in kept_targets(policy).items() if target > 0 and name in aims)
    return any(attained.attainment[name] < aims[name] - _EPSILON for name in kept)


def money(amount: float, currency: str) -> str:
    """Write an amount per hour: `3.20 EUR/h`, `3.20/h` where no currency is stated."""
    shown = f"{amount:,.2f}" if amount >= 0.005 or amount == 0 else "under 0.01"
    return f"{shown} {currency}/h" if currency else f"{shown}/h"


def weighed(role: Role, reasons: Reasons, currency: str) -> str:
    """Say what one replica fewer and one more of a role would cost and save; empty without prices."""
    here, more = reasons.here.bill, reasons.more[role].bill
    if here is None or more is None:
        return ""
    costs, saves = more.gpu_per_h - here.gpu_per_h, max(here.miss_per_h - more.miss_per_h, 0.0)
    said = f"one more replica costs {money(costs, currency)} and saves {money(saves, currency)} of misses"
    fewer = reasons.fewer.get(role)
    if fewer is None or fewer.bill is None:
        return said
    saves, costs = here.gpu_per_h - fewer.bill.gpu_per_h, fewer.bill.miss_per_h - here.miss_per_h
    return (
        f"{said}, one fewer saves {money(saves, currency)} and costs "
        f"{money(max(costs, 0.0), currency)} of misses"
    )
