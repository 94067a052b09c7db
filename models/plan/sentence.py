"""Say in one sentence why a role needs what it needs, in figures."""

import math
from collections.abc import Mapping

from models.capacity.fleet import FleetModel
from models.plan.bill import weighed
from models.plan.need import Need
from models.plan.reasons import Reasons
from models.plan.scenarios import Scenarios
from models.policy import PlanPolicy
from models.prediction import Forecast
from models.units import show_count, show_duration
from models.values import Binding, RequestClass, Role

_LIMITS = {Binding.TTFT: "ttft_s", Binding.ITL: "itl_s", Binding.E2E: "e2e_s"}


def explain(
    role: Role,
    need: Need,
    reasons: Reasons,
    ahead: Scenarios,
    model: FleetModel,
    policy: PlanPolicy,
    forecast: Forecast,
) -> str:
    """Name the demand, the count it needs, what asks for it or caps it, and what its neighbours attain."""
    count, wanted = need.affordable[role], need.together[role]
    text = f"{_demand(role, ahead, model, forecast)} needs {_replicas(wanted)}"
    limit = reasons.limits[role]
    if limit in (Binding.BUDGET, Binding.TOPOLOGY, Binding.FLOOR, Binding.CEILING, Binding.LAYOUT):
        text += _cap(limit, wanted, need.affordable, policy, role, model)
    elif limit is Binding.BACKLOG:
        text += f" to work the queue off within {show_duration(policy.backlog_recover_s)}"
    elif limit is Binding.PRICE:
        text += f" for the least cost: {weighed(role, reasons, policy.currency)}"
    else:
        text += f" for {_promise(limit, policy.classes)}"
    return "; ".join(
        part
        for part in (
            text,
            _beside(role, count, reasons, policy),
            policy.pools[role].startup_why,
            policy.pools[role].surface_why,
        )
        if part
    )


def _beside(role: Role, count: int, reasons: Reasons, policy: PlanPolicy) -> str:
    """Say what one replica fewer and one more would attain for the class that the count is set for."""
    name = reasons.classes[role]
    here, more = (attained.attainment[name] for attained in (reasons.here, reasons.more[role]))
    points = max(more - here, 0.0) * 100
    adds = "under 0.1 points" if 0 < points < 0.05 else f"{points:.1f} points" if points else "nothing"
    fewer = reasons.fewer.get(role)
    if fewer is None:
        return f"{count + 1} would add {adds} for {name}"
    free = next(c.slo.throughput_only for c in policy.classes if c.name == name)
    keep = f"serve {_share(fewer.attainment[name])} of {name}"
    if not free:
        keep = f"keep the promise to {_share(fewer.attainment[name])} of {name}"
    return f"{count - 1} would {keep}, {count + 1} adds {adds}"


def _share(value: float) -> str:
    """Write a ratio as per cent, cut and not rounded; above 99 % a tenth of a point is too coarse."""
    digits = 10 if value < 0.99 else 100
    return f"{math.floor(value * 100 * digits + 1e-6) / digits:g} %"


def _demand(role: Role, ahead: Scenarios, model: FleetModel, forecast: Forecast) -> str:
    levels = next(iter(forecast.signals.values()))
    some = next(iter(levels.values()))
    index = min(range(len(some.levels)), key=lambda i: abs(some.levels[i] - 0.9))
    at = min(index, len(ahead.loads) - 1)
    loads, tokens = ahead.loads, 0.0
    if role is not Role.DECODE:
        tokens += sum(
            r * m.mean_prefill_tokens
            for r, m in zip(loads.prefill_rps[at].tolist(), loads.mixes, strict=True)
        )
    if role is not Role.PREFILL:
        tokens += sum(
            r * m.mean_osl_tokens for r, m in zip(loads.decode_rps[at].tolist(), loads.mixes, strict=True)
        )
    rate = float(loads.rate_rps[at].sum())
    level = f"p{round(some.levels[index] * 100)}"
    bursts = f" in bursts (Ca2 {model.arrival_cv2:.1f})" if model.arrival_cv2 >= 1.25 else ""
    return f"{level} forecast {show_count(rate)} rps{bursts}, {show_count(tokens)} {role} tokens/s"


def _promise(limit: Binding, classes: tuple[RequestClass, ...]) -> str:
    attribute = _LIMITS.get(limit)
    if attribute is None:
        return "KV cache space" if limit is Binding.KV_CACHE else "throughput"
    tightest = min((value for c in classes if (value := getattr(c.slo, attribute)) is not None), default=None)
    return f"{limit.upper()} {show_duration(tightest)}" if tightest is not None else limit.value


def _cap(
    limit: Binding,
    wanted: int,
    counts: Mapping[Role, int],
    policy: PlanPolicy,
    role: Role,
    model: FleetModel,
) -> str:
    pool, count = policy.pools[role], counts[role]
    match limit:
        case Binding.BUDGET:
            bound = policy.tightest(role, counts, {r: each.gpus for r, each in model.layouts.items()})
            said = bound.name if bound is not None else policy.budget_said()
            return f"; the {said} caps {wanted} to {count}"
        case Binding.TOPOLOGY:
            return f"; the nodes hold {count}"
        case Binding.CEILING:
            return f"; the ceiling caps {wanted} to {count}"
        case Binding.FLOOR:
            return f"; the floor is {pool.min_replicas}"
        case _:
            name = model.layouts[role].parallelism.name
            return f"; no count of {name} keeps the promise for every request: choose a faster layout"


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"
