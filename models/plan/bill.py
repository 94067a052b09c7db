"""Say what fleets cost an hour, and why money asks for one count and not for its neighbours."""

from collections.abc import Mapping
from dataclasses import replace

from models.capacity.fleet import Floats
from models.decision import Attained, Bill
from models.plan.need import Need
from models.plan.reasons import Reasons
from models.plan.search import FleetSearch
from models.policy import PlanPolicy
from models.units import show_money
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
    return Bill(policy.cost_per_h(counts, gpus), missed, policy.currency)


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


def weighed(role: Role, reasons: Reasons, currency: str) -> str:
    """Say what one replica fewer and one more of a role would cost and save; empty without prices."""
    here, more, fewer = reasons.here.bill, reasons.more[role].bill, reasons.fewer.get(role)
    if here is None or more is None:
        return ""
    said = f"one more replica {_trade('costs', 'saves', more, here, currency)}"
    if fewer is None or fewer.bill is None:
        return said
    return f"{said}, one fewer {_trade('saves', 'costs', here, fewer.bill, currency)}"


def _trade(gpus: str, misses: str, larger: Bill, smaller: Bill, currency: str) -> str:
    """Say what the GPUs between two fleets cost, and the misses between them."""
    paid = show_money(max(larger.gpu_per_h - smaller.gpu_per_h, 0.0), currency)
    missed = show_money(max(smaller.miss_per_h - larger.miss_per_h, 0.0), currency)
    return f"{gpus} {paid} and {misses} {missed} of misses"
