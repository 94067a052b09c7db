"""Say how long replicas take from order to ready: what was measured, and what to plan with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.policy import LONGEST_STARTUP_S, PlanPolicy, PoolPolicy
from models.speed import Speed
from models.units import show_duration
from models.values import Role

# The stated times stand in for the orders that lack to this many. One wild order among fewer than ten then
# moves no P90, two of them do: upwards two orders convince, downwards nine.
LEAST_ORDERS = 10
# A start-up that lasts half as long again as nine of ten do is slow; it is not stuck yet.
SLOW_RATIO = 1.5
# A stated time this much inside what was seen is confirmed by it; clocks and sums are no finer.
SAME_S = 1.0


@dataclass(frozen=True, slots=True)
class StartUp:
    """Hold replicas of one order that became ready between the same two looks.

    `order_s` names the order by the look that saw it first (Unix seconds). The replicas took more than
    `least_s`, their age when they were last seen starting, and at most `most_s`, that when they were ready.
    """

    order_s: float
    replicas: int
    least_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class Readiness:
    """Say which start-up times one role is planned with, and what they rest on; times in seconds.

    `startup_s` and `startup_p99_s` are those planned with. `p50_s`, `p90_s` and `p99_s` are the quantiles of
    what was seen, `None` before anything was: those of the looks that saw replicas ready, so at most one tick
    too long. `speed` is how its surfaces are corrected, `None` where they are not. `sentence` says how the
    planned time differs from the stated one, empty where it does not.
    """

    startup_s: float
    startup_p99_s: float
    p50_s: float | None = None
    p90_s: float | None = None
    p99_s: float | None = None
    orders: int = 0
    replicas: int = 0
    sentence: str = ""
    seen: tuple[StartUp, ...] = ()
    speed: Speed | None = None


def readiness(seen: Sequence[StartUp], stated: PoolPolicy) -> Readiness:
    """Estimate a role's time to ready from its start-ups and the stated times.

    The P90 is the smallest time that at least nine tenths of the weight do not exceed. Every order weighs 1,
    shared by its replicas: ten that waited for one slow node are one piece of evidence. Below LEAST_ORDERS
    the stated P90 weighs as much as the orders that lack, as the prior of a Dirichlet process does (Ferguson
    1973) but for fading out; it says "within", not "after". Looks are a tick apart: a start-up is known as an
    interval, and so is the P90. A stated P90 inside that interval is confirmed and stays; otherwise the
    interval's upper end counts, which orders capacity a tick too early at most.

    The P99 is never below the stated one: with less than 299 start-ups no order statistic bounds it at 95 %
    (Wilks 1941). It is raised to 1.5 times a P90 that had to be raised.
    """
    orders = len({each.order_s for each in seen})
    lack = max(LEAST_ORDERS - orders, 0)
    weights = _weights(seen)
    low = _quantile(0.9, [*(each.least_s for each in seen), 0.0], [*weights, float(lack)])
    high = _quantile(0.9, [*(each.most_s for each in seen), stated.startup_s], [*weights, float(lack)])
    confirmed = low < stated.startup_s - SAME_S and stated.startup_s <= high + SAME_S
    unmoved = abs(high - stated.startup_s) <= SAME_S
    startup_s = stated.startup_s if confirmed or unmoved else min(high, LONGEST_STARTUP_S)
    slow_s = min(SLOW_RATIO * startup_s, LONGEST_STARTUP_S) if startup_s > stated.startup_s else 0.0
    replicas = sum(each.replicas for each in seen)
    p50_s, p90_s, p99_s = (_quantile(q, [e.most_s for e in seen], weights) for q in (0.5, 0.9, 0.99))
    return Readiness(
        startup_s=startup_s,
        startup_p99_s=max(stated.startup_p99_s, slow_s),
        p50_s=p50_s if seen else None,
        p90_s=p90_s if seen else None,
        p99_s=p99_s if seen else None,
        orders=orders,
        replicas=replicas,
        sentence="" if startup_s == stated.startup_s else _sentence(startup_s, stated, orders, replicas),
        seen=tuple(seen),
    )


def with_readiness(plan: PlanPolicy, measured: Mapping[Role, Readiness]) -> PlanPolicy:
    """Return the plan with start-up times and surfaces as measured, in place of the stated ones."""
    pools = {
        role: replace(
            pool,
            startup_s=measured[role].startup_s,
            startup_p99_s=measured[role].startup_p99_s,
            startup_why=measured[role].sentence,
            **_surface(measured[role].speed),
        )
        if role in measured
        else pool
        for role, pool in plan.pools.items()
    }
    return replace(plan, pools=pools)


def _surface(speed: Speed | None) -> dict[str, Any]:
    return {} if speed is None else {"surface_ratio": speed.ratio, "surface_why": speed.sentence}


def _weights(seen: Sequence[StartUp]) -> list[float]:
    """Return each start-up's share of its order."""
    total: dict[float, int] = {}
    for each in seen:
        total[each.order_s] = total.get(each.order_s, 0) + each.replicas
    return [each.replicas / total[each.order_s] for each in seen]


def _quantile(q: float, times: Sequence[float], weights: Sequence[float]) -> float:
    """Return the smallest time at or under which a share `q` of the weight lies; 0 without any weight."""
    needed, reached = q * sum(weights) - 1e-9, 0.0
    for time_s, weight in sorted(zip(times, weights, strict=True)):
        reached += weight
        if weight > 0 and reached >= needed:
            return time_s
    return 0.0


def _sentence(startup_s: float, stated: PoolPolicy, orders: int, replicas: int) -> str:
    counted = f"{replicas} replica{'s' if replicas > 1 else ''} in {orders} order{'s' if orders > 1 else ''}"
    return (
        f"ready within {show_duration(startup_s)} (P90 of {counted}; "
        f"{show_duration(stated.startup_s)} stated)"
    )
